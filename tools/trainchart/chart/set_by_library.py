"""Helm's `--set` on values that are there, by a library that only parses expressions.

`a[1].b=x` changes the second item of a list that the values have, and `a.b=x` is refused where `a` is a text. So the values go
before the expression, as one: `a[0].b=TOKEN,...,a[1].b=x`, with a token for each of their single values, whatever it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from trainchart.files import Tree

MOST_DOTS = 28
"""Helm reads keys of at most 30 names."""
MOST_ITEMS = 60_000
"""Helm reads indexes up to 65,536."""

_MARK = "\ue000"
_SPECIAL = re.compile(r"([\\.,=\[\]{}])")
_EMPTY_LIST, _NULL = f"{_MARK}list", f"{_MARK}null"
# A key of every map: an empty one is there too, and it says which map of a list it is.
_MAP = f"{_MARK}map"


def set_by(parse: Callable[[str], Tree], values: Mapping[str, Any], expression: str, *, is_json: bool = False) -> Tree:
    """The values with an expression laid over them.

    Args:
        parse: reads expressions.
        values: those that are there.
        expression: such as `a.b=1,c[0]=x`.
        is_json: whether `parse` reads values as JSON.
    """
    known = _Tokens(is_json)
    plain = expression.replace("\\", "")
    # Only what the expression may be about: other keys do not matter to it.
    about = {key: value for key, value in values.items() if key and key.replace("\\", "") in plain}
    before = ",".join(known.assignments(about))
    read: Tree = known.values_of(parse(f"{before},{expression}" if before else expression))
    return {**values, **read}


class _Tokens:
    """Values as assignments of tokens, and back."""

    def __init__(self, quoted: bool) -> None:
        self._quote = '"' if quoted else ""
        self._values: dict[str, Any] = {}

    def assignments(self, values: Mapping[str, Any], path: str = "", dots: int = 0) -> Iterator[str]:
        for key, value in values.items():
            if key and dots < MOST_DOTS:
                yield from self._of(value, f"{path}.{_escaped(key)}" if path else _escaped(key), dots + 1)

    def values_of(self, read: Any) -> Any:
        """What was read, with the values that the tokens in it stand for."""
        if isinstance(read, dict):
            below = {key: self.values_of(value) for key, value in read.items() if key != _MAP}
            # A map without its key of ours is another one, which replaces what was there.
            return {**self.values_of(read[_MAP]), **below} if _MAP in read else below
        if isinstance(read, list):
            return [] if read == [_EMPTY_LIST] else [self.values_of(item) for item in read]
        if read in (_EMPTY_LIST, _NULL):
            return None
        return self._values.get(read, read) if isinstance(read, str) else read

    def _of(self, value: Any, path: str, dots: int) -> Iterator[str]:
        if isinstance(value, dict):
            yield self._assign(f"{path}.{_MAP}", self._token(value))
            yield from self.assignments(value, path, dots)
        elif isinstance(value, list):
            if not value:
                yield self._assign(f"{path}[0]", _EMPTY_LIST)
            for index, item in enumerate(value[:MOST_ITEMS]):
                # A gap is null, but not at the end.
                if item is not None or index + 1 == len(value):
                    yield from self._of(item, f"{path}[{index}]", dots)
        else:
            yield self._assign(path, _NULL if value is None else self._token(value))

    def _token(self, value: Any) -> str:
        token = f"{_MARK}{len(self._values)}"
        self._values[token] = value
        return token

    def _assign(self, path: str, token: str) -> str:
        return f"{path}={self._quote}{token}{self._quote}"


def _escaped(key: str) -> str:
    return _SPECIAL.sub(r"\\\1", key)
