"""Values and charts, as Helm reads, merges and renders them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainchart.chart.engines import engine
from trainchart.chart.paths import CHART
from trainchart.errors import RenderError
from trainchart.files import Tree

Manifest = dict[str, Any]


def render(
    values: Mapping[str, Any], *, name: str = "run-42", namespace: str = "training", chart: Path = CHART
) -> list[Manifest]:
    """The objects of a release, in the order of their files; hooks (`helm test`) included, NOTES not.

    The shape of `values` is not checked here: the chart is loaded without its schema.

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
    """The rendered text of every template by its path below `templates/`, NOTES.txt included.

    Raises:
        RenderError: as `render`.
    """
    return engine().render(values, chart, name=name, namespace=namespace)


def with_defaults(values: Mapping[str, Any], *, chart: Path = CHART) -> Tree:
    """The values over the chart's defaults, as Helm lays them before it checks the schema: a null deletes a default.

    Raises:
        RenderError: Helm cannot do it; its text is Helm's.
    """
    return engine().merge(values, chart)


def read_values(text: str) -> Tree:
    """A YAML document as Helm reads values.

    Raises:
        RenderError: Helm cannot read it; with Helm's message, without the prefixes of its libraries.
    """
    [answer] = engine().read([text])
    if isinstance(answer, RenderError):
        raise answer
    return answer


def set_value(values: Mapping[str, Any], option: str, expression: str) -> Tree:
    """The values with an expression of Helm's `--set`, `--set-string` or `--set-json` laid over them.

    Raises:
        RenderError: Helm refuses it; with Helm's message, without the names of Go's types.
    """
    return engine().set(values, option, expression)


def _documents(text: str) -> Iterator[Manifest]:
    import yaml

    # libyaml where PyYAML was built with it: manifests are the larger part of the time.
    for manifest in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if manifest:
            yield manifest
