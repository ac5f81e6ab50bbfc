"""The line and column of each value of a YAML file, and what its values do not show: duplicate keys, a second document.

The values themselves are read by Helm's own parser, so that `yes`, `0o17` and `1e3` mean what they mean to Helm. This
module only knows places. It processes the parser's events without recursion and stops early, so no file makes it hang.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import yaml

Path = tuple[str | int, ...]
"""The keys of maps and indexes of lists that lead to a value."""

MAX_DEPTH = 100
MAX_EXPANDED = 100_000
"""The number of values that all aliases together may expand to: more is an attack ("billion laughs") or a mistake."""

# libyaml if PyYAML was built with it: Helm's parser is a port of it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# A plain key that every YAML parser reads as this string. For others (yes, 1e3, null, 2001-01-01) Helm is asked.
_PLAIN_KEY = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[A-Za-z_][-\w./]*", re.IGNORECASE | re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")

_NOTHING = ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True)
class Place:
    """A line and column of a file, both counted from 1; or an option of the command line, which has neither."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)


@dataclass(frozen=True)
class Problem:
    """A problem of a file itself.

    fatal: the file cannot be used. doubtful: it is a warning.
    """

    message: str
    place: Place | None = None
    path: Path = ()
    fatal: bool = False
    doubtful: bool = False


@dataclass
class Node:
    """A value and the place of its key, or of itself in a list; the top of a file has no place."""

    place: Place | None = None
    is_map: bool = False
    children: dict[str | int, Node] = field(default_factory=dict)
    # The number of values in it, itself included, with aliases expanded.
    size: int = 1
    # A plain scalar as the file has it: 7.0, 010, yes. Helm reads it as another text, or as a number.
    written: str = ""

    def over(self, below: Node) -> Node:
        """These values merged over those of earlier files, as `files.overlay` merges values."""
        if not (self.is_map and below.is_map):
            return self
        children = dict(below.children)
        for key, node in self.children.items():
            children[key] = node.over(children[key]) if key in children else node
        return Node(self.place or below.place, True, children)

    def put(self, path: Path, place: Place) -> None:
        """Give a single value its place, and make the maps around it, which have none of their own."""
        node = self
        for key in path:
            node.is_map = True
            # An alias shares its children with the map that it stands for, which keeps its own places.
            node.children = {**node.children, key: replace(node.children.get(key, Node()))}
            node = node.children[key]
        node.place, node.written = place, ""

    def written_at(self, path: Path) -> str:
        """The plain scalar at a path as its file has it; "" where there is none."""
        node: Node | None = self
        for key in path:
            node = node.children.get(key) if node else None
        return node.written if node else ""

    def nearest(self, path: Path) -> Place | None:
        """The place of a value, or of the nearest one that contains it; None if that is the whole file."""
        node, place = self, self.place
        for key in path:
            if key not in node.children:
                break
            node = node.children[key]
            place = node.place or place
        else:
            # A map that an option has made has no place but those of its values.
            while path and node.place is None and node.children:
                node = next(iter(node.children.values()))
                place = node.place or place
        return place


class _Stop(Exception):  # noqa: N818 - the file's error, not the program's
    def __init__(self, message: str, place: Place, path: Path = ()) -> None:
        super().__init__(message)
        self.problem = Problem(message, place, path, fatal=True)


def locate(text: str, file: str, key_name: Callable[[str], str | None]) -> tuple[Node, list[Problem], bool]:
    """Find the places of all values of a file.

    Args:
        text: the file's text.
        file: the name of the file in places.
        key_name: returns the string that Helm reads a plain key such as `yes` or `1e3` as; None if it cannot read it.

    Returns:
        The top of the file, the problems, and whether the file was read to its end.
    """
    reader = _Reader(file, key_name)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            reader.take(event)
    except _Stop as stop:
        return reader.top, [*reader.problems, stop.problem], False
    except yaml.YAMLError as error:
        return reader.top, [*reader.problems, _syntax_error(error, text, file)], False
    return reader.top, reader.problems, True


