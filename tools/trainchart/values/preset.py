"""`trainchart preset`: a small, commented values file for a family on an accelerator, which the chart accepts.

`trainchart validate` checks the file before it is returned, so an impossible request is refused with the chart's message.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainchart.errors import RenderError, UsageError
from trainchart.values.commented_yaml import comment, lines

if TYPE_CHECKING:
    from decimal import Decimal

    from trainchart.files import Tree
    from trainchart.values.models.family import Family

SHARED = ("corePercent", "memory")

# Comments in every family's file; a family's own take precedence.
_NOTES = {
    "git": "A Secret with the keys GIT_USER and GIT_TOKEN:\n"
    "  kubectl create secret generic git-credentials --from-literal=GIT_USER=... --from-file=GIT_TOKEN=token.txt",
    "publish": "Where to push the result; the branch is sft-YYYYmmdd-HHMMSS unless publish.branch is set.",
}
_RESET = "Not for this profile: empty, so that no value of another file applies."
_ON_ONE_LINE = {"resources.requests", "resources.limits"}


@dataclass(frozen=True)
class Request:
    """The options of the command line; memory in bytes, the fraction between 0 and 1."""

    family: str
    accelerator: str | None = None
    variant: str | None = None
    devices: int | None = None
    gpu_memory: int | None = None
    fraction: Decimal | None = None
    replicas: int | None = None
    sets: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Preset:
    """A values file that the chart accepts, with notices and warnings for its user."""

    text: str
    notices: list[str]
    warnings: list[str]


def preset(request: Request, *, schema: str) -> Preset:
    """The values file for a request; its first line refers to `schema`.

    Raises:
        UsageError: the options are invalid, or do not fit together.
        RenderError: the chart refuses the values.
    """
    from trainchart.values.models.families import REGISTRY

    if request.family not in REGISTRY:
        # The chart's message lists the families.
        _check(_yaml({"family": request.family}))
        raise UsageError(f"family '{request.family}' has no typed model (trainchart docs adding-a-family)")
    family = REGISTRY[request.family]
    values = _values(request, family)
    text = _family_text(request.family, family, values, schema=schema)
    warnings = _check(text)
    notices, doubts = _memory(request, values)
    return Preset(text, notices, [*warnings, *doubts])


def family_text(name: str, *, schema: str) -> str:
    """The ready-to-run values file of a family, not checked by the chart."""
    from trainchart.values.models.families import REGISTRY

    return _family_text(name, REGISTRY[name], _values(Request(name), REGISTRY[name]), schema=schema)


def accelerator_text(name: str, *, schema: str) -> str:
    """The values file of a profile, to lay over a family's: one device, or half of one with 8 GiB if it can be shared."""
    from decimal import Decimal

    from trainchart.chart.families import profile_data
    from trainchart.values.memory import GIB

    data = profile_data(name)
    resources = data["resources"]
    shares = {key: resources[key] for key in SHARED if key in resources and not resources[key].get("oneDevice")}
    request = Request(
        family="",
        accelerator=name,
        variant=next(iter(data.get("variants") or []), None),
        gpu_memory=8 * GIB if shares else None,
        fraction=Decimal("0.5") if shares else None,
    )
    section = _accelerator(request, {})
    applicable = {"profile", *(["variant"] if data.get("variants") else []), *resources}
    keys = ["profile", "variant", "count", *SHARED]
    ordered = sorted(keys, key=lambda key: key not in applicable)
    notes = _accelerator_notes({"profile": name})
    for key in SHARED:
        if key in applicable and key not in section:
            notes[f"accelerator.{key}"] += " Empty: the whole device."
    unused = next((key for key in ordered if key not in applicable), None)
    for key in keys:
        if key not in applicable:
            notes.pop(f"accelerator.{key}", None)
    if unused:
        notes[f"accelerator.{unused}"] = _RESET
    about = notes.pop("accelerator")
    header = f"{about}\nPut it after the family's file: -f FAMILY.yaml -f {name}.yaml"
    tree = {"accelerator": {key: section.get(key) for key in ordered}}
    return "\n".join([schema_comment(schema), *comment(header), *lines(tree, notes), ""])


