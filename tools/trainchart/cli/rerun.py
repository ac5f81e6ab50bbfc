"""`trainchart rerun`: submit a run again, with the same values and the same commits."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainchart.cli.options import add_run_name, add_values_options, choose_helm, connect, overrides_of, parse_name
from trainchart.cli.parser import Commands, exit_codes
from trainchart.cli.submit import Submitted, add_submit_options, submit, write_outputs
from trainchart.errors import ExitCode, UsageError
from trainchart.terminal import print_message

if TYPE_CHECKING:
    from trainchart.files import Tree
    from trainchart.run.again import Made
    from trainchart.run.state import Snapshot


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "rerun",
        passed_on="helm_arguments",
        help="submit a run again, with the same values and the same commits",
        usage="trainchart rerun NAME --as NEW [--newer] [--set KEY=VALUE ...] [options] [-- HELM ARGUMENTS]",
        description="Submit a run again under another name: with the values that its release keeps, and with the commits "
        "of model and dataset that it trained on. Values of the command line lie over those of the run.",
        epilog=exit_codes(
            ExitCode.NOT_FOUND, ExitCode.UNREACHABLE, ExitCode.FORBIDDEN, ExitCode.PROBLEM,
            ok="completed", also="and those of `trainchart wait`",
        ),
    )  # fmt: skip
    add_run_name(parser)
    parser.add_argument(
        "--as", dest="new_name", type=parse_name, required=True, metavar="NEW", help="name of the new run"
    )
    parser.add_argument(
        "--newer",
        action="store_true",
        help="train on what the branches of the sources have now, not on the same commits",
    )
    add_values_options(parser, "values files that lie over the values of the run; - is the standard input")
    add_submit_options(parser)
    parser.set_defaults(generate_name="")


def run(options: argparse.Namespace) -> int:
    return write_outputs(options, lambda: _rerun(options))


def _rerun(options: argparse.Namespace) -> Submitted:
    from trainchart.checks.values import as_paths
    from trainchart.run import state
    from trainchart.run.again import made_of

    choose_helm(options)
    api = connect(options)
    before = state.load(api, options.name)
    made = made_of(api, before)
    if not made.by_release:
        print_message(_what_is_missing(before))
    with as_paths(options.files) as given, tempfile.TemporaryDirectory(prefix="trainchart-") as folder:
        file, called = Path(folder, "values.yaml"), dict(given)
        options.files = [str(file), *called]
        _write(file, made.values)
        _write(file, _values(options, before, made))
        called[str(file)] = f"values of {options.name}"
        options.name = options.new_name
        return submit(options, called)


def _values(options: argparse.Namespace, before: Snapshot, made: Made) -> Tree:
    """The values of the new run, below those of the command line.

    Raises:
        UsageError: the commits are not known, or the new run would publish to the place of the other one.
    """
    from trainchart.errors import TrainchartError
    from trainchart.files import overlay
    from trainchart.follow.outcome import result_of
    from trainchart.run.again import pinned
    from trainchart.values.validate import values_of

    try:
        changed = values_of(options.files, overrides_of(options))
    except TrainchartError:  # `submit` says what is wrong, and where
        return made.values
    result = result_of(before)
    effective = overlay(made.settings, changed)
    _check_place(before, made.settings, effective, result)
    _say_if_it_continues(options, made.settings, effective)
    if options.newer:
        return made.values
    given = replace(overrides_of(options), family=str(effective.get("family")))  # without the values of the run
    _say_what_is_not_pinned(options, before, values_of(options.files[1:], given), result)
    values, unknown = pinned(made.values, changed, made.settings, result)
    if unknown and not (before.has_finished and result and not result.get("sources")):
        raise UsageError(_unknown_commits(before, unknown))
    if unknown:
        print_message(
            f"{before.name} ended before it fetched anything: {options.new_name} takes what the branches have now"
        )
    return values


def _check_place(
    before: Snapshot, settings: Mapping[str, Any], changed: Mapping[str, Any], result: Mapping[str, Any]
) -> None:
    """Check that the new run has a branch, or a folder of a bucket, of its own: it belongs to the run that made it.

    Raises:
        UsageError: it would publish to the one that has the result of the other run.
    """
    from trainchart.cluster.fields import mapping, text
    from trainchart.run.state import State

    old, new = mapping(settings, "publish"), mapping(changed, "publish")
    place = {"git": ("branch", "repository"), "s3": ("folder", "endpoint", "bucket", "prefix")}.get(text(new, "type"))
    if place is None or any(old.get(key) != new.get(key) for key in ("type", *place)):
        return
    key, name = f"publish.{place[0]}", text(new, place[0])
    if not name:
        return
    if text(result, "branch") == name or before.state is State.COMPLETED:
        raise UsageError(
            f"{key}: {name} has the result of {before.name}, and every run needs its own; "
            f"add --set {key}=NAME, or --set {key}= for a generated one"
        )
    if before.state is State.NO_JOB:
        print_message(
            f"{key}: if {before.name} has published to {name}, the new run ends with exit code 62 before it "
            f"trains; --set {key}= generates one"
        )


def _say_if_it_continues(options: argparse.Namespace, settings: Mapping[str, Any], changed: Mapping[str, Any]) -> None:
    from trainchart.cluster.fields import mapping, text

    old, new = mapping(settings, "workspace"), mapping(changed, "workspace")
    same = all(old.get(key) == new.get(key) for key in ("type", "claimName", "directory"))
    if same and text(new, "type") == "existingClaim" and (directory := text(new, "directory")):
        print_message(
            f"workspace.directory: {options.new_name} uses the folder {directory}, in which it continues from what is there; "
            "add --set workspace.directory= for a folder of its own"
        )


def _say_what_is_not_pinned(
    options: argparse.Namespace, before: Snapshot, given: Mapping[str, Any], result: Mapping[str, Any]
) -> None:
    """Report the revisions of the command line and its files, which come before the commits of the run."""
    from trainchart.cluster.fields import text
    from trainchart.run.settings import SOURCES

    for name in SOURCES:
        revision, commit = text(given, name, "revision"), text(result, "sources", name, "commit")
        if revision and commit and revision != commit:
            print_message(
                f"{name}.revision: {options.new_name} takes {revision}, as your values say, not commit {commit} of "
                f"{before.name}; leave it out for the same commit"
            )


def _unknown_commits(before: Snapshot, sources: Sequence[str]) -> str:
    why = "its pods are gone" if before.has_finished else f"it is {before.state.value}"
    return (
        f"the commits of {' and '.join(sources)} that {before.name} trained on are not known: {why}; add --newer to train on "
        f"what the branches have now, or pin them: --set {sources[0]}.revision=COMMIT"
    )


def _what_is_missing(before: Snapshot) -> str:
    from trainchart.run.again import UNKNOWN

    missing = [*UNKNOWN, *(() if before.job else ("queue", "priorityClassName"))]
    return (
        f"the values of {before.name} are those of its settings, for Helm has no release of it that this account may read; "
        f"not among them are {', '.join(missing)}: set them again where the run had them"
    )


def _write(file: Path, values: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(values, ensure_ascii=False, indent=1), encoding="utf-8")
