"""The options by which a command finds its cluster, as kubectl has them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainchart.cluster.api import Api


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """`--kubeconfig`, `--context`, `--namespace`."""
    group = parser.add_argument_group("cluster")
    group.add_argument("-n", "--namespace", default="", metavar="NAME", help="default: the context's")
    group.add_argument(
        "--context", default="", metavar="NAME", help="context of the kubeconfig (default: the current one)"
    )
    group.add_argument("--kubeconfig", default="", metavar="FILE", help="default: $KUBECONFIG, else ~/.kube/config")


def connected(options: argparse.Namespace) -> Api:
    """The API server that the options name. Loading the client takes a quarter of a second.

    Raises:
        KubeconfigError
    """
    from trainchart.cluster.api import connect

    return connect(kubeconfig=options.kubeconfig, context=options.context, namespace=options.namespace)
