"""Files as torch.save writes them, without PyTorch: a zip archive of a pickle and the bytes of its tensors."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any


class Name:
    """Pickled as a reference to a class or function that need not exist here, such as Name("torch", "FloatStorage")."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Call:
    """Pickled as what `name` returns for `arguments`, with `state` as its attributes."""

    def __init__(self, name: Name, arguments: tuple[Any, ...] = (), state: dict[str, Any] | None = None) -> None:
        self.name, self.arguments, self.state = name, arguments, state


class Storage:
    """The bytes of a tensor."""

    def __init__(self, key: str, data: bytes, kind: str = "FloatStorage", elements: int | None = None) -> None:
        self.key, self.data, self.kind = key, data, kind
        self.elements = len(data) // 4 if elements is None else elements


class _Pickler(pickle._Pickler):
    """The one of pure Python, whose methods can be replaced."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream, protocol=2)
        self.storages: dict[str, Storage] = {}

    def persistent_id(self, item: Any) -> Any:
        if not isinstance(item, Storage):
            return None
        self.storages[item.key] = item
        return ("storage", Name("torch", item.kind), item.key, "cpu", item.elements)

    def save(self, item: Any, save_persistent_id: bool = True) -> Any:
        if isinstance(item, Name):
            return self.write(pickle.GLOBAL + f"{item.module}\n{item.name}\n".encode())  # type: ignore[attr-defined]
        if isinstance(item, Call):
            return self.save_reduce(item.name, item.arguments, item.state)
        return super().save(item, save_persistent_id)  # type: ignore[misc]

    def save_reduce(self, func: Any, args: Any, state: Any = None, *_: Any, **__: Any) -> Any:
        self.save(func)
        self.save(args)
        self.write(pickle.REDUCE)  # type: ignore[attr-defined]
        if state is not None:
            self.save(state)
            self.write(pickle.BUILD)  # type: ignore[attr-defined]


def save(path: Path, state: Any) -> Path:
    stream = io.BytesIO()
    pickler = _Pickler(stream)
    pickler.dump(state)
    write(path, stream.getvalue(), {key: storage.data for key, storage in pickler.storages.items()})
    return path


def write(path: Path, program: bytes, storages: dict[str, bytes] | None = None) -> None:
    """`program` is the pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        for key, data in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", data)
        archive.writestr("archive/version", "3\n")


def tensor(key: str, data: bytes) -> Call:
    return Call(Name("torch._utils", "_rebuild_tensor_v2"), (Storage(key, data), 0, (len(data) // 4,), (1,), False, {}))
