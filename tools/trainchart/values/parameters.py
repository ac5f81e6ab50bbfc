"""The parameters of platforms' pipelines, such as MODEL_REPO_URL: other names, in text, for keys of the values.

Their names are those of the reference pipeline, and stand in the typed models (`Named`), where each key has its type, its default and
its description; those of devices in the accelerator profiles. Every setting of a family is a parameter too: `train.batchSize` is
TRAIN_ARG_BATCH_SIZE. Lists and maps have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath
from typing import Any, Literal, get_args, get_origin

from trainchart.chart.families import family_data, profile_data, profile_names
from trainchart.errors import UsageError
from trainchart.files import Tree, overlay
from trainchart.terminal import printable
from trainchart.values.characters import is_utf8
from trainchart.values.memory import parse_bytes
from trainchart.values.models import Values
from trainchart.values.models.base import Named, Section, is_map, section_of
from trainchart.values.models.families import REGISTRY
from trainchart.values.positions import Node, Place, Problem
from trainchart.values.schema_errors import closest, format_value, without_password

OPTION = "--param"

_WHOLE = re.compile(r"[-+]?[0-9]{1,300}")
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,2})?")
_FLAGS = {"true": True, "false": False}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a family's runs. Its value is text, and an empty one means "not configured"."""

    name: str
    key: str
    """The key of the values, such as train.batchSize."""
    default: str | None
    """The default of a pipeline; None: it has to be given."""
    description: str
    kind: type
    """What its text is read as: str, int, float or bool."""
    below: str = ""
    """A path below this folder of the pod is a path in the run's folder."""
    profile: str = ""
    """The accelerator profile that it chooses."""
    unit: str = ""
    """What it counts, of a quantity: 1Mi."""

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(self.key.split("."))


@dataclass
class Given:
    """What the parameters of a command line stand for."""

    values: Tree = field(default_factory=dict)
    """The values, which lie over those of files."""
    places: Node = field(default_factory=lambda: Node(is_map=True))
    """The parameter that each value is from."""
    empty: Node = field(default_factory=lambda: Node(is_map=True))
    """The parameter that each key would be from whose parameter is empty."""
    problems: list[Problem] = field(default_factory=list)


@cache
def parameters(family: str) -> tuple[Parameter, ...]:
    """The parameters of a family, in the order of the models.

    Raises:
        KeyError: there is no such family.
    """
    return tuple(_parameters(Values, family))


def values_of(pairs: Sequence[str], family: str) -> Tree:
    """The values that parameters, each NAME=VALUE, stand for. They lie over those of files.

    Raises:
        UsageError: a parameter is unknown, is given twice, or has an impossible value; the message is about the first.
    """
    given = read(pairs, family)
    for problem in given.problems:
        raise UsageError(f"{problem.place.file if problem.place else OPTION}: {problem.message}")
    return given.values


def read(pairs: Sequence[str], family: str, below: Mapping[str, Any] = {}) -> Given:
    """What parameters, each NAME=VALUE, stand for, and what is wrong with them.

    Args:
        pairs: the parameters.
        family: of the run.
        below: the values that they lie over.
    """
    known = {parameter.name: parameter for parameter in parameters(family)}
    given = Given()
    texts: dict[str, str] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name:
            given.problems.append(Problem(f"{format_value(pair)} is not NAME=VALUE, such as REPLICAS=2", Place(OPTION)))
        elif name not in known:
            given.problems.append(
                Problem(_unknown(name, family, list(known)), _place(printable(without_password(name))))
            )
        elif name in texts:
            given.problems.append(Problem("is given twice; keep one of them", _place(name)))
        else:
            texts[name] = text.strip()
    chosen: dict[str, list[str]] = {}
    for name, text in texts.items():
        parameter = known[name]
        if not text:
            given.empty.put(parameter.path, _place(name))
            continue
        try:
            given.values = overlay(given.values, _tree(parameter.path, _value(parameter, text)))
        except ValueError as error:
            given.problems.append(Problem(str(error), _place(name)))
        given.places.put(parameter.path, _place(name))
        if parameter.profile:
            chosen.setdefault(parameter.profile, []).append(name)
    if chosen:
        _choose_profile(given, chosen, below.get("accelerator"))
    return given


def _choose_profile(given: Given, chosen: dict[str, list[str]], before: Any) -> None:
    """Set the accelerator profile that parameters are for, and leave nothing of another one's that it does not have.

    Args:
        given: the values of the parameters.
        chosen: the parameters of each profile.
        before: the section that they lie over.
    """
    (profile, names), *others = chosen.items()
    if others:
        words = [f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} for {p}" for p, names in chosen.items()]
        message = f"{' and '.join(words)}, and a pod has one kind of device; leave one or the other empty"
        given.problems.append(Problem(message, _place(names[0])))
    resources = profile_data(profile)["resources"]
    unused = {key: None for key in ("count", "corePercent", "memory") if key not in resources}
    section = {"profile": profile, "variant": None, **unused}
    if isinstance(before, dict) and before.get("profile") != profile:
        section["resourceNames"] = None  # of the other profile's devices
    given.values = overlay({"accelerator": section}, given.values)
    given.places.put(("accelerator", "profile"), _place(names[0]))
    given.places.children["accelerator"].place = _place(names[0])


