"""Options that several commands share, and what is made of them."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from trainchart.errors import UsageError
from trainchart.files import STDIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainchart.chart.engine import Engine, Target
    from trainchart.cluster.api import Api
    from trainchart.values.overrides import Overrides

# Names of Kubernetes and Helm. Any other would change the path of a request.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_MOST_SECONDS = 10**9  # some clocks have no more
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_run_name(parser: argparse.ArgumentParser) -> None:
    """Add `NAME`, of an installed run."""
    parser.add_argument("name", type=parse_name, metavar="RUN", help="name of the run: that of its release")


def add_values_options(parser: argparse.ArgumentParser, files: str, *, family: bool = True) -> None:
    """Add `-f`, which may be repeated, and the options whose values lie over those of the files; `--family` only with `family`."""
    group = parser.add_argument_group("values")
    group.add_argument("-f", "--values", action="append", default=[], metavar="FILE", dest="files", help=files)
    group.add_argument(
        "--values-text", default="", metavar="TEXT", help="the text of a values file, which lies over the files"
    )
    if family:
        group.add_argument("--family", default="", metavar="FAMILY", help="what to train, instead of the files' family")
    group.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", dest="parameters",
        help="a parameter of platforms' pipelines, such as REPLICAS=2 (trainchart docs values); it lies over the files, "
        "and an empty one is not configured",
    )  # fmt: skip
    group.add_argument(
        "--required-param", action="append", default=[], metavar="NAME=VALUE", dest="required",
        help="as --param, for what another step gives: an empty one is refused",
    )  # fmt: skip
    add_set_options(group)


def add_set_options(parser: argparse._ActionsContainer) -> None:
    """Add Helm's options for single values."""
    for option, words in {
        "--set": "values as of helm's --set, such as train.epochs=10; they lie over all others",
        "--set-string": "the same, of texts",
        "--set-json": "the same, in JSON: for numbers with a point, such as train.learningRate=0.001",
    }.items():
        parser.add_argument(option, action=_Set, default=[], metavar="KEY=VALUE", dest="sets", help=words)


class _Set(argparse.Action):
    """Collects the expressions of several options, each with its option."""

    def __call__(self, _, namespace, values, option_string=None):  # type: ignore[no-untyped-def]
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), (option_string, values)])


def overrides_of(options: argparse.Namespace) -> Overrides:
    """The values of the command line, which lie over those of the files.

    Raises:
        UsageError: a parameter that another step gives is empty.
    """
    from trainchart.values.overrides import Overrides

    for name, _, value in (pair.partition("=") for pair in options.required):
        if not value.strip():
            raise UsageError(
                f"--required-param {name} is empty: the step that gives it has none (a run with publish.type none has no "
                "repository, branch or commit); let it publish"
            )
    return Overrides(options.values_text, options.family, [*options.parameters, *options.required], options.sets)


def add_release_options(parser: argparse.ArgumentParser) -> None:
    """Add the name and namespace of a release that is not installed."""
    parser.add_argument(
        "--name",
        type=_parse_release,
        default="run-42",
        metavar="NAME",
        help="name of the release (default: %(default)s)",
    )
    parser.add_argument(
        "-n", "--namespace", type=parse_name, default="training", metavar="NAME",
        help="namespace of the release (default: %(default)s)",
    )  # fmt: skip


def add_format_option(parser: argparse.ArgumentParser, *more: str) -> None:
    """Add `--output`, the format: text for people, JSON for programs, and `more` of the command's own."""
    parser.add_argument(
        "-o",
        "--output",
        choices=("text", "json", *more),
        default="text",
        dest="format",
        help="format (default: %(default)s)",
    )


