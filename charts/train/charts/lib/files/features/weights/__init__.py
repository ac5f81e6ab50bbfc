"""Reads pickles of trainers without executing any of their code.

A pickle is a program: it names functions of any module, and unpickling calls them. Here every name is replaced by
`Inert`, which accepts every operation and does nothing, so a malicious file causes an error at worst. The plain data of
a checkpoint (epoch, options, metrics) is returned unchanged; a model or a tensor is returned as an `Inert`.

Standard library only: PyTorch and Paddle need not be imported, and no tensor is loaded into memory.
"""

from __future__ import annotations

import contextlib
import pickle
import struct
import zipfile
from pathlib import Path
from typing import IO, Any, Dict, Iterable, Optional

# Bytes per element of torch.save's storages; untyped ones are counted in bytes.
WIDTHS = {
    "ByteStorage": 1,
    "CharStorage": 1,
    "BoolStorage": 1,
    "ShortStorage": 2,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "IntStorage": 4,
    "FloatStorage": 4,
    "LongStorage": 8,
    "DoubleStorage": 8,
    "ComplexFloatStorage": 8,
    "ComplexDoubleStorage": 16,
    "UntypedStorage": 1,
}
NUMBERS = {"b1": "?", "i4": "i", "i8": "q", "f4": "f", "f8": "d"}


class WeightsError(Exception):
    """A file is not a complete one of a trainer. The message says why, in one line."""


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


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream)
        self.storages: Dict[str, Optional[int]] = {}  # bytes by key, if the type has a known width
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

    def persistent_load(self, pid: Any) -> Any:
        """Handle torch.save's ("storage", type, key, device, elements)."""
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise pickle.UnpicklingError("it refers to something other than a tensor's storage")
        kind = str(getattr(pid[1], "name", "")).rpartition(".")[2]
        self.storages[str(pid[2])] = WIDTHS[kind] * int(pid[4]) if kind in WIDTHS else None
        return Inert()


def read_torch(path: Path, contents: bool = True) -> Any:
    """Return what torch.save wrote to `path`. Raises WeightsError if the file is incomplete.

    Complete means: the archive has its directory, every storage that the pickle names exists with its length, and with
    `contents` every checksum is right, for which the whole file is read.
    """
    try:
        with zipfile.ZipFile(str(path)) as archive:
            return _read_archive(archive, path.stat().st_size, contents)
    except WeightsError:
        raise
    except zipfile.BadZipFile as error:
        raise WeightsError(f"it is not a complete archive of torch.save: {error}") from error
    except Exception as error:  # a truncated or malicious pickle can raise anything
        raise WeightsError(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}") from error


def read_pickle(path: Path) -> Any:
    """Return the content of a plain pickle, such as paddle.save's. Raises WeightsError if it is incomplete."""
    try:
        with path.open("rb") as stream:
            return _Unpickler(stream).load()
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
        unpickler = _Unpickler(stream)
        with contextlib.suppress(Exception):
            unpickler.load()
    return next((name for name in unpickler.named if name not in ARRAY), "")


def _read_archive(archive: zipfile.ZipFile, size: int, contents: bool) -> Any:
    entries = {entry.filename: entry for entry in archive.infolist()}
    program = next((name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1), None)
    if program is None:
        raise WeightsError("it is not an archive of torch.save: it has no data.pkl")
    packed = [name for name, entry in entries.items() if entry.compress_type != zipfile.ZIP_STORED]
    if packed:  # torch never does this, and a few compressed bytes could unpack to any size
        raise WeightsError(f"it is not an archive of torch.save: {packed[0]} is compressed")
    if sum(entry.file_size for entry in entries.values()) > size:  # overlapping entries could unpack to any size
        raise WeightsError("it is not an archive of torch.save: its entries overlap")
    with archive.open(program) as stream:
        unpickler = _Unpickler(stream)
        found = unpickler.load()
        while stream.read(1 << 20):  # the checksum is verified at the end of an entry
            pass
    folder = program.rpartition("/")[0]
    for key, length in unpickler.storages.items():
        entry = entries.get(f"{folder}/data/{key}")
        if entry is None or (length is not None and entry.file_size != length):
            raise WeightsError(f"its storage {key} is missing or has the wrong length")
    damaged = archive.testzip() if contents else None
    if damaged is not None:
        raise WeightsError(f"{damaged} in it is damaged: its checksum is wrong")
    return found
