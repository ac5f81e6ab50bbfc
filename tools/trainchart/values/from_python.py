"""Values of a Python program, as the text of a values file."""

from __future__ import annotations

import dataclasses
import datetime
import os
from collections.abc import Mapping, Sequence
from typing import Any

from trainchart.errors import UsageError


def yaml_of(values: Mapping[str, Any]) -> str:
    """The text of a values file with the same values.

    Raises:
        UsageError: something in it is neither text, number, truth value, list nor mapping.
    """
    import yaml

    class Writer(yaml.SafeDumper):
        """Quotes every text: what is one to this writer may be a number to Helm's reader, such as 1e3, or a truth value,
        such as y.
        """

        def ignore_aliases(self, _: Any) -> bool:
            return True

    Writer.add_representer(str, lambda writer, text: writer.represent_scalar("tag:yaml.org,2002:str", text, style='"'))
    try:
        return str(yaml.dump(_plain(values, ""), Dumper=Writer, sort_keys=False, width=float("inf")))
    except RecursionError:
        raise UsageError("values: they contain themselves, or are nested too deep") from None


def _plain(value: Any, key: str) -> Any:
    """The same of what YAML has, also of what is numpy's, pandas', torch's or OmegaConf's."""
    if value is None or isinstance(value, bool):
        return value
    for plain in (str, int, float):  # and what is derived from them: numpy's, and enumerations
        if isinstance(value, plain):
            return plain.__str__(value) if plain is str else plain(value)
    if isinstance(value, Mapping):
        return {_key(name, key): _plain(below, f"{key}.{name}".lstrip(".")) for name, below in value.items()}
    if callable(listed := getattr(value, "tolist", None)):
        return _plain(listed(), key)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [_plain(below, f"{key}[{number}]") for number, below in enumerate(value)]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, datetime.date):  # which is text to Helm's reader
        return str(value)
    fix = "give dataclasses.asdict of it" if dataclasses.is_dataclass(value) else _FIX
    raise UsageError(f"values: {key}: {value!r:.100} is of type {type(value).__name__}; {fix}")


_FIX = "use text, numbers, True or False, lists and mappings"


def _key(name: Any, above: str) -> Any:
    if isinstance(name, (str, int, float)):
        return _plain(name, above)
    raise UsageError(f"values: {above or 'top level'}: {name!r:.100} cannot be a key; use text")
