"""`docs/values.md`: the families, the accelerators, and every value with its type, default and description."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter

from hack.generate.defaults import defaults
from hack.generate.flat import Schema
from trainchart.chart.families import family_data, family_names, profile_data, profile_names
from trainchart.values.models import Values
from trainchart.values.models.accelerator import Profile
from trainchart.values.models.base import (
    MOST,
    Duration,
    KeyName,
    ObjectName,
    Quantity,
    ResourceName,
    is_map,
    section_of,
)
from trainchart.values.models.families import FAMILIES
from trainchart.values.models.sections import SecretKey
from trainchart.values.parameters import parameters

_INTRODUCTION = """\
<!-- Generated from tools/trainchart/values/models/ and the chart's files/: make generate -->
# Values

One release of this chart is one training run. A values file says what is trained, on which devices, and where the
result is published:

```sh
trainchart preset FAMILY --accelerator PROFILE --write run.yaml   # a file to start from
trainchart validate run.yaml                                      # all its errors at once
helm install run-42 ./charts/train -f run.yaml -n training
```

An empty value (`""` or null) is not configured: the family's default applies, else the one below, else none. Keys that
are not listed here are refused. A quantity is written as in Kubernetes (`500m`, `2`, `512Mi`, `20Gi`), a duration as a
whole number with `s`, `m`, `h` or `d`.

