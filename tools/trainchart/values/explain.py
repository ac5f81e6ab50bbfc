"""What one key of the values is, or what a section has; from the typed models."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trainchart.chart.families import family_data
from trainchart.errors import TrainchartError
from trainchart.values.models import Values
from trainchart.values.models.base import entry_of
from trainchart.values.models.families import FAMILIES
from trainchart.values.reference import Value, defaults, parameter_names, sections, values_in
from trainchart.values.words import INSTEAD, plain


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
    also: Sequence[str] = ()
    """What others call it."""


def explain(key: str, family: str = "") -> list[Explained]:
    """What a key is: one entry, or one per family that has it; of a section itself and all that is in it; of a key in a map of the
    user's own, such as env.LR, that map. "": the keys at the top.

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
    found = found or [one for one in every if key.startswith(f"{one.path}.") and "map" in one.kind.split()]
    if not found:
        raise NoSuchKeyError(f"there is no key {key!r}; {_hint(key, every)}")
    return found


def keys() -> list[str]:
    """All that can be explained."""
    return list(dict.fromkeys(one.path for one in _every(FAMILIES)))


def _every(families: Iterable[str]) -> list[Explained]:
    return [*_shared(), *_of_families(sorted(families))]


def _hint(key: str, every: Sequence[Explained]) -> str:
    """The keys that are meant: of the same last word, or one that others use for it; else those that are written nearly so."""
    above, dot, last_word = key.rpartition(".")
    word, paths = plain(last_word), [one.path for one in every]
    named = [one.path for one in every if word in map(plain, (one.path.rpartition(".")[2], *one.also))]
    close = difflib.get_close_matches(key, paths, 3, 0.75)
    if instead := not dot and _instead(word):
        return instead
    beside = [path for path in named if path.startswith(f"{above}.")]
    near = (beside or close or named) if dot else (named or close)
    if not near:
        last = {plain(one.path.rpartition(".")[2]): one.path for one in reversed(every)}
        near = [last[name] for name in difflib.get_close_matches(word, last, 3, 0.75)]
    shown = list(dict.fromkeys(near))[:3]
    return f"did you mean {' or '.join(shown)}?" if shown else "`trainchart explain` lists the keys"


def _instead(word: str) -> str:
    """What to do instead of setting it at the top level."""
    texts: Mapping[str, str] = Values.model_json_schema().get(INSTEAD, {})
    return next((text for name, text in texts.items() if plain(name) == word), "")


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
        also=value.also,
    )


def _plain(markdown: str) -> str:
    """Markdown's text without links and code marks."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", markdown).replace("`", "")
