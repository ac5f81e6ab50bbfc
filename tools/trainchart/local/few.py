"""A copy of a dataset with few of its images, for a training that only has to show that it works."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

IMAGES = frozenset(
    {".bmp", ".dng", ".gif", ".heic", ".jfif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
_LARGE = 64 << 20
"""Archives and other files of this size are no annotations, and are left out."""


def take_few(dataset: Path, copy: Path, most: int) -> tuple[int, int]:
    """Copy a dataset with at most so many images of each folder, list or COCO file; return how many of how many those are.

    Lists of images and COCO files are cut to the same images. A file that is called as an image that is left out, such as its
    labels, is left out too. Images with labels come first.
    """
    copy.mkdir()
    files = list(_files(dataset, copy))
    images = [path for path in files if path.suffix.lower() in IMAGES]
    labelled = {path.stem for path in files if path.suffix == ".txt" and path.stat().st_size}
    wanted, cut = _listed(files, most, labelled)
    kept: set[Path] = set()
    for _, group in itertools.groupby(images, key=lambda path: path.parent):
        inside = list(group)
        kept.update([path for path in inside if path.name in wanted] or _first(inside, most, labelled))
    stems = {path.stem for path in images} - {path.stem for path in kept}
    for path in files:
        target = copy / path.relative_to(dataset)
        if path in cut:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(cut[path], encoding="utf-8", errors="surrogateescape")
        elif path in kept or not (path.suffix.lower() in IMAGES or path.stem in stems or path.stat().st_size > _LARGE):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return len(kept), len(images)


def _files(dataset: Path, copy: Path) -> Iterator[Path]:
    """The files of a dataset, folder by folder. Links to its folders are made in the copy."""
    for top, folders, names in os.walk(dataset):
        folders[:] = sorted(name for name in folders if name != ".git")
        for path in (Path(top, name) for name in folders):
            if path.is_symlink():
                link = copy / path.relative_to(dataset)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(os.path.relpath(path.resolve(), path.parent))
        yield from (path for name in sorted(names) if (path := Path(top, name)).is_file())


def _first(paths: list[Path], most: int, labelled: set[str]) -> list[Path]:
    return sorted(paths, key=lambda path: path.stem not in labelled)[:most]


def _listed(files: Iterable[Path], most: int, labelled: set[str]) -> tuple[set[str], dict[Path, str]]:
    """The names of images that lists and COCO files name, of each the first few, and those files cut to them."""
    names: set[str] = set()
    cut: dict[Path, str] = {}
    for path in files:
        if path.suffix == ".txt" and _is_list(path):
            lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
            chosen = _first([Path(line.strip()) for line in lines if line.strip()], most, labelled)
            cut[path] = "".join(f"{line}\n" for line in chosen)
            names.update(line.name for line in chosen)
        elif path.suffix == ".json" and (found := _coco(path)):
            annotated = {one.get("image_id") for one in found["annotations"]}
            rows = sorted(found["images"], key=lambda row: row.get("id") not in annotated)[:most]
            ids = {row.get("id") for row in rows}
            inside = [one for one in found["annotations"] if one.get("image_id") in ids]
            cut[path] = json.dumps({**found, "images": rows, "annotations": inside})
            names.update(Path(str(row.get("file_name"))).name for row in rows)
    return names, cut


def _is_list(path: Path) -> bool:
    """Whether the first line of a text is the path of an image."""
    with path.open("rb") as file:
        first = file.readline(4096).strip()
    return os.path.splitext(first)[1].decode("ascii", "replace").lower() in IMAGES  # noqa: PTH122


def _coco(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return None
    is_one = isinstance(found, dict) and all(isinstance(found.get(key), list) for key in ("images", "annotations"))
    rows = [*found["images"], *found["annotations"]] if is_one else [None]
    return found if all(isinstance(row, dict) for row in rows) else None
