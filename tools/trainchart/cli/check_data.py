"""`trainchart check-data`: check a folder as the dataset of a run, before it is pushed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from trainchart.cli import signals
from trainchart.cli.local_run import (
    EXIT_CODES,
    Place,
    add_local_options,
    are_fitting,
    choose_place,
    is_configured,
    manifests,
    on_this_machine,
    result_of,
    source_folder,
    values_given,
)
from trainchart.cli.options import add_format_option, add_values_options, overrides_of
from trainchart.cli.output import coloured
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode, TrainchartError, UsageError
from trainchart.terminal import print_message, print_text, printable


class NotCheckedError(TrainchartError):
    """Nothing on this machine has the trainer that reads the data."""

    exit_code = ExitCode.NOT_CHECKED


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "check-data",
        help="check a folder as the dataset of a run, before it is pushed",
        description="Read a dataset as the family's trainer does, in the image of the run or in this Python, and say how much of it "
        "the trainer uses. It is the check of the stage prepare. The folder is not changed.",
        epilog=exit_codes(
            *EXIT_CODES, ExitCode.NOT_CHECKED, ok="the trainer uses it", also="20 to 32 the runner's own"
        ),
    )
    parser.add_argument("family", metavar="FAMILY", help="what is to be trained")
    parser.add_argument("folder", metavar="FOLDER", help="the dataset")
    parser.add_argument(
        "--model", default="", metavar="FOLDER",
        help="the model repository's folder, which may have the dataset's description (default: your git fetches it)",
    )  # fmt: skip
    add_values_options(
        parser, "values files of the run, with its settings and its image; - is the standard input", family=False
    )
    parser.add_argument("--verbose", action="store_true", help="print the log of the runner too")
    add_format_option(parser)
    add_local_options(parser)


def run(options: argparse.Namespace) -> int:
    signals.interrupt_once()
    try:
        return _check(options)
    except KeyboardInterrupt:
        print_message("interrupted; nothing is left behind")
        return ExitCode.INTERRUPTED


def _check(options: argparse.Namespace) -> int:
    from trainchart.chart.families import family_data, family_names
    from trainchart.checks.values import as_paths
    from trainchart.local.pod import make_pod
    from trainchart.local.scratch import scratch_folder
    from trainchart.local.sources import check_folder

    known = options.family in family_names()
    family = family_data(options.family) if known else {}
    check_folder("FOLDER", options.folder)
    named = {"model": options.model, "dataset": options.folder}
    with ExitStack() as stack:
        files = stack.enter_context(as_paths(options.files))
        overrides = overrides_of(options)
        if not are_fitting(files, overrides):
            return ExitCode.REFUSED
        given = values_given(files, overrides)
        place = _place(options, str(given.get("image") or ""), family) if known else Place(None)
        sources = [name for name, folder in named.items() if folder or is_configured(given, name)]
        objects = manifests(files, on_this_machine(overrides, given, sources, place))
        if objects is None:
            return ExitCode.REFUSED
        scratch = stack.enter_context(scratch_folder(place.discard))
        folders = {name: source_folder(name, named[name], given, scratch) for name in sources}
        log: list[bytes] = []

        def show(line: bytes) -> None:
            log.append(line)
            if options.verbose:
                print_text(line.decode("utf-8", "replace"), sys.stderr)

        pod = make_pod(objects, scratch, folders, "--prepare")
        code = place.run(pod, show)
        answer = {"family": options.family, "folder": options.folder, "checkedIn": str(place)}
        answer.update(_answer(code, result_of(pod), log))
    if options.format == "json":
        print_text(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        _print(answer)
    return code


def _place(options: argparse.Namespace, image: str, family: Mapping[str, Any]) -> Place:
    """Where the trainer is: in the run's image, else in this Python.

    Raises:
        NotCheckedError: nowhere.
        TrainchartError: not where the options say.
    """
    from trainchart.local.container import check_image
    from trainchart.local.here import missing_libraries

    missing = missing_libraries(family)
    if options.here:
        if missing:
            raise NotCheckedError(f"not checked: needs {', '.join(missing)} in this Python ({sys.executable})")
        return choose_place(options)
    try:
        place = choose_place(options)
        if not image:
            raise UsageError("no image is given to read the dataset; name the values file by -f, or --set image=NAME")
        if place.engine:
            check_image(place.engine, image)
        return replace(place, gpu=False)
    except TrainchartError as problem:
        if options.engine:
            raise
        if missing or sys.platform != "linux":
            raise NotCheckedError(
                f"not checked: needs {', '.join(missing)} in this Python, or a container: {problem}"
            ) from None
        print_message(f"using this Python: {problem}")
        return Place(None)


def _answer(code: int, result: Mapping[str, Any], log: Sequence[bytes]) -> dict[str, Any]:
    """What the runner has found."""
    from trainchart.run.events import failure_of, parse

    events = [event for line in log if (event := parse(line.decode("utf-8", "replace")))]
    notes = [event.fields["reason"] for event in events if event.name == "warning" and "reason" in event.fields]
    failure = failure_of(result)
    said = {"stage": failure.stage, "reason": failure.reason, "fix": failure.fix} if failure else {}
    dataset = result.get("dataset")
    parts = dataset.get("parts", []) if isinstance(dataset, dict) else []
    return {"ok": code == 0, "code": code, "parts": parts, "notes": notes, **said}


def _print(answer: Mapping[str, Any]) -> None:
    from trainchart.run.events import format_used

    for part in answer["parts"]:
        print_text(printable(format_used([part]) + _left_out(part)))
    for note in answer["notes"]:
        print_text(f"{coloured('warning')}: {printable(note)}", styled=True)
    if answer["ok"]:
        print_text(f"{coloured('ok')}: {printable(answer['folder'])} is a dataset for {answer['family']}", styled=True)
    else:
        fix = f"; {answer['fix']}" if answer.get("fix") else ""
        print_text(f"{coloured('problem')}: {printable(answer.get('reason', '') + fix)}", styled=True)


def _left_out(part: Mapping[str, Any]) -> str:
    """The records that the trainer leaves out: `; left out: images/3.jpg: truncated, and 2 more`."""
    named = part.get("leftOut") or []
    more = (part.get("leftOutTotal") or 0) - len(named)
    texts = [*map(str, named), *([f"and {more} more"] if more > 0 else [])]
    return f"; left out: {', '.join(texts)}" if texts else ""
