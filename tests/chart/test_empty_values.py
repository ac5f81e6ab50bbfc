"""Empty means not configured: null and "" give a default back, wherever they stand, and no template trips over them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import reduce

import pytest
import yaml

from tests.chart.matrix import FAMILIES, ROOT
from tests.chart.program import render_by_helm
from tests.conftest import rows
from tests.values.test_parity import paths as schema_paths
from trainchart.chart.paths import CHART
from trainchart.chart.render import render_text, with_defaults
from trainchart.errors import RenderError
from trainchart.files import Tree, load_values, overlay
from trainchart.values.schema_errors import violations

SCHEMA: Tree = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
THEIRS = ("global", "lib")
HAMI = load_values(ROOT / "values/yolov5.yaml")
DEFAULTS: Tree = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))


def paths(tree: Tree, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in tree.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from paths(value, (*above, key))


def at(path: tuple[str, ...], value: object) -> Tree:
    return {path[0]: at(path[1:], value) if path[1:] else value}


def is_set(values: Tree, path: tuple[str, ...]) -> bool:
    return path[0] in values and (not path[1:] or is_set(values[path[0]], path[1:]))


PATHS = list(paths(DEFAULTS))
UNSET = [path for path in PATHS if not is_set(HAMI, path)]


@pytest.fixture(scope="module")
def rendered() -> dict[str, str]:
    return render_text(HAMI)


@pytest.mark.parametrize("empty", [None, ""])
def test_all_empty_values_together_give_the_defaults_back(empty: str | None, rendered: dict[str, str]) -> None:
    """Which of them does not, the lab tells: it tries one after the other."""
    leaves = [path for path in UNSET if not any(other[: len(path)] == path != other for other in UNSET)]
    assert len(leaves) > 50
    values = reduce(overlay, [at(path, empty) for path in leaves], HAMI)
    assert violations(with_defaults(values), CHART / "values.schema.json") == []
    assert render_text(values) == rendered


@pytest.mark.lab
@pytest.mark.parametrize("path", UNSET, ids=".".join)
def test_a_null_gives_the_default_back(path: tuple[str, ...], rendered: dict[str, str]) -> None:
    assert render_text(overlay(HAMI, at(path, None))) == rendered


@pytest.mark.lab
@pytest.mark.parametrize("path", UNSET, ids=".".join)
def test_an_empty_text_gives_the_default_back(path: tuple[str, ...], rendered: dict[str, str]) -> None:
    values = overlay(HAMI, at(path, ""))
    assert violations(with_defaults(values), CHART / "values.schema.json") == []
    assert render_text(values) == rendered


def test_every_key_of_ours_may_be_empty_in_either_way() -> None:
    """As the schema has it, the families' settings and what is required of a profile included."""
    seen = 0
    for family in FAMILIES:
        for path in sorted(set(schema_paths(SCHEMA, {**SCHEMA, "allOf": [], "properties": ours(family)}))):
            if path[0] in THEIRS or path == ("family",) or (path[0] == "affinity" and len(path) > 2):
                continue
            for empty in (None, ""):
                values = {"family": family, **at(path, empty)}
                assert violations(values, CHART / "values.schema.json") == [], path
                seen += 1
    assert seen > 1000


def ours(family: str) -> Tree:
    return {**SCHEMA["properties"], "train": {"$ref": f"#/$defs/train.{family}"}}


@pytest.mark.parametrize("path", rows(PATHS, *list(PATHS)[::6]), ids=".".join)
def test_a_null_anywhere_is_run_or_refused_in_words(path: tuple[str, ...]) -> None:
    refusal = "trainchart: "
    try:
        render_text(overlay(HAMI, at(path, None)))
    except RenderError as error:
        refusal = str(error)
    assert "trainchart: " in refusal


def test_the_helm_program_takes_nulls_the_same_way(helm: str) -> None:
    nulls = {"workspace": None, "git": {"userKey": None, "secretName": "git-credentials"}, "timeLimit": None}
    assert render_by_helm(overlay(HAMI, nulls), helm=helm)
