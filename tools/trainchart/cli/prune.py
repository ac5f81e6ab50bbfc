"""`trainchart prune`: remove runs that have finished long ago."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from trainchart.cli.delete import kept
from trainchart.cli.options import (
    add_connection_options,
    add_format_option,
    add_helm_option,
    connect,
    helm_of,
    parse_duration,
)
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode
from trainchart.terminal import print_message, print_text

if TYPE_CHECKING:
    from datetime import datetime

    from trainchart.cluster.fields import Object
    from trainchart.install.prune import Due, Outcome


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "prune",
        help="remove runs that finished long ago",
        description="Remove the runs of a namespace that finished longer ago than --older-than: their releases, or their "
        "objects. Runs that have not finished, claims with workspace.keep and releases of other charts stay.",
        epilog=exit_codes(
            ExitCode.NOT_FOUND, ExitCode.UNREACHABLE, ExitCode.FORBIDDEN,
            ok="all that are due are removed", also="of several runs, the code of the first that is not removed",
        ),
    )  # fmt: skip
    parser.add_argument(
        "--older-than",
        type=parse_duration,
        default=7 * 86400.0,
        metavar="DURATION",
        help="remove runs that finished longer ago than this (default: 7d); 0s removes all that have finished",
    )
    parser.add_argument("--keep-failed", action="store_true", help="leave runs that have failed")
    parser.add_argument("--dry-run", action="store_true", help="show what would be removed, and remove nothing")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="remove the runs of all namespaces")
    add_helm_option(parser)
    add_format_option(parser)
    add_connection_options(parser)


def run(options: argparse.Namespace) -> int:
    from datetime import timedelta
    from functools import cache

    from trainchart.install.prune import due, prune
    from trainchart.run.installed import installed

    api = connect(options)
    found = installed(api, all_namespaces=options.all_namespaces, notify=print_message)
    now = api.now()
    limit = timedelta(seconds=options.older_than)
    chosen = due(api, found, print_message, older_than=limit, now=now, keep_failed=options.keep_failed)
    where = "all namespaces" if options.all_namespaces else f"namespace {api.namespace}"
    report = _Report(options, now, where)
    if options.dry_run:
        for one in chosen:
            report.would_remove(one)
        report.finish()
        return ExitCode.OK
    helm = cache(lambda: helm_of(options, api))
    if any(one.run.release for one in chosen):
        helm()  # fails before anything is removed
    try:
        for outcome in prune(api, helm, chosen, print_message):
            report.take(outcome)
    finally:
        report.finish()
    return report.code


class _Report:
    """Prints what is removed: a line for each, or all of it as JSON."""

    def __init__(self, options: argparse.Namespace, now: datetime, where: str) -> None:
        self._options, self._now, self._where = options, now, where
        self._removed: list[Due] = []
        self._failed: list[Outcome] = []

    @property
    def code(self) -> int:
        return next((int(outcome.error.exit_code) for outcome in self._failed if outcome.error), ExitCode.OK)

    def would_remove(self, one: Due) -> None:
        self._removed.append(one)
        self._line(one, "would be removed")

    def take(self, outcome: Outcome) -> None:
        if outcome.error:
            self._failed.append(outcome)
            print_message(str(outcome.error))
        else:
            self._removed.append(outcome.due)
            self._line(outcome.due, "is removed")

    def _line(self, one: Due, what: str) -> None:
        from trainchart.units import between

        if self._options.format == "json":
            return
        name = f"{one.run.namespace}/{one.run.name}" if self._options.all_namespaces else one.run.name
        ended = f"{one.run.state.value}, {between(one.ended, self._now)} ago"
        print_text(f"{name} {what} ({ended}){kept(one.run)}")

    def finish(self) -> None:
        """Print the summary, or the JSON object."""
        from trainchart.units import span

        if self._options.format == "json":
            import json

            print_text(json.dumps(self._as_object(), indent=2))
            return
        age = f"finished more than {span(self._options.older_than)} ago"
        if not self._removed and not self._failed:
            print_text(f"no run in {self._where} {age}")
            return
        verb = "would be removed" if self._options.dry_run else "removed"
        left = f", {len(self._failed)} could not be" if self._failed else ""
        print_text(f"{len(self._removed)} {verb}{left}: {self._where}, {age}")

    def _as_object(self) -> Object:
        failed = [
            {**_as_object(outcome.due), "error": str(outcome.error), "code": int(outcome.error.exit_code)}
            for outcome in self._failed
            if outcome.error
        ]
        removed = [_as_object(one) for one in self._removed]
        return {"dryRun": self._options.dry_run, "removed": removed, "failed": failed}


def _as_object(one: Due) -> Object:
    from trainchart.units import stamp

    return {
        "name": one.run.name,
        "namespace": one.run.namespace,
        "state": one.run.state.value,
        "ended": stamp(one.ended),
        "keptClaims": one.run.kept_claims,
    }
