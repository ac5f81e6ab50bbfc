"""`trainchart stop`: ends a run in order."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from trainchart.cli.connection import add_connection_options, add_run_name, again, connected
from trainchart.cli.duration import seconds_of
from trainchart.cli.output import show
from trainchart.cli.parser import Commands
from trainchart.errors import ExitCode, FileError
from trainchart.terminal import tell


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "stop",
        help="end a run in order; the release stays",
        description="Ends a run in order (Volcano: AbortJob) and waits until its pods are gone. The release stays, with what "
        "the run said: on a claim the runner keeps its log; on an emptyDir the log is written to a file here.",
        epilog="exit codes: 0 stopped, or it had ended; 3 its pods took too long; 4 no such run; 5 API server away; 6 no right",
    )
    add_run_name(parser)
    parser.add_argument(
        "--logs",
        metavar="FILE",
        default="",
        help="add what its pods print to this file (default, without a claim: ./NAME.log)",
    )
    parser.add_argument(
        "--timeout", type=seconds_of, default=180.0, metavar="D", help="for its pods to end (default: 3m)"
    )
    add_connection_options(parser)


def run(options: argparse.Namespace) -> ExitCode:
    from trainchart.cli.logs import Printer
    from trainchart.follow.stop import keeps_logs, stop
    from trainchart.run import state

    api = connected(options)
    snapshot = state.load(api, options.name)
    file = options.logs or ("" if keeps_logs(snapshot) or not snapshot.pods else f"{options.name}.log")
    with ExitStack() as stack:
        printer = None
        if file and not snapshot.has_finished:
            try:
                out = stack.enter_context(Path(file).open("ab"))
            except OSError as error:
                raise FileError(
                    f"--logs: {file} cannot be written: {error.strerror}; nothing was stopped; name another file by --logs"
                ) from None
            printer = Printer(snapshot.replicas > 1, False, snapshot.replicas, out)
        try:
            ended = stop(
                api,
                snapshot,
                tell,
                show=printer.show if printer else None,
                seconds=options.timeout,
            )
        except KeyboardInterrupt:
            tell(f"{options.name} ends nevertheless; `{again(options, 'stop {}')}` waits for it again")
            return ExitCode.INTERRUPTED
    name, state_now = options.name, ended.snapshot.state.value
    if ended.had_finished:
        gone = ended.snapshot.state is state.State.NO_JOB
        show(f"the Job of {name} is gone already" if gone else f"{name} had ended already: {state_now}")
        return ExitCode.OK
    if ended.snapshot.state is state.State.STOPPED:
        show(f"{name} is stopped; its release stays; {ended.snapshot.uninstall}")
    else:
        show(f"{name} {state_now} before it could be stopped")
    if file:
        show(f"what its pods said is in {file}")
    elif keeps_logs(snapshot):
        attempt = ended.snapshot.attempt + 1
        kept = again(options, f"logs {{}} --attempt {attempt}")
        show(f"what its pods said is kept in its workspace: {kept}")
    return ExitCode.OK
