"""Values as Python has them: a mapping, the path of a values file, or several of both, of which later ones override earlier ones."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Union

from trainchart.errors import UsageError
from trainchart.values.from_python import yaml_of

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
                Path(file).write_text(yaml_of(one), encoding="utf-8")
                called[file] = "values" if len(given) == 1 else f"values {number}"
            elif isinstance(one, (str, os.PathLike)):
                file = str(Path(one).expanduser()) if os.fspath(one) else ""
                if not file or "\n" in file:
                    raise UsageError("values: a text is the path of a values file; of YAML, give yaml.safe_load(text)")
            else:
                fix = (
                    "give dataclasses.asdict of it"
                    if dataclasses.is_dataclass(one)
                    else "give a mapping or the path of a values file"
                )
                raise UsageError(f"values of type {type(one).__name__}; {fix}")
            files.append(file)
        yield files, called
