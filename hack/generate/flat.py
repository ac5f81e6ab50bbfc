"""Pydantic's schemas, simplified: Helm compiles the chart's at every render, and people read what it refuses.

Each keyword of JSON schema applies to one type of value (`pattern` to strings, `minimum` to numbers). So
`X | Y | "" | null` needs no `anyOf`, and a value that does not match is refused for the keyword that it violates.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from typing import Any

from trainchart.values.models.kubernetes import KUBERNETES

Schema = dict[str, Any]

_NAMED = ("properties", "$defs")
"""Keywords whose value is a map of names, not a schema."""


def flat(node: Any, drop: Sequence[str] = ()) -> Any:
    """A schema without Pydantic's titles and defaults, `anyOf` that one schema can replace, and the keywords `drop`."""
    if isinstance(node, list):
        return [flat(item, drop) for item in node]
    if not isinstance(node, dict):
        return node
    simple = {
        key: {name: flat(item, drop) for name, item in value.items()} if key in _NAMED else flat(value, drop)
        for key, value in node.items()
        if key not in ("title", "default", *drop)
    }
    if not simple.get("propertyNames", True):  # nothing is left of it
        del simple["propertyNames"]
    if "patternProperties" in simple:
        _close(simple)
    return _merge(simple) if "anyOf" in simple else simple


def _close(schema: Schema) -> None:
    """Refuse the keys of a map that match none of its patterns."""
    patterns = schema["patternProperties"]
    if len(patterns) > 1:
        schema["additionalProperties"] = False
        return
    (pattern, values), names = next(iter(patterns.items())), schema.get("propertyNames", {})
    del schema["patternProperties"]
    schema.update({"propertyNames": {**names, "pattern": pattern, "type": "string"}, "additionalProperties": values})


def _merge(node: Schema) -> Schema:
    """One schema instead of `anyOf`, where no two alternatives have a keyword in common."""
    words = {key: value for key, value in node.items() if key != "anyOf"}
    kinds = [branch for branch in node["anyOf"] if branch.get("type") != "null" and branch.get("const") != ""]
    merged: Schema = {"type": []}
    for kind in kinds:
        if len(kinds) == 1:
            merged = kind
            break
        rest = {key: value for key, value in kind.items() if key != "type"}
        if "type" not in kind or merged.keys() & rest.keys():
            return node
        merged = {
            "type": [*merged["type"], kind["type"]],
            **{key: merged[key] for key in merged if key != "type"},
            **rest,
        }
    merged = merged if len(kinds) == len(node["anyOf"]) else or_empty(merged)
    return {**merged, **words}


def or_empty(schema: Schema) -> Schema:
    """The schema with null and "" allowed too: both mean "not configured"."""
    if "enum" in schema:
        choices = [choice for choice in schema["enum"] if choice not in ("", None)]
        return {**{key: value for key, value in schema.items() if key != "type"}, "enum": [*choices, "", None]}
    if "type" not in schema:  # a reference to a section, which allows them itself; or a schema of any value
        return schema
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    kinds = [kind for kind in kinds if kind != "null"]
    if "string" not in kinds:
        return {**schema, "type": [*kinds, "string", "null"], "maxLength": 0}
    schema = {**schema, "type": [*kinds, "null"]}
    pattern = schema.get("pattern", "")
    if not re.search(pattern, ""):
        schema["pattern"] = f"^$|{pattern}"
    return schema


def with_empty(document: Schema) -> Schema:
    """The schema with every key of the values allowed to be empty, sections included, required keys excepted."""
    foreign = {f"#/$defs/{name}" for name, definition in document["$defs"].items() if definition.get(KUBERNETES)}
    definitions = {}
    for name, definition in document["$defs"].items():
        if definition.get(KUBERNETES):
            definitions[name] = {key: value for key, value in definition.items() if key != KUBERNETES}
        elif "properties" in definition:
            definitions[name] = or_empty(_keys_or_empty(definition, foreign))
        else:
            definitions[name] = definition
    return {**_keys_or_empty(document, foreign), "$defs": definitions}


def _keys_or_empty(section: Schema, foreign: Set[str]) -> Schema:
    keys = {}
    for key, value in section["properties"].items():
        if key in section.get("required", ()):
            keys[key] = _required(value)
        elif value.get("$ref") in foreign:
            words = {word: value[word] for word in value if word != "$ref"}
            keys[key] = {"anyOf": [{"$ref": value["$ref"]}, or_empty({"type": "null"})], **words}
        else:
            keys[key] = or_empty(value)
    return {**section, "properties": keys}


def _required(schema: Schema) -> Schema:
    """The schema without null, and without the "" that or_empty added to a pattern."""
    kinds = schema.get("type")
    if not isinstance(kinds, list):
        return schema
    kinds = [kind for kind in kinds if kind != "null"]
    found = {**schema, "type": kinds if len(kinds) > 1 else kinds[0]}
    if "pattern" in found:
        found["pattern"] = found["pattern"].removeprefix("^$|")
    return found
