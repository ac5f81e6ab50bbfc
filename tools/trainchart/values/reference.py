"""What every value is: type, default, description, parameter. `docs/values.md` and `trainchart explain` are made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter

from trainchart.values.models import Values
from trainchart.values.models.accelerator import Profile
from trainchart.values.models.base import (
    MOST,
    Duration,
    KeyName,
    ObjectName,
    OptionalDuration,
    Quantity,
    ResourceName,
    Section,
    is_map,
    section_of,
)
from trainchart.values.models.families import FAMILIES
from trainchart.values.models.sections import SecretKey
from trainchart.values.parameters import parameters
from trainchart.values.words import ALSO

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Value:
    """One key that a user may set; texts are Markdown, with values in backticks."""

    path: str
    kind: str
    default: str
    """Empty for none; `required`."""
    description: str
    examples: Sequence[str]
    """Those that differ from the default."""
    also: Sequence[str] = ()
    """What others call it."""


def defaults(model: type[Section]) -> dict[str, Any]:
    """Every key of a section with its default, at every depth."""
    return {
        key: _default(info.annotation, info.get_default(call_default_factory=True))
        for key, info in model.model_fields.items()
    }


def _default(annotation: Any, value: Any) -> Any:
    """The default of a key; where it has none, the empty value of its type."""
    if value is not None:
        return value
    if is_map(annotation):
        return {}
    if section := section_of(annotation):
        return defaults(section)
    return "" if _is_text(annotation) else None


def _is_text(annotation: Any) -> bool:
    return annotation is str or any(_is_text(part) for part in get_args(annotation))


def values_in(
    section: type[BaseModel], schema: Schema, defaults: Any, *, above: str = "", keys: Sequence[str] | None = None
) -> Iterator[Value]:
    """The values of a section, with dotted keys for sections in sections. Without `defaults`, they have the model's."""
    definitions = schema.get("$defs", {})
    for key, info in section.model_fields.items():
        if keys is not None and key not in keys:
            continue
        path = f"{above}{key}"
        below = section_of(info.annotation)
        if below and not is_map(info.annotation):
            inner = {**below.model_json_schema(), "$defs": definitions}
            yield from values_in(below, inner, defaults and (defaults.get(key) or {}), above=f"{path}.")
            continue
        if defaults is not None:
            default = written((defaults or {}).get(key))
        else:
            default = "required" if info.is_required() else written(info.default)
        declared = schema["properties"][key]
        kind = _MAPS.get(below) or _kind(declared)
        examples = [shown for example in info.examples or [] if (shown := written(example)) != default]
        yield Value(path, kind, default, info.description or "", examples, declared.get(ALSO, ()))


def written(value: Any) -> str:
    """A value as it is written; nothing for what is empty."""
    if value is None or value in ("", [], {}):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


@cache
def parameter_names() -> dict[str, list[str]]:
    """The parameters of platforms' pipelines, by key; the families may have several for one."""
    found: dict[str, dict[str, None]] = {}
    for family in FAMILIES:
        for parameter in parameters(family):
            found.setdefault(parameter.key, {})[parameter.name] = None
    return {key: list(names) for key, names in found.items()}


def sections() -> dict[str, type[Section]]:
    """The sections of the values that all families share; `train` is the family's."""
    return {
        key: section
        for key, info in Values.model_fields.items()
        if (section := section_of(info.annotation)) and not is_map(info.annotation)
    }


_MAPS: dict[type[BaseModel] | None, str] = {
    Profile: "map of [profiles](#a-profile-of-your-own)",
    SecretKey: "map of `{secretName, key}`",
}
"""What the reference calls a map, by the type of its values."""


def _pattern(kind: Any) -> str | None:
    """The pattern of a type of text, wherever it stands in its schema."""
    schema = TypeAdapter(kind).json_schema()
    found: list[str] = [part["pattern"] for part in [schema, *schema.get("anyOf", [])] if "pattern" in part]
    return found[0] if found else None


_PATTERNS = {
    _pattern(Quantity): "quantity",
    _pattern(Duration): "duration",
    _pattern(OptionalDuration): "duration",
    _pattern(ResourceName): "resource name",
    _pattern(ObjectName): "name of an object",
    _pattern(KeyName): "key of a Secret or ConfigMap",
}


def _kind(schema: Schema) -> str:
    """The type of a value in words."""
    if "anyOf" in schema:
        kinds = [_kind(part) for part in schema["anyOf"] if part.get("type") != "null" and part.get("const") != ""]
        # A quantity may be a number too, and says so by itself.
        kinds = [kind for kind in kinds if not ("quantity" in kinds and kind.startswith("number"))]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema:
        *first, last = [f"`{choice}`" for choice in schema["enum"]]
        return f"{', '.join(first)} or {last}" if first else last
    kind = schema.get("type")
    if kind == "string":
        return _PATTERNS.get(schema.get("pattern"), "text")
    if kind in ("integer", "number"):
        low, high = schema.get("minimum"), schema.get("maximum")
        high = None if high == MOST else high
        least = f" from {low:g}" if low is not None else ""
        most = f" to {high:g}" if high is not None else ""
        return f"{'whole number' if kind == 'integer' else 'number'}{least}{most}"
    if kind == "boolean":
        return "`true` or `false`"
    if kind == "array":
        return f"list of {_plural(_kind(schema.get('items', {})))}"
    maps = [schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
    values = next((one for one in maps if isinstance(one, dict) and "not" not in one), None)
    return "map" if values is None else f"map of {_plural(_kind(values))}"


def _plural(kind: str) -> str:
    return {"text": "texts", "map": "maps", "name of an object": "names of objects"}.get(kind, kind)
