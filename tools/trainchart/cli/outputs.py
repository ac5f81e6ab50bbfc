"""The files that `trainchart submit --output WHAT FILE` writes for an engine of pipelines."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainchart.errors import FileError, UsageError
from trainchart.terminal import print_message

if TYPE_CHECKING:
    from trainchart.run.state import Snapshot

KNOWN = ("repository", "branch", "commit", "metrics", "ranks", "exit-code", "run", "completed")
_METRICS_BYTES = 1024
"""All results of a step of Tekton share 4,096 bytes, in which every quote of them has a backslash."""


class Outputs:
    """Each is always written, for an engine takes a missing file for an error of its own; empty where the run has none."""

    def __init__(self, pairs: Sequence[Sequence[str]], inputs: Sequence[str] = ()) -> None:
        """Write them empty, before anything is submitted.

        Args:
            pairs: what to write, and the file.
            inputs: files that the command reads.

        Raises:
            UsageError: there is no such output, or its file is an input or that of another one.
            FileError: a file cannot be written.
        """
        self._files = [(what, Path(file)) for what, file in pairs]
        taken = {os.path.realpath(file): "read" for file in inputs}
        for what, file in self._files:
            if what not in KNOWN:
                raise UsageError(f"--output: {what!r} is not an output; use one of {', '.join(KNOWN)}")
            place = os.path.realpath(file)
            if place in taken and not _is_special(file):
                raise UsageError(f"--output {what}: {file} is {taken[place]} by this command too; name another file")
            taken[place] = f"written ({what})"
        for what, file in self._files:
            if reason := _try_to_write(file, ""):
                raise FileError(f"--output {what}: {file} cannot be written: {reason}; name another file")

    def __bool__(self) -> bool:
        return bool(self._files)

    def write(self, code: int, run: Snapshot | None) -> None:
        """Write what is known of the run in the end; None: nothing was submitted."""
        from trainchart.cluster.fields import mapping, text
        from trainchart.follow.outcome import result_of

        result = result_of(run) if run else {}
        known = {
            **{key: text(result, key) for key in ("repository", "branch", "commit")},
            "metrics": format_metrics(mapping(result, "metrics")),
            "ranks": json.dumps([str(rank) for rank in range(run.replicas if run and run.job else 0)]),
            "exit-code": str(int(code)),
            "run": run.name if run else "",
            # No JSON unless it is true: an engine that has lost the exit code cannot read it, and so fails.
            "completed": "true" if code == 0 and run and run.has_finished else f"exit code {int(code)}",
        }
        for what, file in self._files:
            if reason := _try_to_write(file, known[what]):
                print_message(f"--output {what}: {file} cannot be written: {reason}")


def format_metrics(metrics: dict[str, object]) -> str:
    """Metrics as a JSON object of a bounded size: the one that matters first, and those that no longer fit left out."""
    from trainchart.run.metrics import headline

    # JSON has no NaN, which is the loss of a training that diverged.
    numbers = {name: value for name, value in metrics.items() if isinstance(value, int | float) and _is_finite(value)}
    main = headline(numbers)
    ordered = {name: numbers[name] for name in sorted(numbers, key=lambda name: name != main)}
    short: dict[str, object] = {}
    for name, value in ordered.items():
        longer = {**short, name: float(f"{value:.6g}") if isinstance(value, float) else value}
        if len(json.dumps(_as_json(longer))) <= _METRICS_BYTES:
            short = longer
    return _as_json(short)


def _is_finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


def _as_json(metrics: dict[str, object]) -> str:
    return json.dumps(metrics, separators=(",", ":"))


def _try_to_write(file: Path, content: str) -> str:
    """Write a file, and the folders above it; return what kept it from being written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        _write(file, content)
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def _write(file: Path, content: str) -> None:
    """Replace a file at once, so that no reader sees half of it; what is a link, no plain file, or mounted, is written into."""
    if not file.is_symlink() and not _is_special(file):
        other = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            other.write_text(content, encoding="utf-8")
            if file.exists():
                shutil.copymode(file, other)
            other.replace(file)
            return
        except OSError:
            with contextlib.suppress(OSError):  # of a file system that cannot be written
                other.unlink()
    file.write_text(content, encoding="utf-8")


def _is_special(file: Path) -> bool:
    """Whether it is a device, a pipe or a folder."""
    return file.exists() and not file.is_file()
