"""`docs/values.md`: the families, the accelerators, and every value with its type, default and description."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from trainchart.chart.families import family_data, family_names, profile_data, profile_names
from trainchart.values.models import Values
from trainchart.values.models.accelerator import Profile
from trainchart.values.models.families import FAMILIES
from trainchart.values.reference import Value, defaults, parameter_names, sections, values_in

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
    rows = []
    for name in profile_names():
        data = profile_data(name)
        rows.append(
            [
                f"`{name}`",
                data["title"],
                data.get("requires") or "",
                "<br>".join(_resources(data)) or "none",
                "; ".join(filter(None, (data.get("verified"), data.get("source")))),
            ]
        )
    yield from table(["Profile", "Devices", "Needs", "Resources", "Verified"], rows)
    for name in profile_names():
        data = profile_data(name)
        if scheduler := data.get("scheduler"):
            yield f"- `{name}`: the pod is placed by `{scheduler['name']}` (`accelerator.schedulerName`), so `replicas` is 1; for several pods, {scheduler['forGangs']}."
        if choices := data.get("choices"):
            modes = " or ".join(f"`{mode}`" for mode in choices["modes"])
            yield f"- `{name}`: `accelerator.types` becomes the annotation `{choices['types']}`, `accelerator.mode` ({modes}) `{choices['mode']}`."
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


def _values() -> Iterator[str]:
    values = defaults(Values)
    schema = Values.model_json_schema()
    found = sections()
    yield "## The run\n"
    others = [key for key in Values.model_fields if key not in found and key != "train"]
    yield from _reference(values_in(Values, schema, values, keys=others))
    for key, section in found.items():
        yield f"## {key}\n"
        yield f"{Values.model_fields[key].description}\n"
        yield from _reference(values_in(section, section.model_json_schema(), values[key], above=f"{key}."))
    for name, model in sorted(FAMILIES.items()):
        train = family_data(name).get("defaults", {}).get("train", {})
        yield f"## train of family {name}\n"
        yield from _reference(values_in(model, model.model_json_schema(), train, above="train."))
    yield "## A profile of your own\n"
    yield (
        "The keys of `accelerator.profiles.NAME`, and of the chart's own profiles in `files/accelerators/`. Select it with "
        "`accelerator.profile: NAME`.\n"
    )
    yield from _reference(values_in(Profile, Profile.model_json_schema(), None))


def _reference(values: Iterator[Value]) -> Iterator[str]:
    """A table of values; with their parameters, if one of them has any."""
    head, listed, names = ["Key", "Type", "Default", "Description"], list(values), parameter_names()
    rows = list(value_rows(listed))
    if any(value.path in names for value in listed):
        head.insert(3, "Parameter")
        for value, row in zip(listed, rows, strict=True):
            row.insert(3, ", ".join(f"`{name}`" for name in names.get(value.path, ())))
    return table(head, rows)


def value_rows(values: Iterable[Value]) -> Iterator[list[str]]:
    """The cells of a row per value."""
    for value in values:
        like = f" Such as {' or '.join(value.examples)}." if value.examples else ""
        yield [f"`{value.path}`", value.kind, value.default, f"{value.description}{like}"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table of Markdown, and an empty line."""
    lines = [head, ["---"] * len(head), *rows]
    yield "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
