"""Data names only files of the run's sources: what else a link or a path in it leads to, such as a mounted Secret, is never opened.

For the runner and the families' probes alike, so it imports nothing but the standard library. No text made here quotes a file.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterable, Iterator, Optional

FIX = "put the file into the source, and name it by a path inside it"

# Where the runner tells its probes and the trainer what else is the sources': what a view in the run's folder has links to.
ROOTS = "TRAINCHART_SOURCES"


class OutsideError(ValueError):
    """A path that leads out of the sources; the text names it, and not what is there."""

    def __init__(self, named: str, path: Path) -> None:
        super().__init__(f"{named} leads to {path}, outside of the run's sources")


class Sources:
    """The folders of the run's model and dataset, wherever they really are."""

    def __init__(self, *folders: Path) -> None:
        more = filter(None, os.environ.get(ROOTS, "").split(os.pathsep))
        self._roots = [os.path.realpath(folder) for folder in [*folders, *map(Path, more)]]

    def have(self, path: Path) -> bool:
        """Whether a path lies in them, once every link on the way is followed. It need not exist."""
        # Thousands of files are in one folder, and only the last part of each is new.
        plain = path.name not in ("", "..") and not path.is_symlink()
        real = os.path.join(_real(path.parent), path.name) if plain else os.path.realpath(path)  # noqa: PTH118
        return any(real == root or real.startswith(root.rstrip("/") + "/") for root in self._roots)

    def check(self, path: Path, named: str) -> Path:
        """The path itself. `named` says where it stands, for the message.

        Raises:
            OutsideError
        """
        if not self.have(path):
            raise OutsideError(named, Path(os.path.realpath(path)))
        return path

    def strays(self, tree: Path) -> Iterator[Path]:
        """The links below a folder that lead to something outside. One that leads nowhere shows nobody anything."""
        for link in _links(os.path.realpath(tree)):
            if link.exists() and not self.have(link):
                yield link


@lru_cache(maxsize=4096)
def _real(folder: Path) -> str:
    return os.path.realpath(folder)


def _links(folder: str) -> Iterator[Path]:
    """All links below a folder, but those of git's own."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda found: found.name):
            if entry.is_symlink():
                yield Path(entry.path)
            elif entry.is_dir() and entry.name != ".git":
                yield from _links(entry.path)


def lines(path: Path) -> Iterable[str]:
    """Of a list of files: each entry without its blanks."""
    return filter(None, map(str.strip, path.read_text(encoding="utf-8").splitlines()))


def fault(error: Exception) -> str:
    """Why a file cannot be read or understood, and where in it; without the piece of it that some readers show."""
    mark: Optional[Any] = getattr(error, "problem_mark", None)  # of YAML's
    if mark is not None:
        return f"line {mark.line + 1}: {getattr(error, 'problem', None) or 'it is not YAML'}"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 text, from byte {error.start} on"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    position = getattr(error, "lineno", None)  # of JSON's
    return f"line {position}: {getattr(error, 'msg', '')}" if position else type(error).__name__
