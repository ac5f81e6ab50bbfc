"""`trainchart delete`: remove runs, by Helm or without it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trainchart.cli.options import (
    add_connection_options,
    add_helm_option,
    connect,
    helm_of,
    parse_duration,
    parse_name,
)
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode, TrainchartError
from trainchart.terminal import print_message, print_text

if TYPE_CHECKING:
    from trainchart.cluster.api import Api
    from trainchart.run.installed import Installed


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "delete",
        help="remove runs and all that belongs to them",
        description="Remove runs: uninstall their releases, or delete their objects if they were installed without "
        "Helm's help (`helm template | kubectl create`). Claims with workspace.keep stay. A run that has not finished "
        "is left, unless --stop is given.",
        epilog=exit_codes(
            ExitCode.TIMED_OUT, ExitCode.NOT_FOUND, ExitCode.UNREACHABLE, ExitCode.FORBIDDEN,
            ok="all are removed", also="of several runs, the code of the first that is not removed",
        ),
    )  # fmt: skip
    parser.add_argument("names", nargs="+", type=parse_name, metavar="NAME", help="names of the runs")
    parser.add_argument(
        "--stop", action="store_true", help="stop runs that have not finished, gracefully, then remove them"
    )
    parser.add_argument(
        "--timeout",
        type=parse_duration,
        default=180.0,
        metavar="DURATION",
        help="with --stop: wait so long for the pods of a run (default: 3m)",
    )
    parser.add_argument("--ignore-not-found", action="store_true", help="a run that does not exist is no error")
    add_helm_option(parser)
    add_connection_options(parser)


def run(options: argparse.Namespace) -> int:
    api = connect(options)
    codes = [_try_to_delete(api, name, options) for name in dict.fromkeys(options.names)]
    return next(filter(None, codes), ExitCode.OK)


def _try_to_delete(api: Api, name: str, options: argparse.Namespace) -> int:
    try:
        _delete(api, name, options)
    except TrainchartError as error:
        print_message(str(error))
        return error.exit_code
    return ExitCode.OK


def _delete(api: Api, name: str, options: argparse.Namespace) -> None:
    from trainchart.cluster.errors import NotFoundError
    from trainchart.follow.stop import stop
    from trainchart.install.remove import delete
    from trainchart.run import state

    def stopped(running: str) -> None:
        stop(api, state.load(api, running), print_message, show=None, seconds=options.timeout)

    try:
        run = delete(
            api,
            lambda: helm_of(options, api),
            name,
            print_message,
            stop=stopped if options.stop else None,
            also=options.names,
        )
    except NotFoundError:
        if not options.ignore_not_found:
            raise
        return
    print_text(f"{name} is removed{kept(run)}")


def kept(run: Installed) -> str:
    """What stays of a run that is removed, to be appended to a sentence."""
    claims = run.kept_claims
    what = f"claim {claims[0]}" if len(claims) == 1 else f"claims {', '.join(claims)}"
    return f"; {what} is kept (workspace.keep)" if claims else ""
