"""A private view of a source that lies in the cache or on a claim, for trainers that write beside what they read.

Its folders are real, its files are links to the source's; those that a trainer may rewrite, or that it finds others from, are copies.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
from pathlib import Path
from typing import Callable, Sequence

from . import trees


def fill(view: Path, source: Path, copied: Sequence[str], rewrites: Callable[[Path], bool]) -> None:
    """Make `view`, a folder without links above it, anew.

    `copied` are patterns of files' names; `rewrites` says of any other file whether the trainer would write to it.
    """
    trees.empty(view, view.parent)
    for top, folders, names in os.walk(str(source)):
        here = view / Path(top).relative_to(source)
        if ".git" in folders:
            folders.remove(".git")
        for name in [*names, *(folder for folder in folders if Path(top, folder).is_symlink())]:
            path = Path(top, name)
            if path.is_symlink():
                (here / name).symlink_to(_target(path, source))
            elif any(fnmatch.fnmatch(name, pattern) for pattern in copied) or rewrites(path):
                shutil.copyfile(str(path), str(here / name))
                (here / name).chmod(path.stat().st_mode & 0o777 | 0o600)
            else:
                (here / name).symlink_to(path)
        for folder in folders:
            if not Path(top, folder).is_symlink():
                (here / folder).mkdir()


def is_cut_jpeg(path: Path) -> bool:
    """A JPEG without its end mark: the trainers of YOLO write such an image anew, in its place."""
    with path.open("rb") as stream:
        if stream.read(2) != b"\xff\xd8":
            return False
        stream.seek(-2, os.SEEK_END)
        return stream.read() != b"\xff\xd9"


def _target(link: Path, source: Path) -> str:
    """A relative link that stays in the source stays as it is; any other leads to the source's own."""
    to = os.readlink(str(link))  # noqa: PTH115 (Path's is newer than 3.8)
    inner = Path(os.path.normpath(link.parent / to))
    return to if not Path(to).is_absolute() and source in inner.parents else str(link)
