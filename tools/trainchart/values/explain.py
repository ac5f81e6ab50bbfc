"""What one key of the values is, or what a section has; from the typed models."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from trainchart.chart.families import family_data
from trainchart.errors import TrainchartError
from trainchart.values.models import Values
from trainchart.values.models.base import entry_of
from trainchart.values.models.families import FAMILIES
from trainchart.values.reference import Value, defaults, parameter_names, sections, values_in


class NoSuchKeyError(TrainchartError):
    """The message names keys that are close."""


@dataclass(frozen=True)
class Explained:
    path: str
    kind: str
    default: str
    description: str
    examples: Sequence[str]
    parameters: Sequence[str]
    """Its names in platforms' pipelines."""
    family: str = ""
    """Whose setting it is; empty for what all families share."""
    is_section: bool = False


def explain(key: str, family: str = "") -> list[Explained]:
    """What a key is: one entry, or one per family that has it; of a section itself and all that is in it. "": the keys at the top.

    Raises:
        NoSuchKeyError
    """
    if family and family not in FAMILIES:
        raise NoSuchKeyError(f"family {family!r} is not one of {', '.join(FAMILIES)}")
    every = _every([family] if family else FAMILIES)
    if not key:
        return [one for one in every if "." not in one.path and not one.family]
    key = re.sub(r"\[\d*\]$", "", re.sub(r"\[\d+\]", "[]", key))
    found = [one for one in every if one.path == key]
    found += [one for one in every if one.path.startswith((f"{key}.", f"{key}[]."))]
    if not found:
        raise NoSuchKeyError(_no_such(key, [one.path for one in every]))
    return found


def keys() -> list[str]:
    """All that can be explained."""
    return list(dict.fromkeys(one.path for one in _every(FAMILIES)))


def _every(families: Iterable[str]) -> list[Explained]:
    return [*_shared(), *_of_families(sorted(families))]


def _no_such(key: str, paths: Sequence[str]) -> str:
    last = {path.rpartition(".")[2].lower(): path for path in reversed(paths)}
    near = difflib.get_close_matches(key, paths, 3, 0.75) or [
        last[name] for name in difflib.get_close_matches(key.rpartition(".")[2].lower(), last, 3, 0.75)
    ]
    hint = f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else "`trainchart explain` lists the keys"
    return f"there is no key {key!r}; {hint}"


def _shared() -> Iterator[Explained]:
    effective, schema, below = defaults(Values), Values.model_json_schema(), sections()
    for key, info in Values.model_fields.items():
        if key in below or key == "train":
            yield Explained(key, "section", "", info.description or "", [], [], is_section=True)
        if key in below:
            section = below[key]
            yield from map(_explained, values_in(section, section.model_json_schema(), effective[key], above=f"{key}."))
        elif key != "train":
            yield from map(_explained, values_in(Values, schema, effective, keys=[key]))
            if entry := entry_of(info.annotation):
                yield from map(_explained, values_in(entry, entry.model_json_schema(), None, above=f"{key}[]."))


def _of_families(families: Iterable[str]) -> Iterator[Explained]:
    for name in families:
        model, own = FAMILIES[name], family_data(name).get("defaults", {}).get("train", {})
        for value in values_in(model, model.model_json_schema(), own, above="train."):
            yield _explained(value, name)


def _explained(value: Value, family: str = "") -> Explained:
    return Explained(
        value.path,
        _plain(value.kind),
        _plain(value.default),
        _plain(value.description),
        [_plain(example) for example in value.examples],
        parameter_names().get(value.path, []),
        family,
    )


def _plain(markdown: str) -> str:
    """Markdown's text without links and code marks."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", markdown).replace("`", "")
