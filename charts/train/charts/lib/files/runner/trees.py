"""Files and folders changed so that nothing outside the run's own folder is ever touched: no symbolic link is followed.

Every function takes `below`, a folder that is trusted; each part of the path under it is opened relative to the one before, without
following links. What lies behind a link is not there for them. Errors are never swallowed: OSError says what could not be done.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from pathlib import Path
from typing import Callable, Iterable, Iterator, List, Optional, Tuple, Union

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 64  # folders within each other that are opened at once
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # nothing there, or only behind a link or a file


def remove(path: Path, below: Path) -> None:
    """Remove a file, a link (not what it leads to) or a folder with all that is in it; what is not there is fine."""
    with _parent(path, below) as parent:
        if parent is not None and _mode(path.name, parent):
            _remove(path.name, parent, path)


def empty(folder: Path, below: Path) -> None:
    """Leave a folder without content. A link or a file in its place is replaced by a folder; those above it are made."""
    with _parent(folder, below) as parent:
        if parent is not None and stat.S_ISDIR(_mode(folder.name, parent)):
            _remove_content(folder.name, parent, folder)
            return
    remove(folder, below)
    make(folder, below)


def make(folder: Path, below: Path) -> None:
    """Make a folder and those above it, as `mkdir -p`, but each a real one: a link in the way is removed. OSError for a file."""
    handle = os.open(str(below), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in () if folder == below else _parts(folder, below):
            mode = _mode(part, handle)
            if stat.S_ISLNK(mode):
                os.unlink(part, dir_fd=handle)
            with contextlib.suppress(FileExistsError):  # another pod of the run makes it too
                os.mkdir(part, dir_fd=handle)
            inner = os.open(part, _FOLDER, dir_fd=handle)
            os.close(handle)
            handle = inner
    finally:
        os.close(handle)


def move_aside(path: Path, below: Path, to: Path) -> Path:
    """Rename `path` to `to`, or to `to` with a number where that is taken. Returns where it is now. Both are below `below`."""
    make(to.parent, below)
    with _parent(path, below) as source, _parent(to, below) as target:
        if source is None or target is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        name, number = to.name, 1
        while _mode(name, target):
            number += 1
            name = f"{to.name}.{number}"
        os.rename(path.name, name, src_dir_fd=source, dst_dir_fd=target)
        os.fsync(target)
        os.fsync(source)
    return to.with_name(name)


def discard(path: Path, below: Path, aside: Path) -> bool:
    """Remove `path`; where some of it cannot be removed, move it whole to `aside`. True where it was moved.

    OSError where neither works: then what is left must not be used.
    """
    try:
        remove(path, below)
        return False
    except OSError as error:
        try:
            move_aside(path, below, aside)
            return True
        except OSError:
            raise error from None


def write(path: Path, content: Union[str, bytes, Iterable[str]], below: Path) -> None:
    """A file with this content, whole or not at all, also after the machine has stopped. A link of this name is replaced."""
    make(path.parent, below)
    scratch = f".{path.name}.{os.getpid()}"
    with _parent(path, below) as parent:
        assert parent is not None  # noqa: S101 (made above)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(scratch, dir_fd=parent)
        handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                for part in [content] if isinstance(content, (str, bytes)) else content:
                    stream.write(part.encode("utf-8") if isinstance(part, str) else part)
                stream.flush()
                os.fsync(handle)
            os.rename(scratch, path.name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(scratch, dir_fd=parent)
            raise
        os.fsync(parent)


def sync(path: Path) -> None:
    """Bring a file or a folder (its list of names) to the disk."""
    handle = os.open(str(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def protect(folder: Path) -> None:
    """Take the right to write from everybody, for a folder and all files and folders in it."""
    _change_modes(folder, lambda mode: mode & ~0o222)


def unprotect(folder: Path) -> None:
    """Give its owner the right to write back."""
    _change_modes(folder, lambda mode: mode | 0o200)


def _change_modes(folder: Path, change: Callable[[int], int]) -> None:
    for top, _, names in os.walk(str(folder)):
        for path in [Path(top), *(Path(top, name) for name in names)]:
            found = path.lstat().st_mode
            mode = stat.S_IMODE(found)
            if not stat.S_ISLNK(found) and change(mode) != mode:  # a link has no mode of its own
                path.chmod(change(mode))


def _parts(path: Path, below: Path) -> Tuple[str, ...]:
    parts = path.relative_to(below).parts
    if not parts or ".." in parts:
        raise ValueError(f"{path} is not a path below {below}")
    return parts


@contextlib.contextmanager
def _parent(path: Path, below: Path) -> Iterator[Optional[int]]:
    """The opened folder that `path` lies in; None where it is not there, or only behind a link."""
    handles: List[int] = [os.open(str(below), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        try:
            for part in _parts(path, below)[:-1]:
                handles.append(os.open(part, _FOLDER, dir_fd=handles[-1]))
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            yield None
        else:
            yield handles[-1]
    finally:
        for handle in handles:
            os.close(handle)


def _mode(name: str, parent: int) -> int:
    """The mode of what has this name, 0 where there is nothing."""
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def _remove(name: str, parent: int, path: Path, above: Tuple[int, ...] = ()) -> None:
    """`above`: the opened folders that are being removed around this one."""
    try:
        if stat.S_ISDIR(_mode(name, parent)):
            if len(above) == _DEEPEST:  # no recursion without end: it is removed as a folder of the topmost
                os.rename(name, f".{name[:200]}.{time.monotonic_ns()}", src_dir_fd=parent, dst_dir_fd=above[0])
                return
            _remove_content(name, parent, path, above)
            os.rmdir(name, dir_fd=parent)
        else:
            os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass  # another pod of the run was faster
    except OSError as error:
        raise _named(error, path) from error


def _remove_content(name: str, parent: int, path: Path, above: Tuple[int, ...] = ()) -> None:
    try:
        mode = _mode(name, parent)
        if mode & 0o700 != 0o700:  # what a run has protected, or a program has
            with contextlib.suppress(PermissionError):
                os.chmod(name, mode & 0o7777 | 0o700, dir_fd=parent)
        handle = os.open(name, _FOLDER, dir_fd=parent)
    except OSError as error:
        raise _named(error, path) from error
    try:
        inside = _names(handle)
        while inside:
            for inner in inside:
                _remove(inner, handle, path / inner, (*above, handle))
            inside = [] if above else _names(handle)  # what came up from the depths
    finally:
        os.close(handle)


def _names(handle: int) -> List[str]:
    with os.scandir(handle) as entries:
        return [entry.name for entry in entries]


def _named(error: OSError, path: Path) -> OSError:
    """With the whole path, where the system call knew only the last part."""
    if error.filename and os.sep in str(error.filename):
        return error
    return OSError(error.errno, error.strerror, str(path))