def _value(parameter: Parameter, text: str) -> Any:
    """The value of a text.

    Raises:
        ValueError: it has none; with the message for the user.
    """
    if not is_utf8(text):
        raise ValueError("is not UTF-8 text")
    folder = parameter.below
    if parameter.kind is int:
        if not _WHOLE.fullmatch(text):
            of = f" of {parameter.unit}" if parameter.unit else ""
            raise ValueError(f"{format_value(text)} is not a whole number{of}")
        amount, unit = _split(parameter.unit)
        return f"{int(text) * amount}{unit}" if unit else int(text)
    if parameter.kind is float:
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"{format_value(text)} is not a number")
        return int(text) if _WHOLE.fullmatch(text) else float(text)
    if parameter.kind is bool:
        if text.lower() not in _FLAGS:
            raise ValueError(f"{format_value(text)} is not true or false")
        return _FLAGS[text.lower()]
    if folder and text.startswith("/"):
        try:
            return str(PurePosixPath(text).relative_to(folder))
        except ValueError:
            message = f"{format_value(text)} is not in {folder}, which stands for the run's folder"
            raise ValueError(f"{message}; use a path in it, such as {folder}/datasets/coco128") from None
    return text


def _unknown(name: str, family: str, known: list[str]) -> str:
    if suggestion := closest(name, known):
        return f"unknown parameter, did you mean {suggestion}?"
    return f"unknown parameter; family {family} has {', '.join(known)}"


def _place(name: str) -> Place:
    return Place(f"{OPTION} {name}")


def _tree(path: Sequence[str], value: Any) -> Tree:
    """A value below the maps of its path."""
    for key in reversed(path):
        value = {key: value}
    tree: Tree = value
    return tree


def _split(unit: str) -> tuple[int, str]:
    """The number and the rest of a unit: 256 and Mi of 256Mi."""
    number = unit.rstrip("KMGTPi")
    return int(number or 1), unit.removeprefix(number)


def _parameters(section: type[Section], family: str, pattern: str = "{}", above: str = "") -> Iterator[Parameter]:
    """The parameters of a section. In `train` every key is one; elsewhere those that are named."""
    for key, info in section.model_fields.items():
        path = f"{above}{key}"
        names = [mark for mark in info.metadata if isinstance(mark, Named)]
        is_section = path == "train" or not is_map(info.annotation)
        below = REGISTRY[family].model if path == "train" else section_of(info.annotation)
        if below and is_section:
            inner = pattern.replace("{}", names[0].name) if names else pattern
            yield from _parameters(below, family, inner, f"{path}.")
            continue
        if above == "accelerator.":
            yield from _of_profiles(key, info.description or "", family)
            continue
        kind = _kind(info.annotation)
        if not names and above == "train.":
            names = [Named(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).upper())]
        for named in names if kind else ():
            default = _default(named, path, family, info.default)
            description = named.description or info.description or ""
            yield Parameter(pattern.replace("{}", named.name), path, default, description, kind or str, named.below)


def _of_profiles(key: str, description: str, family: str) -> Iterator[Parameter]:
    """The parameters that accelerator profiles have for a key of the section."""
    example = REGISTRY[family].example["accelerator"]
    for profile in profile_names():
        data = profile_data(profile)
        resource = data["resources"].get(key) or {}
        if name := resource.get("parameter"):
            unit = resource.get("unit", "")
            amount = example.get(key, "") if example["profile"] == profile else ""
            if unit and amount:
                amount = parse_bytes(amount) // parse_bytes(unit)
            of = f" (in units of {unit})" if unit else ""
            words = f"{description.rstrip('.')}{of}: {data['title']}; empty: not configured."
            yield Parameter(name, f"accelerator.{key}", str(amount), words, int, profile=profile, unit=unit)


def _default(named: Named, key: str, family: str, default: Any) -> str | None:
    """A pipeline's default: that of the family's ready-to-run file, but for what a user of that file has to edit."""
    if named.default is not None:
        return named.default
    data, example = family_data(family), {**REGISTRY[family].example, "train": REGISTRY[family].train or {}}
    section = key.partition(".")[0]
    if named.required:
        return "" if key == f"{section}.repository" and section not in data["requires"] else None
    value: Any = overlay(data["defaults"], example)
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    value = default if value is None else value
    if value is None or value == "":
        return ""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{named.below}/{text}" if named.below else text


def _kind(annotation: Any) -> type | None:
    """What a text is read as for a key of this type; None for lists and maps."""
    kinds = set(_kinds(annotation))
    return next((kind for kind in (str, bool, int, float) if kind in kinds), None)


def _kinds(annotation: Any) -> Iterator[type]:
    if annotation in (str, bool, int, float):
        yield annotation
    elif get_origin(annotation) is Literal:
        yield from {type(choice) for choice in get_args(annotation) if choice != ""}
    elif get_origin(annotation) not in (list, dict):
        for part in get_args(annotation):
            yield from _kinds(part)
