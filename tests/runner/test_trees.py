"""Removing, moving and writing in a run's folder: nothing is touched through a link, and no failure is kept quiet."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner import trees


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Somebody else's folder."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "precious").write_text("kept")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


@pytest.fixture
def undeletable(root: Path) -> Iterator[Path]:
    """A file that not even root can remove, as another user's on a shared file system."""
    file = root / "output" / "inner" / "file"
    file.parent.mkdir(parents=True)
    file.write_text("of another training")
    if subprocess.run(["chattr", "+i", str(file)], check=False, capture_output=True).returncode:
        pytest.skip("the file system knows no immutable files")
    yield file
    subprocess.run(["find", str(root), "-name", "file", "-exec", "chattr", "-i", "{}", "+"], check=True)


CHANGES: dict[str, Callable[[Path, Path], object]] = {
    "remove": trees.remove,
    "empty": trees.empty,
    "make": trees.make,
    "write": lambda path, below: trees.write(path / "precious", "changed", below),
}


@pytest.mark.parametrize("made", [True, False])
def test_a_folder_is_made_though_another_thread_removes_the_link_first(
    root: Path, outside: Path, made: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "data").symlink_to(outside)
    unlink = os.unlink

    def after_another(part: str, *, dir_fd: int) -> None:
        unlink(part, dir_fd=dir_fd)
        if made:
            os.mkdir(part, dir_fd=dir_fd)
        unlink(part, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", after_another)
    trees.make(root / "data" / "inner", root)
    assert (root / "data" / "inner").is_dir()
    assert not (outside / "inner").exists()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("path", ["data", "data/inner", "data/inner/deeper"])
def test_nothing_is_changed_behind_a_link(
    root: Path, outside: Path, path: str, change: Callable[[Path, Path], object]
) -> None:
    (outside / "inner" / "deeper").mkdir(parents=True)
    (root / "data").symlink_to(outside)
    change(root / path, root)
    assert (outside / "precious").read_text() == "kept"
    assert (outside / "inner" / "deeper").is_dir()
    assert not list((outside / "inner" / "deeper").iterdir())


def test_a_link_in_a_folder_is_removed_and_what_it_leads_to_stays(root: Path, outside: Path) -> None:
    (root / "data").mkdir()
    (root / "data" / "link").symlink_to(outside)
    trees.remove(root / "data", root)
    assert not (root / "data").exists()
    assert (outside / "precious").read_text() == "kept"


@pytest.mark.parametrize("path", ["..", "../outside", "a/../../outside", "."])
def test_a_path_that_leads_out_of_the_folder_is_refused(root: Path, outside: Path, path: str) -> None:
    with pytest.raises(ValueError, match="is not a path below"):
        trees.remove(root / path, root)
    assert (outside / "precious").exists()


def test_protected_and_very_deep_folders_are_removed(root: Path) -> None:
    here = os.open(root, os.O_RDONLY)
    try:
        for _ in range(1500):
            os.mkdir("d", dir_fd=here)
            inner = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
    finally:
        os.close(here)
    (root / "d" / "file").write_text("")
    (root / "d" / "file").chmod(0o400)
    (root / "d").chmod(0o500)
    trees.remove(root / "d", root)
    assert not list(root.iterdir())


def test_what_cannot_be_removed_is_said(root: Path, undeletable: Path) -> None:
    with pytest.raises(OSError, match="output/inner/file"):
        trees.remove(root / "output", root)


def test_what_cannot_be_removed_is_moved_aside_whole(root: Path, undeletable: Path) -> None:
    assert trees.discard(root / "output", root, root / "aside" / "output")
    assert (root / "aside" / "output" / "inner" / "file").exists()
    assert not (root / "output").exists()


def test_what_can_be_removed_is_not_moved(root: Path) -> None:
    (root / "output").mkdir()
    assert not trees.discard(root / "output", root, root / "aside" / "output")
    assert not list(root.iterdir())


def test_several_are_moved_aside_under_names_of_their_own(root: Path) -> None:
    for content in ("first", "second"):
        (root / "output").write_text(content)
        trees.move_aside(root / "output", root, root / "aside" / "output")
    assert {path.name: path.read_text() for path in (root / "aside").iterdir()} == {
        "output": "first",
        "output.2": "second",
    }


def test_a_file_is_replaced_whole(root: Path, outside: Path) -> None:
    (root / "mark").symlink_to(outside / "precious")
    trees.write(root / "mark", "new", root)
    assert (root / "mark").read_text() == "new"
    assert not (root / "mark").is_symlink()
    assert (outside / "precious").read_text() == "kept"
    assert [path.name for path in root.iterdir()] == ["mark"]


def test_a_protected_tree_has_no_right_to_write_left(root: Path) -> None:
    (root / "data").mkdir()
    (root / "data" / "file").write_text("")
    trees.protect(root)
    assert not any(path.stat().st_mode & 0o222 for path in [root, *root.rglob("*")])
    trees.unprotect(root)
    assert all(path.stat().st_mode & 0o200 for path in [root, *root.rglob("*")])
