"""Reads what torch.save wrote, as `features.weights` reads pickles. No tensor is loaded."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import IO, Any, Dict, Optional

from features.weights import Inert, Unpickler
from features.weights import WeightsError as WeightsError

# Bytes per element of its storages; untyped ones are counted in bytes.
KINDS = {
    1: "Byte Char Bool Untyped",
    2: "Short Half BFloat16",
    4: "Int Float",
    8: "Long Double ComplexFloat",
    16: "ComplexDouble",
}
WIDTHS = {f"{kind}Storage": width for width in KINDS for kind in KINDS[width].split()}


class _Unpickler(Unpickler):
    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(stream)
        self.storages: Dict[str, Optional[int]] = {}  # bytes by key, if known

    def persistent_load(self, pid: Any) -> Any:
        """Handle torch.save's ("storage", type, key, device, elements)."""
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise pickle.UnpicklingError("it refers to something other than a tensor's storage")
        kind = str(getattr(pid[1], "name", "")).rpartition(".")[2]
        self.storages[str(pid[2])] = WIDTHS[kind] * int(pid[4]) if kind in WIDTHS else None
        return Inert()


def read_torch(path: Path, contents: bool = True) -> Any:
    """Return what torch.save wrote to `path`. Raises WeightsError if the file is incomplete.

    Complete: it has its directory, every storage that the pickle names with its length, and with `contents`, for which
    it is read, the right checksums.
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
