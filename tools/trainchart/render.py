"""Render the chart with Helm's own engine: in this process (about 3 ms), or by the `helm` program (about 100 ms)."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from trainchart.errors import RenderError

CHART = Path(__file__).parents[2] / "charts" / "train"

Manifest = dict[str, Any]

# libyaml where PyYAML was built with it: manifests are the larger part of the time.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def render(
    values: Mapping[str, Any], *, name: str = "run-42", namespace: str = "training", chart: Path = CHART
) -> list[Manifest]:
    """The objects of a release, in the order of their files; hooks (`helm test`) included, NOTES not.

    The shape of `values` is not checked here: the chart is loaded without its schema, which Helm would compile at every call.

    Raises:
        RenderError: the chart refused the values; its text is what Helm says.
    """
    documents = render_text(values, name=name, namespace=namespace, chart=chart)
    return [
        manifest
        for path in sorted(documents)
        if path.endswith(".yaml")
        for manifest in yaml.load_all(documents[path], Loader=_Loader)
        if manifest
    ]


def render_text(
    values: Mapping[str, Any], *, name: str = "run-42", namespace: str = "training", chart: Path = CHART
) -> dict[str, str]:
    """The rendered text of every template by its path below `templates/`, NOTES.txt included."""
    from helm_python import HelmError  # loading Helm's library takes 80 ms

    try:
        files: dict[str, str] = _load(chart).render(dict(values), name=name, namespace=namespace)
    except HelmError as error:
        raise RenderError(str(error)) from None
    return {path.partition("/templates/")[2]: text for path, text in files.items()}


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
    for manifest in yaml.load_all(text, Loader=_Loader):
        if manifest:
            yield manifest


@cache
def _load(chart: Path) -> Any:
    """The chart without its schema, loaded once per process."""
    from helm_python import Chart

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, chart.name)
        shutil.copytree(chart, copy, ignore=shutil.ignore_patterns("values.schema.json", "__pycache__"))
        return Chart.load(copy)