@dataclass
class _Open:
    """A map or list that has not ended yet."""

    node: Node
    path: Path
    anchor: str | None
    # The key whose value is next; None if it has no name.
    key: str | None = None
    key_place: Place | None = None
    waiting: bool = False
    merged: list[Node] = field(default_factory=list)


class _Reader:
    def __init__(self, file: str, key_name: Callable[[str], str | None]) -> None:
        self.top = Node(is_map=True)
        self.problems: list[Problem] = []
        self._file = file
        self._key_name = key_name
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}  # None: not ended yet
        self._documents = 0
        self._begins: int | None = None  # the line of the "---"

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                message = "a second document begins here, which Helm 3 would ignore; keep one document per file"
                raise _Stop(message, self._place(event))
            if event.version or event.tags:
                raise _Stop("a directive, which Helm 4 cannot read; leave it out", self._place(event))
            self._begins = self._place(event).line if event.explicit else None
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._end()
        elif isinstance(event, (yaml.ScalarEvent, yaml.AliasEvent, yaml.CollectionStartEvent)):
            self._value(event)

    def _value(self, event: yaml.NodeEvent) -> None:
        parent = self._open[-1] if self._open else None
        if parent and parent.node.is_map and not parent.waiting:
            self._key(parent, event)
            if not isinstance(event, yaml.CollectionStartEvent):
                return
            # Helm refuses a map as a key, without a line.
            raise _Stop("a map or list cannot be a key", self._place(event), parent.path)
        if parent is None:
            self._check_top(event)
        place, path, merges = self._slot(parent, event)
        node = self._node(event, place, path)
        if parent is None:
            self.top = node
        elif merges:
            parent.merged.append(node)
        elif path is not None:
            parent.node.children[path[-1]] = node
        if isinstance(event, yaml.CollectionStartEvent):
            if len(self._open) == MAX_DEPTH:
                raise _Stop(f"more than {MAX_DEPTH} levels inside each other", self._place(event))
            self._open.append(_Open(node, path or (), event.anchor))
        elif parent:
            parent.node.size += node.size

    def _key(self, parent: _Open, event: yaml.NodeEvent) -> None:
        """A key of a map; its value is the next event."""
        parent.waiting = True
        parent.key, parent.key_place = None, self._place(event)
        if not isinstance(event, yaml.ScalarEvent):
            return
        plain = event.implicit[0]
        if event.anchor:
            self._anchors[event.anchor] = Node(parent.key_place)
        if plain and event.value == "<<":
            parent.key = "<<"
            return
        known = not plain or _PLAIN_KEY.fullmatch(event.value)
        parent.key = event.value if known else self._key_name(event.value)
        if parent.key in parent.node.children:
            first = parent.node.children[parent.key].place
            where = f"in line {first.line}, column {first.column}" if first else "above"
            message = f"duplicate key, first {where}; Helm would use the last: keep one of them"
            self.problems.append(Problem(message, parent.key_place, (*parent.path, parent.key or "")))

    def _slot(self, parent: _Open | None, event: yaml.NodeEvent) -> tuple[Place | None, Path | None, bool]:
        """The place of a value, its path (None if its key has no name), and whether it is merged (`<<`)."""
        if parent is None:
            return None, (), False
        if not parent.node.is_map:
            return self._place(event), (*parent.path, len(parent.node.children)), False
        parent.waiting = False
        if parent.key == "<<":
            return parent.key_place, None, True
        return parent.key_place, None if parent.key is None else (*parent.path, parent.key), False

    def _node(self, event: yaml.NodeEvent, place: Place | None, path: Path | None) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, place, path)
        is_map = isinstance(event, yaml.MappingStartEvent)
        if isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
            if _NOT_FINITE.fullmatch(event.value):
                message = f"{event.value} is not a finite number; write one"
                self.problems.append(Problem(message, place, path or (), fatal=True))
            is_map = place is None  # a file with nothing in it is an empty map
        node = Node(place, is_map)
        if isinstance(event, yaml.ScalarEvent) and event.implicit[0]:
            node.written = event.value
        if event.anchor:
            self._anchors[event.anchor] = None if isinstance(event, yaml.CollectionStartEvent) else node
        return node

    def _check_top(self, event: yaml.NodeEvent) -> None:
        if self._place(event).line == self._begins and (not isinstance(event, yaml.ScalarEvent) or event.value):
            raise _Stop("on the line of ---, where Helm 4 cannot read it; write it below", self._place(event))
        if isinstance(event, yaml.MappingStartEvent):
            return
        if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and event.value in _NOTHING:
            return
        kind = "a list" if isinstance(event, yaml.SequenceStartEvent) else "a single value"
        raise _Stop(f"the top level is {kind}, but values are a map; write key: value", self._place(event))

    def _alias(self, event: yaml.AliasEvent, place: Place | None, path: Path | None) -> Node:
        if event.anchor not in self._anchors:
            raise _Stop(f"*{event.anchor} refers to &{event.anchor}, which is not defined above it", self._place(event))
        anchored = self._anchors[event.anchor]
        if anchored is None:
            raise _Stop(f"&{event.anchor} contains itself", self._place(event), path or ())
        node = Node(place or self._place(event), anchored.is_map, anchored.children, anchored.size, anchored.written)
        expanded = node.size + sum(level.node.size for level in self._open)
        if expanded > MAX_EXPANDED:
            message = f"aliases expand to more than {MAX_EXPANDED:,} values; write the values without aliases"
            raise _Stop(message, self._place(event))
        return node

    def _end(self) -> None:
        closed = self._open.pop()
        for merged in closed.merged:
            # `<<: *a` or `<<: [*a, *b]`: keys of the map itself, then of earlier entries of the list, take precedence.
            for source in [merged] if merged.is_map else merged.children.values():
                for key, node in source.children.items():
                    closed.node.children.setdefault(key, node)
        if closed.anchor:
            self._anchors[closed.anchor] = closed.node
        if self._open:
            self._open[-1].node.size += closed.node.size

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        assert mark is not None  # noqa: S101 - parsed, not made by hand
        return Place(self._file, mark.line + 1, mark.column + 1)


