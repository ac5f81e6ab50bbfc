"""From values files to what a run asks for."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from trainchart.chart.paths import CHART
from trainchart.chart.render import render
from trainchart.checks.run_spec import RunSpec, run_spec
from trainchart.cluster.fields import text
from trainchart.errors import FileError, RenderError
from trainchart.files import STDIN, read_text
from trainchart.values.overrides import NO_OVERRIDES, Overrides
from trainchart.values.validate import Report, validate, values_of

STDIN_NAME = "<stdin>"


@contextmanager
def as_paths(files: Sequence[str], called: Mapping[str, str] = {}) -> Iterator[list[tuple[str, str]]]:
    """Copies of the files, which only this user reads, each with what the file is called: its path, if `called` has no other name.

    Values are read several times, and what is installed has to be what was judged: the standard input and a FIFO, such as that
    of the shell's `<(command)`, can be read once, and a file may be saved again meanwhile.

    Raises:
        FileError: a file cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="trainchart-") as folder:
        paths: list[tuple[str, str]] = []
        for number, file in enumerate(files):
            name = STDIN_NAME if file == STDIN else called.get(file, file)
            copy = Path(folder, f"{number}.yaml")
            try:
                copy.write_text(read_text(file), encoding="utf-8")
            except FileError as error:
                raise FileError(f"{name} {error}") from None
            paths.append((str(copy), name))
        yield paths


def validated(
    files: Sequence[tuple[str, str]],
    overrides: Overrides = NO_OVERRIDES,
    *,
    name: str,
    namespace: str,
    chart: Path = CHART,
) -> Report:
    """What `trainchart validate` says of the files, under their own names, and of the command line's values."""
    called = dict(files)
    report = validate([path for path, _ in files], overrides, name=name, namespace=namespace, chart=chart)
    diagnostics = [replace(found, file=called.get(found.file or "", found.file)) for found in report.diagnostics]
    return Report(diagnostics, report.summary)


def run_spec_from(
    paths: Sequence[str], overrides: Overrides = NO_OVERRIDES, *, name: str, namespace: str, chart: Path = CHART
) -> RunSpec:
    """Of valid values.

    Raises:
        RenderError: the chart is not one of training runs.
    """
    manifests = render(values_of(paths, overrides), name=name, namespace=namespace, chart=chart)
    if not any(text(manifest, "apiVersion").startswith("batch.volcano.sh/") for manifest in manifests):
        raise RenderError(
            f"{chart} makes no Volcano Job, so there is no run to follow; name the chart of a run by --chart"
        )
    return run_spec(manifests, name)
