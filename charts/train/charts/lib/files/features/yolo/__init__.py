"""Datasets in YOLO's format: what their description names, and which images the trainer uses, by its own reader."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Collection, Dict, List, NamedTuple, Optional, Sequence

from runner import inside, view

MAX_NAMED = 5
# Why the trainer leaves out what is not broken.
BY_DESIGN = re.compile(r"image size .* <10 pixels|nvalid image format")


class InputError(Exception):
    """An input is missing or wrong. The fix says what to do."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.reason, self.fix = reason, fix

    def answer(self) -> Dict[str, Any]:
        """Return the answer of a probe."""
        return {"ok": False, "reason": self.reason, "fix": self.fix}


class Reader(NamedTuple):
    """The trainer's own functions."""

    formats: Collection[str]  # extensions of images
    labels_of: Callable[[List[str]], List[str]]
    verify: Callable[[str, str], Sequence[Any]]  # image and label file -> what its verify_image_label returns
    decode: Callable[[str], Any]  # image -> None if the training would end at it
    is_class: Callable[[float], bool] = lambda _: True  # where verify does not check it
    is_wanted: Callable[[float], bool] = lambda _: True  # of a class: its boxes are used
    escape: Callable[[str], str] = glob.escape  # of a folder's name
    encoding: str = "utf-8-sig"  # of lists of images


class Image(NamedTuple):
    """What becomes of an image."""

    left_out: str = ""
    misread: str = ""
    is_undecodable: bool = False
    has_boxes: bool = False
    is_cut: bool = False
    duplicates: bool = False


def search(name: str, dataset: Path) -> Optional[Path]:
    """Return the dataset's file of this path, else its only one of this name. Raises InputError if there are several."""
    if (dataset / name).is_file():
        return dataset / name
    found = [] if "/" in name else sorted(path for path in dataset.rglob(glob.escape(name)) if path.is_file())
    if len(found) > 1:
        names = [str(path.relative_to(dataset)) for path in found]
        raise InputError(
            f"train.data: the dataset has {len(names)} files {name}: {_first(names)}",
            f"name one with its path, such as {names[0]}",
        )
    return found[0] if found else None


def other(dataset: Path, name: str) -> str:
    """Return the fix that names another description of the dataset, or "" if it has none."""
    found = next((path.name for path in sorted(dataset.glob("*.y*ml")) if path.name != name), "")
    return found and f"set train.data: {found}, which the dataset has"


def read(file: Path, sources: inside.Sources, yaml: Any) -> Dict[str, Any]:
    """Return a description of data, without its URL for downloads. Raises InputError."""
    check_inside(sources, file, f"train.data: {file.name}")
    try:
        # ultralytics, too, removes what YAML does not allow, and thus reads UTF-16.
        text = yaml.reader.Reader.NON_PRINTABLE.sub("", file.read_text(encoding="utf-8", errors="ignore"))
        found = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(
            f"train.data: {file.name} cannot be read: {inside.describe_error(error)}", "correct the file"
        ) from error
    described = {key: value for key, value in found.items() if key != "download"} if isinstance(found, dict) else {}
    if "validation" in described:
        described.setdefault("val", described.pop("validation"))
    for key in ("train", "val"):
        if not described.get(key):
            raise InputError(f"train.data: {file.name} has no key '{key}'", "it needs train, val and names")
    return described


def encoding(file: Path) -> List[str]:
    """Return a note if a description is not UTF-8 text: the trainer reads it without the other bytes."""
    try:
        file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        return [f"train.data: {file.name} is not UTF-8 text, from byte {error.start} on: names lose such letters"]
    return []


