"""The generated files: values that people begin with, the reference, and the schema that editors read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.generate import outputs, reference
from hack.generate.schema import DOCUMENTATION, HELM, schema
from tests.chart.matrix import FAMILIES, PROFILES, ROOT
from trainchart.chart.families import profile_data, profile_names
from trainchart.chart.paths import CHART, LIB
from trainchart.chart.render import render
from trainchart.files import Tree, load_values, overlay
from trainchart.values.schema_errors import violations
from trainchart.values.words import MUST_BE, PATTERN

SCHEMA = CHART / "values.schema.json"
EDITOR_SCHEMA = ROOT / "values/schema.json"
FILES = sorted((ROOT / "values").glob("**/*.yaml"))
KEYS = {"profile", "variant", "count", "corePercent", "memory"}


# Made once: it takes most of a second.
generated = cache(outputs.generated)
reference_text = cache(reference.reference_text)


def name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize(
    "file", [*FILES, CHART / "values.yaml", *sorted((ROOT / "e2e/values").glob("*.yaml"))], ids=name
)
def test_every_values_file_has_the_right_shape(file: Path) -> None:
    assert violations(load_values(file), SCHEMA) == []


@pytest.mark.parametrize("file", FILES, ids=name)
def test_every_values_file_leads_an_editor_to_the_schema(file: Path) -> None:
    (path,) = re.findall(r"\A# yaml-language-server: \$schema=(\S+)\n", file.read_text(encoding="utf-8"))
    assert (file.parent / path).resolve() == EDITOR_SCHEMA.resolve()


@pytest.mark.parametrize("file", FILES, ids=name)
def test_every_values_file_is_small_and_fits_a_screen(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    assert len(lines) < 80
    assert max(map(len, lines)) <= 120
    assert not [line for line in lines if line != line.rstrip()]


@pytest.mark.parametrize("file", FILES, ids=name)
def test_every_values_file_is_generated(file: Path) -> None:
    assert generated()[file] == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_s_file_runs_as_it_is(family: str) -> None:
    assert render(load_values(ROOT / f"values/{family}.yaml"))


@pytest.mark.parametrize("above", PROFILES)
def test_an_accelerator_s_file_leaves_nothing_of_another(above: str) -> None:
    file = load_values(ROOT / f"values/accelerators/{above}.yaml")
    assert file["accelerator"].keys() == KEYS
    for below in PROFILES:
        other = {"accelerator": {"profile": below, "variant": "v", "count": 7, "corePercent": 7, "memory": "7Gi"}}
        assert overlay(other, file) == file, below


@pytest.mark.parametrize("profile", PROFILES)
def test_an_accelerator_s_file_asks_for_what_its_profile_has_and_says_what_it_needs(profile: str) -> None:
    file = ROOT / f"values/accelerators/{profile}.yaml"
    section, data = load_values(file)["accelerator"], profile_data(profile)
    asked = {key for key in ("count", "corePercent", "memory") if section[key] is not None}
    assert asked <= data["resources"].keys()
    assert ("count" in asked) == ("count" in data["resources"])
    assert section["variant"] == next(iter(data.get("variants") or []), None)
    comments = " ".join(re.findall(r"^ *# (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE))
    assert data["verified"] in comments
    assert data["requires"] in ("nothing", None) or data["requires"] in comments


def properties(schema: Tree) -> Iterator[tuple[str, Tree]]:
    """Every key that the schema knows, with what is said of it; descriptions may stand where a `$ref` leads."""

    def walk(node: Any, path: str) -> Iterator[tuple[str, Tree]]:
        if isinstance(node, list):
            for item in node:
                yield from walk(item, path)
        elif isinstance(node, dict):
            for key, value in node.items():
                if key == "properties":
                    for name_, property_ in value.items():
                        yield f"{path}.{name_}", property_
                        yield from walk(property_, f"{path}.{name_}")
                elif key == "$defs":
                    for name_, definition in value.items():
                        yield from walk(definition, name_)
                elif key != "if":
                    yield from walk(value, path)

    yield from walk(schema, "")


def test_every_key_of_the_schema_has_a_description() -> None:
    schema = json.loads(EDITOR_SCHEMA.read_text(encoding="utf-8"))
    found = list(properties(schema))
    # `then` repeats `train` for each family, under the description of the general one.
    missing = [path for path, value in found if not value.get("description") and path != ".train"]
    assert len(found) > 80
    assert missing == []


def test_a_key_without_a_description_would_be_found() -> None:
    schema = {"properties": {"a": {"description": "A."}}, "$defs": {"B": {"properties": {"c": {"type": "string"}}}}}
    assert [path for path, value in properties(schema) if not value.get("description")] == ["B.c"]


def test_the_schema_is_small() -> None:
    text = SCHEMA.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 3_000
    assert len(text.encode()) < 100_000


def leaves(tree: Tree, above: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}"


def test_the_reference_has_every_value_every_profile_and_every_family() -> None:
    text = reference_text()
    rows = set(re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE))
    chart = set(leaves(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")))) - {"train"}
    assert chart <= rows
    for family in FAMILIES:
        data = yaml.safe_load((LIB / f"files/families/{family}/family.yaml").read_text(encoding="utf-8"))
        assert {f"train.{key}" for key in data["defaults"]["train"]} <= rows
        assert f"(#train-of-family-{family})" in text
    assert all(f"`{profile}`" in text for profile in PROFILES)


def test_the_reference_is_whole_tables() -> None:
    for table in re.findall(r"(?:^\|.*\n)+", reference_text(), re.MULTILINE):
        head, *rows = table.splitlines()
        columns = head.count("|")
        assert [row for row in rows if len(re.findall(r"(?<!\\)\|", row)) != columns] == []


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("replicas", "| `replicas` | whole number from 1 to 1000 | `1` |"),
        ("timeLimit", "| `timeLimit` | duration | `720h` |"),
        (
            "workspace.type",
            "| `workspace.type` | `emptyDir`, `ephemeral`, `newClaim` or `existingClaim` | `emptyDir` |",
        ),
        ("accelerator.memory", "| `accelerator.memory` | quantity |  |"),
        ("train.batchSize", "| `train.batchSize` | whole number from 1 | `16` |"),
        ("git.allowPlainHttp", "| `git.allowPlainHttp` | `true` or `false` | `false` |"),
        ("nodeSelector", "| `nodeSelector` | map of texts |  |"),
    ],
)
def test_the_reference_says_type_and_default_in_human_words(key: str, row: str) -> None:
    assert row in reference_text()


def test_the_editor_s_schema_is_the_chart_s_with_words() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == schema(drop=[*DOCUMENTATION, PATTERN])
    editors = json.loads(EDITOR_SCHEMA.read_text(encoding="utf-8"))
    properties = {key: value for key, value in schema()["properties"].items() if key not in HELM}
    assert editors["properties"] == properties
    assert editors.keys() == schema().keys()


def test_an_editor_offers_every_profile_and_nothing_that_is_helm_s_own() -> None:
    editors = json.loads(EDITOR_SCHEMA.read_text(encoding="utf-8"))
    assert editors["$defs"]["Accelerator"]["properties"]["profile"]["examples"] == profile_names()
    assert not {"global", "lib"} & editors["properties"].keys()


def test_an_editor_shows_no_regular_expression() -> None:
    """Of all that has a pattern, the names of the environment excepted, of which one pattern refuses the reserved ones."""
    found = list(with_patterns(json.loads(EDITOR_SCHEMA.read_text(encoding="utf-8"))))
    assert len(found) > 20
    assert all(node[PATTERN].startswith(MUST_BE) for node in found)


def with_patterns(node: Any) -> Iterator[Tree]:
    if isinstance(node, dict):
        if isinstance(node.get("pattern"), str):
            yield node
        for below in node.values():
            yield from with_patterns(below)
    elif isinstance(node, list):
        for below in node:
            yield from with_patterns(below)