def _syntax_error(error: yaml.YAMLError, text: str, file: str) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):
        line = _line(text, error.position)
        return Problem("a control character, which YAML does not allow; is it a text file?", Place(file, line, 1))
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return Problem("not YAML: " + " ".join(str(error).split()))
    place = Place(file, mark.line + 1, mark.column + 1)
    if "<document start>" in str(getattr(error, "problem", "")):
        message = "text behind the end of the values (`...` or the last brace), which Helm would ignore; move it before that, or take it out"
        return Problem(message, place, fatal=True)
    lines = text.splitlines()
    line_text = lines[mark.line] if mark.line < len(lines) else ""
    indent = line_text[: len(line_text) - len(line_text.lstrip())]
    if "\t" in indent or line_text[mark.column : mark.column + 1] == "\t":
        return Problem("a tab, where YAML requires spaces", Place(file, mark.line + 1, line_text.index("\t") + 1))
    return Problem("not YAML: " + ", ".join(_reasons(error)), place)


def _reasons(error: yaml.YAMLError) -> Iterator[str]:
    """The parser's message, such as: did not find expected ',' or ']', while parsing a flow sequence from line 3."""
    yield str(getattr(error, "problem", "") or "unreadable")
    context, mark = getattr(error, "context", None), getattr(error, "context_mark", None)
    if context:
        yield f"{context} from line {mark.line + 1}" if mark else str(context)


def _line(text: str, byte: int) -> int:
    return text.encode()[:byte].count(b"\n") + 1
