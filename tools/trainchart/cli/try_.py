"""`trainchart try`: a whole run on this machine, without a cluster."""

from __future__ import annotations

import argparse
import os
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
    are_fitting,
    check_image,
    choose_place,
    is_configured,
    manifests,
    on_this_machine,
    print_failure,
    result_of,
    source_folder,
    values_given,
    without_needless_gpu,
)
from trainchart.cli.options import add_values_options, check_values, overrides_of
from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode, FileError
from trainchart.files import overlay
from trainchart.terminal import print_message, print_text
from trainchart.units import duration

if TYPE_CHECKING:
    from trainchart.chart.render import Manifest
    from trainchart.cli.local_run import Place

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
    if options.keep and os.access(options.keep, os.F_OK):
        raise FileError(f"--keep: {options.keep} exists; name a new folder")
    if options.keep and not _can_be_made(options.keep.absolute()):
        raise FileError(f"--keep: {options.keep} cannot be made; name a folder where you may write")
    try:
        return _try(options)
    except KeyboardInterrupt:
        print_message("interrupted; nothing is left behind")
        return ExitCode.INTERRUPTED


def _try(options: argparse.Namespace) -> int:
    from trainchart.chart.families import family_data
    from trainchart.checks.values import as_paths
    from trainchart.local.scratch import scratch_folder

    place = choose_place(options)
    with ExitStack() as stack:
        files = stack.enter_context(as_paths(options.files))
        overrides = overrides_of(options)
        if not are_fitting(files, overrides):
            return ExitCode.REFUSED
        given = values_given(files, overrides)
        place = without_needless_gpu(place, given)
        named = {"model": options.model, "dataset": options.data}
        sources = [name for name, folder in named.items() if folder or is_configured(given, name)]
        overrides = on_this_machine(overrides, given, sources, place)
        whole = manifests(files, overrides)
        if whole is None:
            return ExitCode.REFUSED
        shorter = family_data(given["family"]).get("try", {})
        overrides = replace(overrides, defaults=overlay(overrides.defaults, {"train": shorter.get("train", {})}))
        short = manifests(files, overrides) if shorter else whole
        if short is None:
            return ExitCode.REFUSED
        check_image(place, whole)
        scratch = stack.enter_context(scratch_folder(place.discard))
        folders = {name: source_folder(name, named[name], given, scratch) for name in sources}
        trial = _Trial(place, scratch, folders)
        if shorter and "dataset" in folders:
            print_message(f"checking the dataset with your settings, in {place}")
            if trial.start("check", whole, "--prepare"):
                return trial.failed()
            folders["dataset"] = _few(folders["dataset"], scratch, shorter.get("images", 0))
        print_message(f"running all stages but publish, on the {place.device}, in {place}")
        code = trial.start("run", short)
        if options.keep:
            trial.keep(options.keep)
        return trial.failed() if code else trial.completed(options.keep)


class _Trial:
    """The check and the run, which follows it, with what they left."""

    def __init__(self, place: Place, scratch: Path, folders: Mapping[str, Path]) -> None:
        self._place = place
        self._scratch = scratch
        self._folders = folders
        self._printer = LogPrinter(replicas=1)
        self._started = time.monotonic()
        self._code = 0
        self._run_folder = scratch
        self._result: dict[str, Any] = {}

    def start(self, what: str, objects: list[Manifest], *arguments: str) -> int:
        """Run the pod of rendered objects, with its log printed, and return its exit code."""
        from trainchart.local.pod import make_pod

        work = self._scratch / what
        work.mkdir()
        pod = make_pod(objects, work, self._folders, *arguments)
        self._code = self._place.run(pod, lambda line: self._printer.write(0, line))
        checked = self._result.get("dataset")  # with all records and the user's settings
        self._result = {**result_of(pod), **({"dataset": checked} if checked else {})}
        self._run_folder = pod.run_folder
        return self._code

    def failed(self) -> int:
        """Print why the last one failed, and return its exit code."""
        print_failure(f"failed after {duration(time.monotonic() - self._started)}", self._result)
        return self._code

    def completed(self, kept: Path | None) -> int:
        """Print the result, and return the exit code."""
        from trainchart.follow.outcome import format_result

        here = {
            key: value for key, value in self._result.items() if key != "sources"
        }  # they are folders of this machine
        lines = format_result(here, str(kept or ""))
        print_text("\n".join([f"completed after {duration(time.monotonic() - self._started)}", *lines]))
        return ExitCode.OK

    def keep(self, folder: Path) -> None:
        """Move what the run has left to a new folder. Raises FileError."""
        try:
            folder.mkdir(parents=True)
            for path in (self._run_folder / name for name in _KEPT):
                if path.exists():
                    shutil.move(path, folder / path.name)
        except OSError as error:
            raise FileError(f"--keep: {folder} cannot be written: {error.strerror or error}") from None


def _can_be_made(folder: Path) -> bool:
    """Whether a new folder may be made there, as far as can be told before."""
    above = next(path for path in folder.parents if os.access(path, os.F_OK))
    return above.is_dir() and os.access(above, os.W_OK | os.X_OK)


def _few(data: Path, scratch: Path, most: int) -> Path:
    """A copy of a dataset with few images; the dataset itself if it has no more."""
    from trainchart.local.few import take_few

    few, total = take_few(data, scratch / "few", most) if most else (0, 0)
    if few == total:
        return data
    print_message(f"training on {few} of its {total} images")
    return scratch / "few"
