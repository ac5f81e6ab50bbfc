"""Confines data to the run's sources: what a link or a path in it leads to outside, such as a mounted Secret, is never
opened.

The runner and the families' probes use it, so it imports only the standard library. No message quotes the content of a
file.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Iterator, Optional

FIX = "put the file into the source, and name it by a path inside it"

# Environment variable for probes and trainer: the folders that views of sources link to, which belong to the sources
# too.
ROOTS = "TRAINCHART_SOURCES"


class OutsideError(ValueError):
    """A path that leads out of the sources. The message has the path, but not its content."""

    def __init__(self, described_as: str, path: Path) -> None:
        super().__init__(f"{described_as} leads to {path}, outside of the run's sources")


class Sources:
    """The folders of the run's model and dataset, with every link resolved."""

    def __init__(self, *folders: Path) -> None:
        more = filter(None, os.environ.get(ROOTS, "").split(os.pathsep))
        self._roots = [os.path.realpath(folder) for folder in [*folders, *map(Path, more)]]

    def contains(self, path: Path) -> bool:
        """Whether a path lies in them, with every link on the way followed. It need not exist."""
        # A folder may have thousands of files, which differ only in the last part of their paths.
        plain = path.name not in ("", "..") and not path.is_symlink()
        real = os.path.join(_real(path.parent), path.name) if plain else os.path.realpath(path)  # noqa: PTH118
        return any(real == root or real.startswith(root.rstrip("/") + "/") for root in self._roots)

    def check(self, path: Path, described_as: str) -> Path:
        """Return the path. Raises OutsideError, whose message begins with `described_as`, if it leads out of the
        sources.
        """
        if not self.contains(path):
            raise OutsideError(described_as, Path(os.path.realpath(path)))
        return path

    def links_outside(self, tree: Path) -> Iterator[Path]:
        """Yield the links below a folder that lead to something outside. Dangling links are harmless."""
        for link in _links(os.path.realpath(tree)):
            if link.exists() and not self.contains(link):
                yield link


@lru_cache(maxsize=4096)
def _real(folder: Path) -> str:
    return os.path.realpath(folder)


def _links(folder: str) -> Iterator[Path]:
    """Yield all links below a folder, except in `.git`."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda found: found.name):
            if entry.is_symlink():
                yield Path(entry.path)
            elif entry.is_dir() and entry.name != ".git":
                yield from _links(entry.path)


def describe_error(error: Exception) -> str:
    """Return why a file cannot be read or parsed, and where, without the excerpt that some parsers quote."""
    mark: Optional[Any] = getattr(error, "problem_mark", None)  # of a YAML error
    if mark is not None:
        return f"line {mark.line + 1}: {getattr(error, 'problem', None) or 'it is not YAML'}"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 text, from byte {error.start} on"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    position = getattr(error, "lineno", None)  # of a JSON error
    return f"line {position}: {getattr(error, 'msg', '')}" if position else type(error).__name__