def schema_path(folder: Path) -> str:
    """The path of the chart's schema for a file in `folder`."""
    from trainchart.chart.paths import EDITOR_SCHEMA, IS_INSTALLED

    # A checkout moves with its values files; an installation stays where it is when they are moved.
    return EDITOR_SCHEMA.as_uri() if IS_INSTALLED else Path(os.path.relpath(EDITOR_SCHEMA, folder)).as_posix()


def sharing_profiles() -> list[str]:
    """The profiles that can share a device."""
    from trainchart.chart.families import profile_data, profile_names

    return [name for name in profile_names() if any(key in profile_data(name)["resources"] for key in SHARED)]


def parse_fraction(text: str | None) -> Decimal | None:
    """`50%` or `0.5`, as a number between 0 and 1; a bare `50` or `1` could mean two things and is refused."""
    from decimal import Decimal

    if text is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)%|([01]?\.[0-9]+)", text)
    if match:
        fraction = Decimal(match[1]) / 100 if match[1] else Decimal(match[2])
        if 0 < fraction <= 1:
            return fraction
    raise UsageError(f"--fraction: '{text}' is not a share of a device; write it as 50% or 0.5, at most 100%")


def parse_memory(text: str | None) -> int | None:
    """A Kubernetes quantity in bytes."""
    from trainchart.values.memory import parse_bytes

    if text is None:
        return None
    try:
        amount = parse_bytes(text)
    except ValueError:
        amount = 0
    if amount < 1 << 20:
        raise UsageError(f"--gpu-memory: '{text}' is not the memory of a device; write it as 24Gi or 24576Mi")
    return amount


def _values(request: Request, family: Family) -> Tree:
    """The values of a family's file, in the order of the file."""
    from trainchart.chart.families import family_data

    example = dict(family.example)
    defaults = family_data(request.family).get("defaults", {}).get("train", {}) | example.pop("train", {})
    shown = defaults if family.train is None else family.train
    accelerator = _accelerator(request, example["accelerator"])
    without = _without_device(request.family, accelerator["profile"])
    train = {key: key not in without and value for key, value in shown.items() if value not in (None, "", [], {})}
    values: Tree = {"family": request.family}
    for key, value in example.items():
        if key == "accelerator":
            values |= {"train": train, "accelerator": accelerator}
        else:
            values[key] = dict(value) if isinstance(value, Mapping) else value
    if request.replicas is not None:
        values["replicas"] = request.replicas
    return _set(values, request.sets) if request.sets else values


def _without_device(family: str, profile: str) -> set[str]:
    """Settings of `train` that need a device, if the profile has none."""
    from trainchart.chart.families import family_data, profile_data, profile_names

    if profile not in profile_names() or profile_data(profile)["backend"] != "cpu":
        return set()
    return {key.removeprefix("train.") for key in family_data(family).get("acceleratorOnly", [])}


def _accelerator(request: Request, example: Mapping[str, Any]) -> Tree:
    """Section `accelerator`: the example's unless the options change it."""
    from trainchart.chart.families import profile_data, profile_names

    asked = (request.accelerator, request.variant, request.devices, request.fraction)
    if all(one is None for one in asked):
        return dict(example)
    section: Tree = dict(example) if request.accelerator is None else {"profile": request.accelerator}
    name: str = section["profile"]
    if name not in profile_names():
        return section  # the chart refuses it, and lists the profiles
    resources = profile_data(name)["resources"]
    if request.variant:
        section["variant"] = request.variant
    if request.devices or "count" in resources:
        section["count"] = request.devices or section.get("count") or 1
    if request.fraction is not None:
        for key in SHARED:
            section.pop(key, None)
        section |= _share(name, resources, request.fraction, request.gpu_memory)
    return section


