"""Values of the command line, which lie over those of the files: --values-text, --family, --param, Helm's --set-json, --set and
--set-string; and sections that a command sets itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainchart.chart.engine import setting_error
from trainchart.chart.render import set_value
from trainchart.errors import RenderError
from trainchart.files import Tree, overlay
from trainchart.values.characters import is_utf8
from trainchart.values.document import read_document
from trainchart.values.positions import Node, Path, Place, Problem
from trainchart.values.schema_errors import format_path, format_value

TEXT = "--values-text"
SETS = ("--set-json", "--set", "--set-string")
"""The options of Helm, in the order in which it lays their values over each other."""

MOST = 2**53
"""Helm keeps the numbers of a values file as floating-point numbers, and they have no larger whole number without gaps."""

_NOTHING = object()


@dataclass(frozen=True)
class Overrides:
    """The options of a command line; the later ones lie over the earlier ones."""

    text: str = ""
    """The text of a values file."""
    family: str = ""
    parameters: Sequence[str] = ()
    """Each NAME=VALUE, with a name of `values/parameters.py`."""
    sets: Sequence[tuple[str, str]] = ()
    """Each an option of SETS and its expression."""
    sections: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    """What replaces whole keys at the top: the option that says so, and the value."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Values of the command itself, which lie over the files, but below its options."""

    def __bool__(self) -> bool:
        return bool(self.text or self.family or self.parameters or self.sets or self.sections)

    def over(self, values: Tree, places: Node) -> tuple[Tree | None, Node, list[Problem]]:
        """Lay them over values with their places.

        Returns:
            The values (None if they cannot be used), the option or place that each is from, and what is wrong with the options.
        """
        problems = [
            Problem("is not UTF-8 text", Place(option))
            for option, text in ((TEXT, self.text), ("--family", self.family))
            if not is_utf8(text)
        ]
        if problems:
            return None, places, problems
        values = overlay(values, self.defaults)
        if self.text:
            tree, node, problems = read_document(self.text, TEXT)
            if tree is None:
                return None, places, problems
            values, places = overlay(values, tree), node.over(places)
        if self.family:
            values = overlay(values, {"family": self.family})
            places.put(("family",), Place("--family"))
        if self.parameters:
            values, places, found = self._parameters(values, places)
            problems += found
        for option, expression in sorted(self.sets, key=lambda given: SETS.index(given[0])):
            values, found = _set(values, places, option, expression)
            problems += found
        for key, (option, value) in self.sections.items():
            values = {**values, key: value}
            places.put((key,), Place(option))
        return values, places, problems

    def values_over(self, values: Tree) -> Tree:
        """The values alone.

        Raises:
            RenderError: they are not valid.
        """
        laid, _, problems = self.over(values, Node(is_map=True))
        if laid is None:
            place = problems[0].place
            raise RenderError(f"{place.file if place else TEXT}: {problems[0].message}")
        return laid

    def _parameters(self, values: Tree, places: Node) -> tuple[Tree, Node, list[Problem]]:
        # Typed models take a quarter of a second to import.
        from trainchart.values import parameters
        from trainchart.values.models.families import REGISTRY

        family = values.get("family")
        if not family:
            message = "needs the family of the run; name it by --family, or in a values file"
            return values, places, [Problem(message, Place(parameters.OPTION))]
        if not isinstance(family, str) or family not in REGISTRY:  # the chart says so, and lists the families
            return values, places, []
        given = parameters.read(self.parameters, family, values)
        return overlay(values, given.values), given.places.over(places.over(given.empty)), given.problems


def _set(values: Tree, places: Node, option: str, expression: str) -> tuple[Tree, list[Problem]]:
    """Lay one of Helm's expressions over the values, and note in `places` what it has changed."""
    try:
        _check(option, expression)
        changed = set_value(values, option, expression)
        # Helm takes =x and [0]=x for no change at all, which nobody means.
        if changed == values and expression.strip() and not set_value({}, option, expression):
            raise RenderError("names no key; write KEY=VALUE")
    except RenderError as error:
        return values, [Problem(f"{format_value(expression)}: {error}", Place(option))]
    problems = []
    for path, value in _differences(values, changed):
        place = Place(f"{option} {format_path(path)}")
        places.put(path, place)
        if long := next((number for number in _whole_numbers(value) if abs(number) > MOST), None):
            message = f"{long} has more digits than Helm keeps of a number; if it may be text, use --set-string"
            problems.append(Problem(message, place))
    return changed, problems


def _check(option: str, expression: str) -> None:
    """Raises: RenderError: the expression cannot be passed on to Helm, or only Helm 4 reads it."""
    if option == "--set-json" and expression.lstrip().startswith(("{", "[")):
        raise setting_error(option, "")
    if "\0" in expression:
        raise RenderError("holds a NUL character; take it out")
    if not is_utf8(expression):
        raise RenderError("is not UTF-8 text")


def _whole_numbers(value: Any) -> Iterator[int]:
    if isinstance(value, list):
        for item in value:
            yield from _whole_numbers(item)
    elif isinstance(value, int):
        yield value


def _differences(before: Any, after: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The paths at which values differ, with what is there afterwards; of maps and lists, the paths in them."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in after.items():
            yield from _differences(before.get(key, _NOTHING), value, (*path, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) <= len(after):
        for index, value in enumerate(after):
            yield from _differences(before[index] if index < len(before) else _NOTHING, value, (*path, index))
    elif isinstance(after, dict) and after:
        for key, value in after.items():
            yield from _differences(_NOTHING, value, (*path, key))
    elif before is _NOTHING or type(before) is not type(after) or before != after:
        yield path, after


NO_OVERRIDES = Overrides()
