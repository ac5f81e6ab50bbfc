"""A private view of a source in the cache or on a claim, for trainers that write next to the files they read.

Its folders are real, and its files are links to the source's; files that a trainer may rewrite, or from which it
locates others, are copies.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
from pathlib import Path
from typing import Callable, Sequence

from . import trees


def fill(view: Path, source: Path, copied: Sequence[str], rewrites: Callable[[Path], bool]) -> None:
    """Create `view`, a folder without links above it, from scratch.

    Files whose names match `copied` are copied, and other files for which `rewrites` is true; the rest are linked.
    """
    trees.empty(view, view.parent)
    for top, folders, names in os.walk(str(source)):
        here = view / Path(top).relative_to(source)
        if ".git" in folders:
            folders.remove(".git")
        for name in [*names, *(folder for folder in folders if Path(top, folder).is_symlink())]:
            path = Path(top, name)
            inner = _inner_target(path, source)
            if inner:
                (here / name).symlink_to(inner)
            elif path.is_file() and (any(fnmatch.fnmatch(name, pattern) for pattern in copied) or rewrites(path)):
                shutil.copyfile(str(path), str(here / name))
                (here / name).chmod(path.stat().st_mode & 0o777 | 0o600)
            else:
                (here / name).symlink_to(path)
        for folder in folders:
            if not Path(top, folder).is_symlink():
                (here / folder).mkdir()


def is_cut_jpeg(path: Path) -> bool:
    """Whether a JPEG lacks its end marker: YOLO's trainers rewrite such an image in place."""
    with path.open("rb") as stream:
        if stream.read(2) != b"\xff\xd8":
            return False
        stream.seek(-2, os.SEEK_END)
        return stream.read() != b"\xff\xd9"


def _inner_target(path: Path, source: Path) -> str:
    """Return the target of a relative link inside the source, which leads to the copy; "" for anything else."""
    to = os.readlink(str(path)) if path.is_symlink() else ""
    inner = Path(os.path.normpath(path.parent / to))
    return to if to and not Path(to).is_absolute() and source in inner.parents else ""