def _share(name: str, resources: Mapping[str, Any], fraction: Decimal, gpu_memory: int | None) -> Tree:
    """`corePercent` and `memory` for a fraction of a device, rounded down to whole percent and the profile's unit."""
    from trainchart.values.memory import bytes_quantity, parse_bytes

    if not any(key in resources for key in SHARED):
        others = ", ".join(sharing_profiles())
        raise UsageError(f"--fraction: profile {name} gives whole devices; leave it out, or choose one of {others}")
    section: Tree = {}
    if "corePercent" in resources:
        section["corePercent"] = int(fraction * 100)
        if not section["corePercent"]:
            raise UsageError(f"--fraction: {fraction:%} of a device's compute is less than 1%; request more")
    if "memory" in resources and gpu_memory:
        unit = parse_bytes(resources["memory"]["unit"])
        amount = int(fraction * gpu_memory) // unit * unit
        if not amount:
            whole = bytes_quantity(gpu_memory)
            least = resources["memory"]["unit"]
            raise UsageError(
                f"--fraction: {fraction:%} of {whole} is less than {least}, the unit of profile {name}; request more"
            )
        section["memory"] = bytes_quantity(amount)
    return section


def _set(values: Tree, sets: Sequence[tuple[str, str]]) -> Tree:
    """The values with those of the options `--set` and its like."""
    from trainchart.values.overrides import Overrides
    from trainchart.values.positions import Node

    places = Node(is_map=True)
    laid, places, problems = Overrides(sets=sets).over(values, places)
    for problem in problems:
        raise UsageError(f"{problem.place}: {problem.message}")
    for key in ("family", "accelerator"):
        if place := places.nearest((key,)):
            raise UsageError(f"{place}: {key} is chosen by FAMILY, --accelerator and the options beside it")
    return laid or {}


def _check(text: str) -> list[str]:
    """The warnings of the chart.

    Raises:
        RenderError: the chart refuses the file; with its messages, one per line.
    """
    import tempfile

    from trainchart.values.validate import validate

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "values.yaml")
        path.write_text(text, encoding="utf-8")
        diagnostics = validate([str(path)]).diagnostics
    words = {
        severity: [
            f"{found.key}: {found.message}" if found.key else found.message
            for found in diagnostics
            if found.severity == severity
        ]
        for severity in ("error", "warning")
    }
    if words["error"]:
        raise RenderError("\n".join(words["error"]))
    # Not about the default workspace, of which `validate` and Helm warn: the file is still to be edited.
    return [warning for warning in words["warning"] if not warning.startswith("workspace.type:")]


def _memory(request: Request, values: Tree) -> tuple[list[str], list[str]]:
    """Notices about the memory that the run needs per device, and warnings if the device, or the share of it, has less."""
    from trainchart.chart.families import family_data, profile_data
    from trainchart.files import overlay
    from trainchart.values.memory import GIB, Estimate, EstimateError, Layout, format_bytes, largest_batch
    from trainchart.values.models.families import REGISTRY

    data = family_data(request.family)
    accelerator = values["accelerator"]
    profile = profile_data(accelerator["profile"])
    configured = {key: value for key, value in (values.get("train") or {}).items() if value not in (None, "")}
    train = overlay(data.get("defaults", {}).get("train", {}), configured)
    per_pod = accelerator.get("count") or 1 if profile["processes"] == "perDevice" else 1
    layout = Layout(processes=int(values.get("replicas") or 1) * per_pod, backend=profile["backend"])
    batch_key = str(data.get("globalBatch") or "").removeprefix("train.")

    formula = REGISTRY[request.family].estimate

    def estimate(batch: int | None = None) -> Estimate:
        if formula is None:
            raise EstimateError(f"only its author knows what a {data['title']} needs")
        changed = train if batch is None else {**train, batch_key: batch}
        return formula(changed, layout)

    warnings = []
    if request.fraction and "memory" in profile["resources"] and not accelerator.get("memory"):
        warnings.append("accelerator.memory: is empty, so the memory is not shared; add --gpu-memory, such as 24Gi")
    try:
        needed = estimate()
    except EstimateError as error:
        return [f"memory: not estimated; {error}"], warnings
    available, what = _available(request, values)
    notices = [f"memory: needs about {needed}"]
    if available is None:
        return [f"{notices[0]}; --gpu-memory says what the device has"], warnings
    notices = [f"{notices[0]}; {what} is {format_bytes(available)}"]
    if needed.total > available:
        batch = 0
        if batch_key in train:
            batch = largest_batch(estimate, batch=int(train[batch_key]), step=layout.processes, memory=available)
        lower = f"lower train.{batch_key} to {batch}" if batch else "choose a smaller model or input"
        more = f"{-(-needed.total // (GIB // 2)) / 2:g} GiB"
        warnings.append(
            f"memory: needs about {format_bytes(needed.total)}, {what} is {format_bytes(available)}: it will not fit; {lower}, "
            f"or provide {more} or more"
        )
    return notices, warnings