A parameter is the name that platforms' pipelines have for a key: `--param REPLICAS=2`
([values of the command line](validate.md#values-of-the-command-line)). Its value is text, and an empty one is not configured.
"""


def reference_text() -> str:
    """The content of `docs/values.md`."""
    return "\n".join([_INTRODUCTION, *_families(), *_accelerators(), *_values()])


def _families() -> Iterator[str]:
    yield "## Families\n"
    rows = []
    for name in family_names():
        data = family_data(name)
        rows.append(
            [
                f"[`{name}`](#train-of-family-{name})",
                data["title"],
                str(data.get("task", "")),
                str(data.get("framework", "")),
                ", ".join(data.get("backends") or []),
                ", ".join(data.get("multiProcessBackends") or []) or "one process only",
                ", ".join(f"`{section}.repository`" for section in data.get("requires") or []),
            ]
        )
    yield from table(["Family", "Trainer", "Task", "Framework", "Devices", "In several processes on", "Needs"], rows)


def _accelerators() -> Iterator[str]:
    yield "## Accelerators\n"
    yield (
        "`values/accelerators/` has a file for each, to lay over a family's. A profile knows the Kubernetes resources "
        "that request its devices; `accelerator.resourceNames` replaces their names for a cluster that has others.\n"
    )
    rows, refused = [], []
    for name in profile_names():
        data = profile_data(name)
        if data.get("refused"):
            refused.append(f"- `{name}` ({data['title']}) cannot run: {data['refused']}.")
        else:
            rows.append(
                [
                    f"`{name}`",
                    data["title"],
                    data.get("requires") or "",
                    "<br>".join(_resources(data)) or "none",
                    data.get("verified") or "",
                ]
            )
    yield from table(["Profile", "Devices", "Needs", "Resources", "Verified"], rows)
    if refused:
        yield "\n".join([*refused, ""])
    for name in profile_names():
        if variants := profile_data(name).get("variants"):
            yield f"- `accelerator.variant` of `{name}`: {'such as ' if profile_data(name).get('variantPattern') else ''}{', '.join(f'`{variant}`' for variant in variants)}"
    yield ""


def _resources(data: Mapping[str, Any]) -> Iterator[str]:
    for key, resource in data["resources"].items():
        limits = [
            f"in {resource['unit']}" if resource.get("unit") else "",
            f"at most {resource['max']}" if resource.get("max") else "",
            "single devices only" if resource.get("oneDevice") else "",
        ]
        name = f"`{resource['name']}`" if resource.get("name") else f"claim of class `{data.get('deviceClass')}`"
        limited = ", ".join(limit for limit in limits if limit)
        yield f"{key}: {name}{f' ({limited})' if limited else ''}"


_KINDS: dict[type[BaseModel] | None, str] = {
    Profile: "map of [profiles](#a-profile-of-your-own)",
    SecretKey: "map of `{secretName, key}`",
}
"""What the reference calls a map, by the type of its values."""


def _values() -> Iterator[str]:
    values = defaults(Values)
    schema = Values.model_json_schema()
    sections = {
        key: section
        for key, info in Values.model_fields.items()
        if (section := section_of(info.annotation)) and not is_map(info.annotation)
    }
    yield "## The run\n"
    others = {key: info for key, info in Values.model_fields.items() if key not in sections and key != "train"}
    yield from _reference(value_rows(Values, schema, values, keys=list(others)))
    for key, section in sections.items():
        yield f"## {key}\n"
        yield f"{Values.model_fields[key].description}\n"
        yield from _reference(value_rows(section, section.model_json_schema(), values[key], above=f"{key}."))
    for name, model in sorted(FAMILIES.items()):
        train = family_data(name).get("defaults", {}).get("train", {})
        yield f"## train of family {name}\n"
        yield from _reference(value_rows(model, model.model_json_schema(), train, above="train."))
    yield "## A profile of your own\n"
    yield (
        "The keys of `accelerator.profiles.NAME`, and of the chart's own profiles in `files/accelerators/`. Select it with "
        "`accelerator.profile: NAME`.\n"
    )
    yield from _reference(value_rows(Profile, Profile.model_json_schema(), None))


def _reference(rows: Iterator[list[str]]) -> Iterator[str]:
    """A table of values; with their parameters, if one of them has any."""
    head, listed, names = ["Key", "Type", "Default", "Description"], list(rows), _parameter_names()
    if any(key in names for key, *_ in listed):
        head.insert(3, "Parameter")
        listed = [[key, kind, default, names.get(key, ""), text] for key, kind, default, text in listed]
    return table(head, listed)


@cache
def _parameter_names() -> dict[str, str]:
    """The parameters of every key that has any, as they are written in a table."""
    found: dict[str, dict[str, None]] = {}
    for family in FAMILIES:
        for parameter in parameters(family):
            found.setdefault(f"`{parameter.key}`", {})[f"`{parameter.name}`"] = None
    return {key: ", ".join(names) for key, names in found.items()}


def value_rows(
    section: type[BaseModel], schema: Schema, defaults: Any, *, above: str = "", keys: Sequence[str] | None = None
) -> Iterator[list[str]]:
    """A row per value, with dotted keys for sections in sections. Without `defaults`, the rows have the model's."""
    definitions = schema.get("$defs", {})
    for key, info in section.model_fields.items():
        if keys is not None and key not in keys:
            continue
        path = f"{above}{key}"
        below = section_of(info.annotation)
        if below and not is_map(info.annotation):
            inner = {**below.model_json_schema(), "$defs": definitions}
            yield from value_rows(below, inner, defaults and (defaults.get(key) or {}), above=f"{path}.")
            continue
        if defaults is not None:
            default = _code((defaults or {}).get(key))
        else:
            default = "required" if info.is_required() else _code(info.default)
        kind = _KINDS.get(below) or _kind(schema["properties"][key])
        examples = [_code(example) for example in info.examples or [] if _code(example) != default]
        like = f" Such as {' or '.join(examples)}." if examples else ""
        yield [f"`{path}`", kind, default, f"{info.description}{like}"]


def _code(value: Any) -> str:
    """A value as it is written; nothing for what is empty."""
    if value is None or value in ("", [], {}):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _pattern(kind: Any) -> str | None:
    """The pattern of a type of text, wherever it stands in its schema."""
    schema = TypeAdapter(kind).json_schema()
    found: list[str] = [part["pattern"] for part in [schema, *schema.get("anyOf", [])] if "pattern" in part]
    return found[0] if found else None


_PATTERNS = {
    _pattern(Quantity): "quantity",
    _pattern(Duration): "duration",
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


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table of Markdown, and an empty line."""
    lines = [head, ["---"] * len(head), *rows]
    yield "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
