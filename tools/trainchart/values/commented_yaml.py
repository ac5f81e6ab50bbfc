"""Write YAML as a person would: a comment above each key, block style, quotes only where they are needed."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Collection, Iterator, Mapping
from typing import Any

WIDTH = 120


def lines(
    tree: Mapping[str, Any], comments: Mapping[str, str], *, on_one_line: Collection[str] = (), above: str = ""
) -> Iterator[str]:
    """The lines of a map in block style.

    Args:
        tree: the map.
        comments: the text of the comment above a key, by the key's dotted path.
        on_one_line: the dotted paths of maps to write as `{key: value}`.
        above: the dotted path of the map itself, with a dot at its end.
    """
    indent = "  " * above.count(".")
    for key, value in tree.items():
        path = f"{above}{key}"
        yield from comment(comments.get(path, ""), indent)
        if isinstance(value, dict) and value and path not in on_one_line:
            yield f"{indent}{scalar(key)}:"
            yield from lines(value, comments, on_one_line=on_one_line, above=f"{path}.")
        else:
            yield f"{indent}{scalar(key)}: {scalar(value)}".rstrip()


def comment(text: str, indent: str = "") -> Iterator[str]:
    """The lines of a comment, wrapped; a line that is indented is not wrapped."""
    for line in text.splitlines():
        if line[:1].isspace():
            yield f"{indent}# {line}"
            continue
        width = WIDTH - len(indent) - 2
        for part in textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False):
            yield f"{indent}# {part}"


def scalar(value: Any) -> str:
    """A value on one line that YAML 1.1 and 1.2 read alike; nothing for null."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value if _is_plain(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {scalar(item) or 'null'}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(scalar(item) or "null" for item in value) + "]"
    return json.dumps(value) if isinstance(value, (bool, int, float)) else json.dumps(str(value))


def _is_plain(text: str) -> bool:
    """Whether a string needs no quotes: it looks like no number, no boolean and no syntax."""
    if not re.fullmatch(r"[A-Za-z0-9/][-\w./:@+]*", text, re.ASCII) or text.endswith(":"):
        return False
    if re.fullmatch(r"(?i:[0-9][0-9a-fxo_.:+-]*|y|n|yes|no|on|off|true|false|null|nan|inf)", text, re.ASCII):
        return False
    return not re.match(r"[0-9]+[eE][0-9]", text)