def resolve(
    described: Dict[str, Any], file: Path, folder: Path, dataset: Path, model: Path, sources: inside.Sources
) -> Dict[str, Any]:
    """Return the description with absolute, existing paths. Raises InputError.

    A relative `path` begins at `folder` for the trainer; it may also mean a folder beside the trainer or the dataset.
    """
    path, starts = str(described.get("path") or ""), (folder, file.parent, dataset, dataset.parent, model)
    roots = [(start / path).resolve() for start in starts if path] + [start.resolve() for start in starts[:3]]
    named = [(key, each) for key in ("train", "val") for each in _list(described[key])]
    root = next((root for root in roots if all(_at(root, each) for _, each in named)), None)
    if root is None:
        root = next((root for root in roots if root.is_dir()), dataset)
        key, each = next((key, each) for key, each in named if not _at(root, each))
        raise InputError(
            f"train.data: {file.name} names {key}: {each}, and {root / each} does not exist; the dataset is at {dataset}",
            other(dataset, file.name) or "correct the file, or push the missing folder",
        )
    resolved = {**described, "path": str(root)}
    for key in ("train", "val", "test"):
        # The training needs no test.
        paths = [str(found) for found in (_at(root, each) for each in _list(described.get(key) or [])) if found]
        for found in map(Path, paths):
            check_inside(sources, found, f"train.data: {file.name} names {key}, which")
            for number, entry in enumerate(entries(found) if found.is_file() else (), start=1):
                check_inside(sources, Path(entry), f"train.data: {key}: {found.name}, of which entry {number}")
        resolved[key] = paths if isinstance(described.get(key), list) or not paths else paths[0]
    return resolved


def entries(path: Path, encoding: str = "utf-8-sig") -> List[str]:
    """Return the paths in a list of images, as the trainer reads them. Raises InputError."""
    try:
        lines = path.read_text(encoding=encoding).strip().splitlines()
    except (OSError, ValueError) as error:
        raise InputError(
            f"train.data: {path.name} is no list of images: {inside.describe_error(error)}",
            "name a folder of images, or a text file with a path a line",
        ) from error
    return [line.replace("./", f"{path.parent}/", 1) if line.startswith("./") else line for line in lines]


def check_inside(sources: inside.Sources, path: Path, what: str) -> None:
    try:
        sources.check(path, what)
    except inside.OutsideError as error:
        raise InputError(str(error), inside.FIX) from error


def _at(root: Path, path: str) -> Optional[Path]:
    """Return the path that the trainer finds, which also tries it without a leading ../"""
    options = [path, path[3:]] if path.startswith("../") else [path]
    return next(((root / option).resolve() for option in options if (root / option).exists()), None)


