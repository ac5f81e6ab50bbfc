"""Render the chart with Helm's own engine: in this process (about 5 ms), or by the `helm` program (about 70 ms)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from trainchart.chart.paths import CHART
from trainchart.errors import RenderError

Manifest = dict[str, Any]

# Helm's library brings Go's runtime, which with so small a heap would collect its garbage at every render. It reads this when
# the library is loaded, which nothing does before this module.
os.environ.setdefault("GOGC", "800")


def render(
    values: Mapping[str, Any], *, name: str = "run-42", namespace: str = "training", chart: Path = CHART
) -> list[Manifest]:
    """The objects of a release, in the order of their files; hooks (`helm test`) included, NOTES not.

    The shape of `values` is not checked here: the chart is loaded without its schema, which Helm would compile at every call.

    Raises:
        RenderError: the chart refused the values; its text is what Helm says.
    """
    return manifests_of(render_text(values, name=name, namespace=namespace, chart=chart))


def manifests_of(documents: Mapping[str, str]) -> list[Manifest]:
    """The objects in rendered texts, in the order of their files."""
    return [
        manifest for path in sorted(documents) if path.endswith(".yaml") for manifest in _documents(documents[path])
    ]


def render_text(
    values: Mapping[str, Any], *, name: str = "run-42", namespace: str = "training", chart: Path = CHART
) -> dict[str, str]:
    """The rendered text of every template by its path below `templates/`, NOTES.txt included."""
    from helm_python import HelmError  # loading Helm's library takes 80 ms

    try:
        with _quiet():
            files: dict[str, str] = _load(chart).render(dict(values), name=name, namespace=namespace)
    except HelmError as error:
        raise RenderError(str(error)) from None
    return {path.partition("/templates/")[2]: text for path, text in files.items()}


def with_defaults(values: Mapping[str, Any], *, chart: Path = CHART) -> dict[str, Any]:
    """The values over the chart's defaults, as Helm lays them before it checks the schema: a null deletes a default.

    Raises:
        RenderError: Helm cannot do it; its text is Helm's.
    """
    from helm_python import HelmError

    try:
        with _quiet():
            merged: dict[str, Any] = _load(chart).merge_values(dict(values))
    except HelmError as error:
        raise RenderError(str(error)) from None
    return merged


def render_by_helm(
    values: Mapping[str, Any],
    *,
    name: str = "run-42",
    namespace: str = "training",
    chart: Path = CHART,
    helm: str = "helm",
) -> list[Manifest]:
    """The same by the `helm` program, its schema check included.

    Raises:
        RenderError: Helm refused the values; its text is what Helm prints.
    """
    import subprocess

    import yaml

    command = [helm, "template", name, str(chart), "--namespace", namespace, "--values", "-"]
    environment = {**os.environ, "HELM_DEBUG": "false"}
    process = subprocess.run(
        command,
        input=yaml.safe_dump(dict(values)),
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    if process.returncode:
        raise RenderError(process.stderr.strip())
    return list(_documents(process.stdout))


def _documents(text: str) -> Iterator[Manifest]:
    import yaml

    # libyaml where PyYAML was built with it: manifests are the larger part of the time.
    for manifest in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if manifest:
            yield manifest


@cache
def _load(chart: Path) -> Any:
    """The chart without its schema, loaded once per process."""
    from helm_python import Chart

    with tempfile.TemporaryDirectory() as folder:
        view = Path(folder, chart.name)
        view.mkdir()
        for entry in chart.resolve().iterdir():
            # A link costs a tenth of a copy, and Helm follows it.
            if entry.name != "values.schema.json":
                (view / entry.name).symlink_to(entry)
        with _quiet():
            return Chart.load(view)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what Helm's library writes straight to file descriptor 2: a line per link, a line per value of a wrong type.

    Descriptors are the process's: what another thread writes to stderr in these milliseconds is lost too.
    """
    try:
        saved = os.dup(2)
    except OSError:  # closed: nothing to keep quiet
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
