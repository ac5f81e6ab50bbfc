"""Changes files and folders without ever touching anything outside the run's folder: no symbolic link is followed.

Every function takes `below`, a trusted folder. Each part of a path under it is opened relative to the one before,
without following links: what is behind a link does not exist for these functions. They raise OSError for what cannot be
done, and suppress no error.
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
_DEEPEST = 64  # nested folders that are open at the same time
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # does not exist, or is behind a link or a file


def remove(path: Path, below: Path) -> None:
    """Remove a file, a link (not its target) or a folder with its content, if it exists."""
    with _parent(path, below) as parent:
        if parent is not None and _mode(path.name, parent):
            _remove(path.name, parent, path)


def empty(folder: Path, below: Path) -> None:
    """Make a folder empty, or create it with its parents. A link or a file in its place is replaced."""
    with _parent(folder, below) as parent:
        if parent is not None and stat.S_ISDIR(_mode(folder.name, parent)):
            _remove_content(folder.name, parent, folder)
            return
    remove(folder, below)
    make(folder, below)


def make(folder: Path, below: Path) -> None:
    """Create a folder and its parents, like `mkdir -p`. A link in the way is removed; a file raises OSError."""
    handle = os.open(str(below), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in () if folder == below else _parts(folder, below):
            # Another thread or pod of the run may do the same.
            if stat.S_ISLNK(_mode(part, handle)):
                with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                    os.unlink(part, dir_fd=handle)
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=handle)
            inner = os.open(part, _FOLDER, dir_fd=handle)
            os.close(handle)
            handle = inner
    finally:
        os.close(handle)


def move_aside(path: Path, below: Path, to: Path) -> Path:
    """Rename `path` to `to`, with a number if that exists. Returns the new path. Both are below `below`."""
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
    """Remove `path`, or move it to `aside` if some of it cannot be removed. Returns whether it was moved.

    Raises:
        OSError: neither is possible; what is left must not be used.
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
    """Write a file atomically and durably. A link with its name is replaced."""
    make(path.parent, below)
    scratch = f".{path.name}.{os.getpid()}"
    with _parent(path, below) as parent:
        assert parent is not None  # noqa: S101 (created above)
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
    """Flush a file, or a folder's list of names, to the disk."""
    handle = os.open(str(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def protect(folder: Path) -> None:
    """Make a folder and its whole content read-only."""
    _change_modes(folder, lambda mode: mode & ~0o222)


def unprotect(folder: Path) -> None:
    """Make a folder and its whole content writable for the owner again."""
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
    """Yield the handle of the parent folder of `path`; None if it does not exist, or is behind a link."""
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
    """Return the mode of the entry with this name; 0 if it does not exist."""
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return 0


def _remove(name: str, parent: int, path: Path, above: Tuple[int, ...] = ()) -> None:
    """Remove an entry. `above`: the handles of the folders around it that are being removed."""
    try:
        if stat.S_ISDIR(_mode(name, parent)):
            if len(above) == _DEEPEST:  # limits the recursion: it is removed from the topmost folder later
                os.rename(name, f".{name[:200]}.{time.monotonic_ns()}", src_dir_fd=parent, dst_dir_fd=above[0])
                return
            _remove_content(name, parent, path, above)
            os.rmdir(name, dir_fd=parent)
        else:
            os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass  # another pod of the run was faster
    except OSError as error:
        raise _with_path(error, path) from error


def _remove_content(name: str, parent: int, path: Path, above: Tuple[int, ...] = ()) -> None:
    try:
        mode = _mode(name, parent)
        if mode & 0o700 != 0o700:  # such as a protected folder
            with contextlib.suppress(PermissionError):
                os.chmod(name, mode & 0o7777 | 0o700, dir_fd=parent)
        handle = os.open(name, _FOLDER, dir_fd=parent)
    except OSError as error:
        raise _with_path(error, path) from error
    try:
        inside = _names(handle)
        while inside:
            for inner in inside:
                _remove(inner, handle, path / inner, (*above, handle))
            inside = [] if above else _names(handle)  # folders that the limit has moved here
    finally:
        os.close(handle)


def _names(handle: int) -> List[str]:
    with os.scandir(handle) as entries:
        return [entry.name for entry in entries]


def _with_path(error: OSError, path: Path) -> OSError:
    """Return the error with the whole path, of which the system call knew only the last part."""
    if error.filename and os.sep in str(error.filename):
        return error
    return OSError(error.errno, error.strerror, str(path))