def _list(value: Any) -> List[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def check_caches(*folders: Path) -> None:
    """Raise InputError for a label cache that is not the trainer's: the trainer unpickles any that it finds."""
    from features import weights

    for cache in sorted(cache for folder in folders for cache in folder.rglob("*.cache")):
        called = weights.find_unknown_call(cache) if cache.is_file() else ""
        if called:
            raise InputError(
                f"{cache} is not a label cache: loading it would call {called}",
                "remove it; the trainer creates its own",
            )


def listed(reader: Reader, part: str, named: Any, sources: inside.Sources, notes: List[str]) -> List[str]:
    """Return the images in a part's folders and lists, as the trainer finds them. Raises InputError.

    Adds notes on what it passes over.
    """

    def is_image(file: str) -> bool:
        return file.rpartition(".")[2].lower() in reader.formats

    found: List[str] = []
    for path in map(Path, _list(named)):
        pattern = f"{reader.escape(str(path))}/**/*.*"
        named_in = [] if path.is_dir() else entries(path, reader.encoding)
        if named_in and not any(map(os.path.exists, named_in)):
            raise InputError(
                f"train.data: {part}: none of the {len(named_in)} files exists that {path.name} names, such as {named_in[0]!r}",
                "let the entries begin with ./ for the folder of the list; others begin at the model repository's",
            )
        passed = [repr(entry) for entry in named_in if entry.strip() and not is_image(entry)]
        if passed:
            notes.append(
                f"{path.name}: {len(passed)} entries do not end as a name of an image, and are not used: {_first(passed)}"
            )
        found += glob.glob(pattern, recursive=True) if path.is_dir() else named_in  # noqa: PTH207
    images = sorted(filter(is_image, found))
    if not images:
        raise InputError(
            f"train.data: {part} has no images in {', '.join(_list(named))}", "correct the path, or push the images"
        )
    labels = set(reader.labels_of(images))
    for label in labels:
        check_inside(sources, Path(label), f"train.data: {part}: {label}")
    if all(map(os.path.isdir, _list(named))):
        folders = {Path(label).parent for label in labels} - {Path(image).parent for image in images}
        more = sorted(path.name for folder in folders for path in folder.glob("*.txt") if str(path) not in labels)
        if alone := [name for name in more if name != "classes.txt"]:
            notes.append(f"{len(alone)} label files of {part} have no image, and are not used: {_first(alone)}")
    return images


def check(reader: Reader, parts: Dict[str, List[str]], root: str, most: int, scratch: Path) -> Dict[str, Any]:
    """Return the probe's answer: which images of each part are used. Raises InputError if more than `most` are broken,
    or if the trainer would stop.
    """
    files = sorted({file for part in parts.values() for file in part})
    with ThreadPoolExecutor(8) as pool:
        images = dict(zip(files, pool.map(lambda file: _image(reader, file, scratch), files)))

    def named(field: str, among: Sequence[str] = files) -> List[str]:
        """Return the images that have a field, with its text."""
        texts = ((file.replace(f"{root}/", "", 1), getattr(images[file], field)) for file in among)
        return [f"{file}: {text}" if isinstance(text, str) else file for file, text in texts if text]

    undecodable = named("is_undecodable")
    if undecodable:
        reason = f"the trainer cannot decode {len(undecodable)} images, and would end there: {_first(undecodable)}"
        raise InputError(reason, "replace or remove them")
    misread = named("misread")
    if misread:
        raise InputError(
            f"the trainer would misread the labels of {len(misread)} images, or stop: {_first(misread)}",
            "correct the labels, or names in the description of the data",
        )
    broken = [text for text in named("left_out") if not BY_DESIGN.search(text)]
    if len(broken) > most:
        raise InputError(
            f"the dataset has {len(broken)} damaged or invalid records among {len(files)}, and dataset.maxBroken is {most}: "
            f"{_first(broken)}",
            "correct or remove these files, or set dataset.maxBroken to how many may be left out",
        )
    answer: Dict[str, Any] = {"ok": True, "parts": [], "notes": []}
    for part, among in parts.items():
        out, total = named("left_out", among), len(among)
        if len(out) == total:
            raise InputError(f"the trainer would leave out all {total} images of {part}: {_first(out)}", "correct them")
        if not named("has_boxes", among):
            if part == "train":
                raise InputError(
                    "train.data: none of the images of train has a label",
                    "put the labels into a folder labels/ beside images/, one .txt of the same name for each image",
                )
            answer["notes"].append(f"none of the images of {part} has a label: its metrics will be 0")
        used = {"part": part, "unit": "images", "used": total - len(out), "total": total}
        answer["parts"].append({**used, "leftOut": out[:MAX_NAMED], "leftOutTotal": len(out)})
    for field, what in (
        ("is_cut", "JPEG files do not end as such, and are rewritten"),
        ("duplicates", "images have duplicate labels"),
    ):
        found = named(field)
        if found:
            answer["notes"].append(f"{len(found)} {what}: {_first(found)}")
    return answer


def _first(texts: List[str]) -> str:
    return "; ".join([*texts[:MAX_NAMED], *([f"and {len(texts) - MAX_NAMED} more"] if len(texts) > MAX_NAMED else [])])


def _image(reader: Reader, file: str, scratch: Path) -> Image:
    """Read an image and its labels as the trainer does; a copy of one that it would rewrite."""
    given, is_cut = file, False
    with contextlib.suppress(OSError):  # verify says why
        is_cut = view.is_cut_jpeg(Path(file))
    if is_cut:
        given = str(scratch / f"{hash(file):x}.jpg")
        shutil.copyfile(file, given)
    found = reader.verify(given, reader.labels_of([file])[0])
    labels, text = found[1], " ".join(str(found[-1]).rpartition(f"{given}: ")[2].split())
    if labels is None:
        text = text.replace("ignoring corrupt image/label: ", "").replace(given, Path(file).name)[:200]
        if "inhomogeneous" in text:  # NumPy's words
            text = "its rows of labels differ in their number of columns"
        # It tries to import what would open another format.
        unknown = "cannot be opened: not an image, or of a format without its library: "
        return Image(unknown + text if text.startswith("No module") else text or "left out")
    classes = sorted({float(row[0]) for row in labels})
    misread = [f"class {number:g}, which names does not have" for number in classes if not reader.is_class(number)]
    if any(len(points) == 2 for points in found[3]):
        misread.append("a box among outlines is read as an outline")
    has_boxes = any(map(reader.is_wanted, classes))
    undecodable = reader.decode(given) is None
    return Image("", "; ".join(misread), undecodable, has_boxes, is_cut, "duplicate labels" in text)
