"""The options by which a command finds its cluster, as kubectl has them."""

from __future__ import annotations

import argparse
import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainchart.cluster.api import Api


# As Kubernetes and Helm have it; what is none would be a part of the path in a request.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


def add_run_name(parser: argparse.ArgumentParser) -> None:
    """`NAME`, of a run that is there."""
    parser.add_argument("name", type=object_name, metavar="NAME", help="the run: the name of its release")


def object_name(words: str) -> str:
    if not _NAME.fullmatch(words):
        raise argparse.ArgumentTypeError(f"{words!r} cannot be a name; names have lower-case letters, digits and -")
    return words


def _namespace(words: str) -> str:
    return words and object_name(words)


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """`--kubeconfig`, `--context`, `--namespace`."""
    group = parser.add_argument_group("cluster")
    group.add_argument("-n", "--namespace", type=_namespace, default="", metavar="NAME", help="default: the context's")
    group.add_argument(
        "--context", default="", metavar="NAME", help="context of the kubeconfig (default: the current one)"
    )
    group.add_argument("--kubeconfig", default="", metavar="FILE", help="default: $KUBECONFIG, else ~/.kube/config")


def again(options: argparse.Namespace, words: str) -> str:
    """A command for this run and cluster, to be typed: `words` are what stands before and behind the run's name, as `logs -f {}`."""
    named = {"-n": options.namespace, "--context": options.context, "--kubeconfig": options.kubeconfig}
    given = [f" {option} {shlex.quote(value)}" for option, value in named.items() if value]
    return f"trainchart {words.format(options.name)}{''.join(given)}"


def connected(options: argparse.Namespace) -> Api:
    """The API server that the options name. Loading the client takes a quarter of a second.

    Raises:
        KubeconfigError
    """
    from trainchart.cluster.connect import connect

    return connect(kubeconfig=options.kubeconfig, context=options.context, namespace=options.namespace)