def _available(request: Request, values: Tree) -> tuple[int | None, str]:
    """The memory of a process in bytes (None if unknown), and what it is."""
    from trainchart.chart.families import profile_data
    from trainchart.values.memory import parse_bytes

    accelerator = values["accelerator"]
    if profile_data(accelerator["profile"])["backend"] == "cpu":
        limit = ((values.get("resources") or {}).get("limits") or {}).get("memory")
        shared = values.get("sharedMemory") or 0
        return (parse_bytes(limit) - parse_bytes(shared) if limit else None), "the pod's memory beside /dev/shm"
    if accelerator.get("memory"):
        return parse_bytes(accelerator["memory"]), "the share"
    # The name of a MIG slice has its memory: 1g.10gb.
    if slice_ := re.search(r"(?:^|[^0-9])([0-9]+)gb$", accelerator.get("variant") or ""):
        return int(slice_[1]) * 10**9, "the slice"
    return request.gpu_memory, "the device"


def _family_text(name: str, family: Family, values: Tree, *, schema: str) -> str:
    from trainchart.chart.families import family_data, profile_data, profile_names

    profile = values["accelerator"]["profile"]
    accelerator = f" on {profile_data(profile)['title']}" if profile in profile_names() else ""
    edit = [key for key, value in _leaves(family.example) if value and _is_placeholder(key)]
    header = (
        f"{family_data(name)['title']}{accelerator}.\n"
        f"Edit: {', '.join(edit)}.\n"
        f"On another accelerator: trainchart preset {name} --accelerator PROFILE"
    )
    notes = _descriptions(values, family) | _NOTES | _accelerator_notes(values["accelerator"]) | dict(family.notes)
    parts: list[str] = []
    for key, value in values.items():
        # A blank line before every section; scalars stay together.
        if not parts or isinstance(value, dict) or parts[-1].startswith(" "):
            parts.append("")
        parts += lines({key: value}, notes, on_one_line=_ON_ONE_LINE)
    return "\n".join([schema_comment(schema), *comment(header), *parts, ""])


def _is_placeholder(key: str) -> bool:
    return key.split(".")[0] not in ("accelerator", "replicas", "resources", "sharedMemory", "workspace")


def _leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _descriptions(values: Tree, family: Family) -> dict[str, str]:
    """The models' descriptions of top-level keys, and of the family's settings."""
    from trainchart.values.models import Values

    notes = {key: field.description or "" for key, field in Values.model_fields.items() if key in values}
    del notes["family"]
    for key, info in family.model.model_fields.items():
        notes[f"train.{key}"] = info.description or ""
    return notes


def _accelerator_notes(section: Tree) -> dict[str, str]:
    from trainchart.chart.families import profile_data, profile_names
    from trainchart.values.models.accelerator import Accelerator

    notes = {f"accelerator.{key}": info.description or "" for key, info in Accelerator.model_fields.items()}
    if section["profile"] not in profile_names():
        return notes
    data = profile_data(section["profile"])
    title = f"{data['title'][0].upper()}{data['title'][1:]}"
    needs = data.get("requires") or "nothing"
    notes["accelerator"] = f"{title}: {data.get('verified')}." + (f"\nIt needs {needs}." if needs != "nothing" else "")
    del notes["accelerator.profile"]
    if data.get("variants"):
        which = "Such as" if data.get("variantPattern") else "One of"
        notes["accelerator.variant"] = f"{which} {', '.join(data['variants'])}."
    if unit := data["resources"].get("memory", {}).get("unit"):
        notes["accelerator.memory"] = f"Memory of each device, a whole multiple of {unit}."
    return notes


def schema_comment(schema: str) -> str:
    """The line that leads an editor to the schema."""
    return f"# yaml-language-server: $schema={schema}"


def _yaml(tree: Tree) -> str:
    return "\n".join([*lines(tree, {}), ""])
