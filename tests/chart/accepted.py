"""Made-up values that the chart accepts: what the schema allows, laid key by key over cells of the matrix, as long as no rule objects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.chart.matrix import ADMITTED
from tests.fuzz.test_hostile_texts import BASES
from tests.values.test_parity import SCHEMA
from tests.values.test_parity import paths as schema_paths
from trainchart.chart.paths import CHART
from trainchart.chart.render import Manifest, render, with_defaults
from trainchart.errors import RenderError
from trainchart.files import Tree, overlay
from trainchart.values.characters import LINE, LINES
from trainchart.values.schema_errors import violations

Path = tuple[str, ...]

MOST_CHANGES = 16
ALPHABET = "abcxyzABC0189-_./:@+=,;~^ '\"\\`{}[]()<>#&*!|?%$\u00e9\u00df\u65e5\u672c\U0001f600"
NAMES = st.text("abcdefghijkmnpqrst_", min_size=1, max_size=8)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(ALPHABET, max_size=12),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)
_NOT_SET = ("global", "lib", "family")
_NOT_MADE_UP = ("except",)
"""Addresses that have to lie in others: only the API server sees whether they do."""


def accepted(count: int, number: int = 42) -> list[Tree]:
    """So many values files; the same ones for the same `number`."""
    found: list[Tree] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(ADMITTED).map(lambda cell: cell.values) | st.sampled_from(list(BASES.values())), st.data())
    def collect(values: Tree, data: st.DataObject) -> None:
        changes = data.draw(st.lists(change(values["family"]), min_size=8, max_size=MOST_CHANGES, unique_by=repr))
        found.append(kept(values, changes))

    collect()
    return found


def kept(values: Tree, changes: list[Tree]) -> Tree:
    """The values with those of the changes that they are accepted with."""
    for some in changes:
        changed = overlay(values, some)
        if is_accepted(changed):
            values = changed
    return values


def is_accepted(values: Tree) -> bool:
    if violations(with_defaults(values), CHART / "values.schema.json"):
        return False
    try:
        render(values)
    except RenderError:
        return False
    return True


def change(family: str) -> st.SearchStrategy[Tree]:
    """Another value of any one key of the run's."""

    def at(path: Path) -> st.SearchStrategy[Tree]:
        def put(value: Any) -> Tree:
            for key in reversed(path):
                value = {key: value}
            return value  # type: ignore[no-any-return]

        return of(_schema_at(family, path)).map(put)

    return st.sampled_from(_keys(family)).flatmap(at)


@cache
def _keys(family: str) -> list[Path]:
    found = {path for path in schema_paths(SCHEMA, _root(family)) if path[0] not in _NOT_SET}
    return sorted(path for path in found if path[0] != "affinity" or len(path) == 2)


def _root(family: str) -> Tree:
    return {"properties": {**SCHEMA["properties"], "train": {"$ref": f"#/$defs/train.{family}"}}}


def _schema_at(family: str, path: Path) -> Tree:
    node = _root(family)
    for key in path:
        node = _resolved(node)["properties"][key]
    return node


def _resolved(node: Tree) -> Tree:
    return _resolved(SCHEMA["$defs"][node["$ref"].rpartition("/")[2]]) if "$ref" in node else node


def of(node: Tree) -> st.SearchStrategy[Any]:
    """What a schema allows, but for what is empty."""
    node = _resolved(node)
    if "anyOf" in node:
        return st.one_of([of(branch) for branch in node["anyOf"] if branch.get("maxLength") != 0])
    if "enum" in node:
        return st.sampled_from([choice for choice in node["enum"] if choice not in ("", None)])
    if "const" in node:
        return st.just(node["const"])
    kinds = node.get("type", "object")
    kinds = [kinds] if isinstance(kinds, str) else [kind for kind in kinds if kind != "null"]
    if len(kinds) > 1 and node.get("maxLength") == 0:
        kinds = [kind for kind in kinds if kind != "string"]
    return st.one_of([_of_kind(kind, node) for kind in kinds])


def _of_kind(kind: str, node: Tree) -> st.SearchStrategy[Any]:
    if kind == "string":
        return _text(node)
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        return st.integers(node.get("minimum", -(2**31)), node.get("maximum", 2**31 - 1))
    if kind == "number":
        low = node.get("minimum", node.get("exclusiveMinimum", -1e6))
        high = node.get("maximum", node.get("exclusiveMaximum", 1e12))
        return st.floats(low, high, exclude_min="exclusiveMinimum" in node, exclude_max="exclusiveMaximum" in node)
    if kind == "array":
        least = node.get("minItems", 0)
        return st.lists(of(node["items"]), min_size=least, max_size=min(node.get("maxItems", 3), 3))
    return _map(node)


def _text(node: Tree) -> st.SearchStrategy[str]:
    pattern = node.get("pattern", LINES)
    if pattern in (LINE, LINES):
        return st.text(ALPHABET + ("\t\n" if pattern == LINES else ""), max_size=12)
    text = st.from_regex(re.compile(pattern.removeprefix("^$|"), re.ASCII), fullmatch=True)
    return text.filter(lambda found: len(found) <= node.get("maxLength", 1000) and not re.search(r"[^ -~]", found))


def _map(node: Tree) -> st.SearchStrategy[Tree]:
    patterns = [entry for entry in node.get("patternProperties", {}).items() if "not" not in entry[1]]
    if patterns:  # keys that have a name are made up for themselves
        named = [st.dictionaries(_text({"pattern": name}), of(values), max_size=3) for name, values in patterns]
        return st.one_of(named)
    if "properties" in node:
        needed = set(node.get("required", ()))
        keys = {key: of(below) for key, below in node["properties"].items() if key not in _NOT_MADE_UP}
        fixed = {key: value for key, value in keys.items() if key in needed}
        maps = st.fixed_dictionaries(fixed, optional={key: keys[key] for key in keys if key not in needed})
        return maps.filter(lambda found: len(found) >= node.get("minProperties", 0))
    values = node.get("additionalProperties", True)
    names = _text(_resolved(node["propertyNames"])) if "propertyNames" in node else NAMES
    return st.dictionaries(names, ANYTHING if values is True else of(values), max_size=3)


def manifests(all_values: list[Tree], namespace: str) -> Iterator[Manifest]:
    """The objects of releases dry-0, dry-1, ..., each that is like another but for the release's name once; programs once."""
    seen = set()
    for number, values in enumerate(all_values):
        name = f"dry-{number}"
        for manifest in render(values, name=name, namespace=namespace):
            if manifest["kind"] == "ConfigMap" and number:
                manifest["data"] = {"settings.json": manifest["data"]["settings.json"]}
            likeness = re.sub(rf"\b{name}\b", "dry", repr(manifest))
            if likeness not in seen:
                seen.add(likeness)
                yield manifest