def add_follow_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that follow a run until it finishes."""
    parser.add_argument(
        "--timeout", type=parse_duration, metavar="DURATION", help="stop following after this time, such as 90m or 12h"
    )
    parser.add_argument(
        "--start-timeout", type=parse_duration, metavar="DURATION", help="stop following if no pod runs by this time"
    )
    parser.add_argument("--quiet", action="store_true", help="print only the result")
    parser.add_argument("--logs", action="store_true", help="print the logs of all pods")
    parser.add_argument(
        "--on-signal",
        choices=("leave", "stop"),
        default="leave",
        metavar="{leave,stop}",
        help="on SIGTERM or Ctrl-C, leave the run alone, or stop it: for a step of a pipeline; if the cluster evicts the "
        "pod of this command, the run continues in any case (default: %(default)s)",
    )
    parser.add_argument(
        "--stop-timeout", type=parse_duration, default=20.0, metavar="DURATION",
        help="with --on-signal stop, wait so long for the run's pods (default: 20s, of Tekton's 30s before SIGKILL)",
    )  # fmt: skip


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Add `--namespace`, `--context` and `--kubeconfig`, as kubectl has them."""
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "-n", "--namespace", type=_parse_namespace, default="", metavar="NAME",
        help="namespace (default: that of the context)",
    )  # fmt: skip
    group.add_argument(
        "--context", default="", metavar="NAME", help="context of the kubeconfig (default: the current context)"
    )
    group.add_argument(
        "--kubeconfig", default="", metavar="FILE", help="kubeconfig (default: $KUBECONFIG, else ~/.kube/config)"
    )


def add_helm_option(parser: argparse.ArgumentParser) -> None:
    """Add `--helm`, for commands that install or uninstall."""
    parser.add_argument(
        "--helm", default="", metavar="PROGRAM",
        help="Helm 3 or 4 (default: none with trainchart[engine], which has Helm's code; else helm)",
    )  # fmt: skip


def helm_of(options: argparse.Namespace, api: Api) -> tuple[Engine, Target]:
    """Helm, and the cluster and namespace of an API client as Helm takes them.

    Raises:
        UsageError: there is no Helm, or the environment would make it use another cluster.
    """
    import os

    from trainchart.chart.engines import engine
    from trainchart.install.helm import target_of

    choose_helm(options)
    return engine(), target_of(api, options.kubeconfig, os.environ)


def choose_helm(options: argparse.Namespace) -> None:
    """Use the program of `--helm`, if it is given, for all that this process does.

    Raises:
        UsageError: it is not on PATH.
    """
    from trainchart.chart.engines import use_program

    if options.helm:
        use_program(options.helm)


def connect(options: argparse.Namespace) -> Api:
    """A client for the API server that the options name. Importing it takes a quarter of a second.

    Raises:
        KubeconfigError
    """
    from trainchart.cluster.connect import connect as connect_to

    return connect_to(kubeconfig=options.kubeconfig, context=options.context, namespace=options.namespace)


def command_line(options: argparse.Namespace, command: str) -> str:
    """A command to type for the same run and cluster. `command` has `{}` for the run's name, such as `logs -f {}`."""
    from trainchart.cluster.connection import Connection

    namespace = f" -n {options.namespace}" if options.namespace else ""
    connection = Connection(options.context, options.kubeconfig)
    return connection.command(f"trainchart {command.format(options.name)}{namespace}")


def check_values(command: str, files: Sequence[str], overrides: Overrides) -> None:
    """Check where the values of a command line come from.

    Raises:
        UsageError: from nowhere, or twice from the standard input.
    """
    if files.count(STDIN) > 1:
        raise UsageError(f"{command}: the standard input (-) can be read only once")
    if not files and not overrides:
        raise UsageError(f"{command}: no values are given; name a values file by -f, or what to train by --family")


def parse_name(value: str) -> str:
    """The type of an option: the name of an object."""
    if not _NAME.fullmatch(value):
        raise argparse.ArgumentTypeError(f"{value!r} is not a valid name; use lower-case letters, digits and -")
    return value


def _parse_release(value: str) -> str:
    """Not empty: the library would put a name of its own in place. Whether it is one is the chart's to say."""
    if not value:
        raise argparse.ArgumentTypeError("is empty; name the release, such as run-42, or leave it out")
    return value


def _parse_namespace(value: str) -> str:
    return value and parse_name(value)


def parse_duration(value: str) -> float:
    """The type of an option: seconds of `90s`, `10m`, `1.5h`, `1h30m` or, without a unit, `90`."""
    whole = f"{value}s" if re.fullmatch(r"\d+(\.\d+)?", value) else value
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", whole)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != whole or not parts or seconds > _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{value!r} is not a duration; write 90s, 10m, 2h or 1d")
    return seconds
