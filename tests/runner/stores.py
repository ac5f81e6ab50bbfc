"""Stores of the tests' object stores, and what is read from them."""

from __future__ import annotations

from pathlib import Path

from features import s3


def store_at(endpoint: str, folder: Path, access: str, secret: str) -> s3.Store:
    """The folder `shapes` of the bucket `datasets`, with a mounted Secret in `folder`."""
    (folder / "ACCESS").write_text(access)
    (folder / "SECRET").write_text(secret)
    return s3.Store("dataset", endpoint, "datasets", "shapes", "", str(folder), "ACCESS", "SECRET", "robot", "")


class Room:
    """More of it than any test needs."""

    name, fix = "the workspace", "raise workspace.size"

    @staticmethod
    def free_bytes() -> int:
        return 1 << 40


def fetched(store: s3.Store, folder: Path) -> dict[str, bytes]:
    """The content of the files below the store's prefix, by path."""
    s3.fetch(store, s3.listing(store), folder, folder.with_name("state"), Room())
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
