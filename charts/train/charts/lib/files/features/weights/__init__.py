"""Reads pickles of trainers without executing any of their code.

A pickle is a program: it names functions of any module, and unpickling calls them. Here every name is replaced by
`Inert`, which accepts every operation and does nothing, so a malicious file causes an error at worst. Plain data
(epoch, options, metrics) is returned unchanged, and a model or a tensor as an `Inert`.
"""

from __future__ import annotations

import contextlib
import pickle
import struct
from pathlib import Path
from typing import IO, Any, Dict, Iterable

NUMBERS = {"b1": "?", "i4": "i", "i8": "q", "f4": "f", "f8": "d"}


class WeightsError(Exception):
    """A file is incomplete. The message says why, in one line."""


class Inert(Dict[Any, Any]):
    """A stand-in for whatever a pickle builds: a mapping of the items and attributes that the pickle sets.

    `name` is the class or function that the pickle named, such as `ultralytics.nn.tasks.DetectionModel`.
    """

    name = ""

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        return dict.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __call__(self, *_: Any, **__: Any) -> Inert:
        return Inert()

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.update(state)

    # The unpickler calls these for a list or a set.
    def append(self, _: Any) -> None:
        pass

    def extend(self, _: Iterable[Any]) -> None:
        pass

    def add(self, _: Any) -> None:
        pass

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:  # type: ignore[override]  # no other dict may be a key
        return id(self)


class _DataType(Inert):
    """numpy.dtype, as far as single numbers need it."""

    def __init__(self, code: Any = "", *_: Any, **__: Any) -> None:
        super().__init__()
        self.code = code


def _scalar(kind: Any = None, data: Any = b"", *_: Any) -> Any:
    """Return a pickled number of numpy, which metrics are."""
    code = NUMBERS.get(str(getattr(kind, "code", "")))
    if code is None or not isinstance(data, bytes) or len(data) != struct.calcsize(f"<{code}"):
        return Inert()
    return struct.unpack(f"<{code}", data)[0]


def _encode(text: Any = "", *_: Any) -> Any:
    """_codecs.encode, by which protocol 2 pickles bytes."""
    return text.encode("latin1") if isinstance(text, str) else Inert()


# All that a pickled numpy array calls; none of it can do anything else.
ARRAY = frozenset(
    [
        "numpy.ndarray",
        "numpy.dtype",
        *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
        *(f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core")),
        "_codecs.encode",
    ]
)
_NUMPY = b"\x93NUMPY"

_KNOWN: Dict[str, Any] = {
    "numpy.dtype": _DataType,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "_codecs.encode": _encode,
}


class Unpickler(pickle.Unpickler):
    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream)
        self._classes: Dict[str, Any] = {}
        self.named: Dict[str, None] = {}  # in the order of the pickle

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        self.named[full] = None
        if full in _KNOWN:
            return _KNOWN[full]
        if full not in self._classes:
            self._classes[full] = type("Inert", (Inert,), {"name": full})
        return self._classes[full]


def read_pickle(path: Path) -> Any:
    """Return the content of a plain pickle, such as paddle.save's. Raises WeightsError if it is incomplete."""
    try:
        with path.open("rb") as stream:
            return Unpickler(stream).load()
    except Exception as error:
        raise WeightsError(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}") from error


def find_unknown_call(path: Path) -> str:
    """Return the first name, other than those of ARRAY, that numpy.load with `allow_pickle` would call for this file,
    or "". In a truncated file, the names up to its end count.
    """
    with path.open("rb") as stream:
        if stream.read(len(_NUMPY)) == _NUMPY:
            wide = stream.read(2)[:1] > b"\x01"
            stream.seek(int.from_bytes(stream.read(4 if wide else 2), "little"), 1)
        else:
            stream.seek(0)
        unpickler = Unpickler(stream)
        with contextlib.suppress(Exception):
            unpickler.load()
    return next((name for name in unpickler.named if name not in ARRAY), "")
