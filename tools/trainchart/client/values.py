"""Values as Python has them: a mapping, the path of a values file, or several of both, of which later ones override earlier ones."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Union

from trainchart.errors import UsageError

Values = Union[Mapping[str, Any], str, "os.PathLike[str]", Sequence[Union[Mapping[str, Any], str, "os.PathLike[str]"]]]


@contextmanager
def as_files(values: Values) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The values as files, and what those are called in messages that are made of mappings.

    Raises:
        UsageError: there are none, or one is of another type.
    """
    given = list(values) if isinstance(values, (list, tuple)) else [values]
    if not given:
        raise UsageError("no values are given; give a mapping or the path of a values file")
    files: list[str] = []
    called: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="trainchart-") as folder:
        for number, one in enumerate(given, 1):
            if isinstance(one, Mapping):
                file = str(Path(folder, f"{number}.yaml"))
                Path(file).write_text(_text(one), encoding="utf-8")
                called[file] = "values" if len(given) == 1 else f"values {number}"
            elif isinstance(one, (str, os.PathLike)):
                file = os.fspath(one)
            else:
                raise UsageError(f"values of type {type(one).__name__}; give a mapping or the path of a values file")
            files.append(file)
        yield files, called


def _text(values: Mapping[str, Any]) -> str:
    """Raises UsageError: something in it is neither text, number, truth value, list nor mapping."""
    import yaml

    try:
        return str(yaml.safe_dump(_plain(values), sort_keys=False, allow_unicode=True))
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise UsageError(f"values: {problem}; use text, numbers, True or False, lists and mappings") from None


def _plain(value: Any) -> Any:
    """The same of dicts and lists: YAML's writer knows no other mapping, nor a path."""
    if isinstance(value, Mapping):
        return {key: _plain(below) for key, below in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(below) for below in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value
