"""The parameters (`--param`) that settings of a pipeline's task stand for."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache

from trainchart.errors import UsageError
from trainchart.values.models.families import FAMILIES
from trainchart.values.parameters import parameters


def parameter_names(keys: Iterable[str]) -> dict[str, str]:
    """The parameter of each setting, which is a parameter itself or a key of the values that one is for.

    Raises:
        UsageError: there is none, or there are several.
    """
    names: dict[str, str] = {}
    for key in keys:
        found = [key] if key in _known() else _of_keys().get(key, [])
        if not found:
            raise UsageError(f"settings: {key!r} {_advice(key)}")
        if len(found) > 1:
            raise UsageError(f"settings: {key} is set by one of {', '.join(found)}: give that in its place")
        if found[0] in names.values():
            raise UsageError(f"settings: {found[0]} is given twice; keep one of them")
        names[key] = found[0]
    return names


def _advice(key: str) -> str:
    found = get_close_matches(key, _known() if key.isupper() else _of_keys(), n=1, cutoff=0.75)
    did_you_mean = f"did you mean {found[0]}? " if found else ""
    return f"is no setting; {did_you_mean}lists and maps go into values (trainchart docs values)"


@cache
def _of_keys() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for family in FAMILIES:
        for parameter in parameters(family):
            names = found.setdefault(parameter.key, [])
            if parameter.name not in names:
                names.append(parameter.name)
    return found


@cache
def _known() -> tuple[str, ...]:
    return tuple(name for names in _of_keys().values() for name in names)
