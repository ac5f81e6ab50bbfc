"""`trainchart try`: a whole run on this machine, without a cluster."""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainchart.cli import signals
from trainchart.cli.console import LogPrinter
from trainchart.cli.local_run import (
    EXIT_CODES,
    add_local_options,
    check_image,
    choose_place,
    is_configured,
    manifests,
    on_this_machine,
    print_failure,
    result_of,
    source_folder,
    values_given,
)
from trainchart.cli.options import add_values_options, check_values, overrides_of
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode, FileError
from trainchart.files import overlay
from trainchart.terminal import print_message, print_text
from trainchart.units import duration

if TYPE_CHECKING:
    from trainchart.local.pod import LocalPod

_KEPT = ("artifacts", "output", "result.json")


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "try",
        help="try a run on this machine, without a cluster: one epoch on few records",
        description="Run all stages but publish on this machine, in a container of the run's image or in this Python: "
        "the same programs with the same settings as in the cluster, for one epoch on few records. The dataset is checked "
        "whole. Nothing is changed, and nothing is left behind.",
        epilog=exit_codes(*EXIT_CODES, ok="completed", also="10 to 50 the runner's own"),
    )
    add_values_options(parser, "values files of the run; - is the standard input")
    parser.add_argument(
        "--model", default="", metavar="FOLDER", help="the model repository's folder (default: your git fetches it)"
    )
    parser.add_argument(
        "--data", default="", metavar="FOLDER", help="the dataset's folder (default: your git fetches it)"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep artifacts, output and result.json in this new folder"
    )
    add_local_options(parser)


def run(options: argparse.Namespace) -> int:
    signals.interrupt_once()
    overrides = overrides_of(options)
    check_values("try", options.files, overrides)
    if options.keep and options.keep.exists():
        raise FileError(f"--keep: {options.keep} exists; name a new folder")
    try:
        return _try(options)
    except KeyboardInterrupt:
        print_message("interrupted; nothing is left behind")
        return ExitCode.INTERRUPTED


def _try(options: argparse.Namespace) -> int:
    from trainchart.checks.values import as_paths
    from trainchart.local.pod import make_pod
    from trainchart.local.scratch import scratch_folder

    place = choose_place(options)
    with ExitStack() as stack:
        files = stack.enter_context(as_paths(options.files))
        overrides = overrides_of(options)
        given = values_given(files, overrides)
        family = _family(given)
        shown = LogPrinter(replicas=1)
        scratch = stack.enter_context(scratch_folder())
        named = {"model": options.model, "dataset": options.data}
        sources = [name for name, folder in named.items() if folder or is_configured(given, name)]
        overrides = on_this_machine(overrides, given, sources, place)
        overrides = replace(overrides, defaults=overlay(overrides.defaults, {"train": family.get("train", {})}))
        objects = manifests(files, overrides)
        if objects is None:
            return ExitCode.REFUSED
        check_image(place, objects)
        folders = {name: source_folder(name, named[name], given, scratch) for name in sources}
        started = time.monotonic()

        def start(what: str, data: Path | None, *arguments: str) -> tuple[int, LocalPod]:
            work = scratch / what
            work.mkdir()
            pod = make_pod(objects, work, {**folders, "dataset": data} if data else folders, *arguments)
            return place.run(pod, lambda line: shown.write(0, line)), pod

        data = folders.get("dataset")
        whole: Mapping[str, Any] = {}
        few, total = _few(data, scratch, family.get("images", 0))
        if few:
            print_message(f"checking all {total} images of the dataset, in {place}")
            code, pod = start("check", data, "--prepare")
            whole = result_of(pod)
            if code:
                return _failed(code, whole, started)
            print_message(f"training on {few} of them, on the {place.device}")
            data = scratch / "few"
        else:
            print_message(f"running all stages but publish, on the {place.device}, in {place}")
        code, pod = start("run", data)
        result = {**result_of(pod), **({"dataset": whole["dataset"]} if "dataset" in whole else {})}
        if options.keep:
            _keep(pod, options.keep)
        return _failed(code, result, started) if code else _completed(result, started, options.keep)


def _family(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the family says of a try: settings of `train`, and a number of images; empty if it says nothing, or does not exist."""
    from trainchart.chart.families import family_data, family_names

    name = given.get("family")
    return family_data(name).get("try", {}) if name in family_names() else {}


def _few(data: Path | None, scratch: Path, most: int) -> tuple[int, int]:
    """Make `few`, a copy of a dataset with few images; how many of how many those are, and 0 if it has no more."""
    from trainchart.local.few import take_few

    if data is None or not most:
        return 0, 0
    few, total = take_few(data, scratch / "few", most)
    return (few if few < total else 0), total


def _keep(pod: LocalPod, folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
        for name in _KEPT:
            path = pod.run_folder / name
            if path.exists():
                shutil.move(path, folder / name)
    except OSError as error:
        raise FileError(f"--keep: {folder} cannot be written: {error.strerror or error}") from None


def _failed(code: int, result: Mapping[str, Any], started: float) -> int:
    print_failure(f"failed after {duration(time.monotonic() - started)}", result)
    return code


def _completed(result: Mapping[str, Any], started: float, kept: Path | None) -> int:
    from trainchart.follow.outcome import format_result

    here = {key: value for key, value in result.items() if key != "sources"}  # they are folders of this machine
    lines = format_result(here, str(kept or ""))
    print_text("\n".join([f"completed after {duration(time.monotonic() - started)}", *lines]))
    return ExitCode.OK
