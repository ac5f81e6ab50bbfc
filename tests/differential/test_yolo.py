"""YOLO's datasets: what the probes of yolov5 and yolov8 say, and what the trainers read.

The named cases are small files of our own after public reports, which stand beside them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .trainer import Trainer, Verdict, trainer

pytestmark = pytest.mark.differential

PACKAGE = "/usr/local/lib/python3.13/dist-packages/yolov5"
CHECKOUT = "YOLOV5_CHECKOUT"
"""Environment variable: a checkout of ultralytics/yolov5, of v7.0 or later."""

GOOD = ("JPEG", 32, 32, 0)
BOX = "0 0.5 0.5 0.2 0.2\n"
NAMES = "train: images/train\nval: images/val\nnames: [a, b]\n"


@dataclass(frozen=True)
class Data:
    """A dataset: its images (format, width, height, bytes cut off the end), and its other files."""

    images: Mapping[str, tuple[str, int, int, int]]
    files: Mapping[str, str | bytes]
    train: Mapping[str, Any] = field(default_factory=dict)
    most: int = 0
    view: bool = False

    def write(self, folder: Path) -> None:
        (folder / "dataset").mkdir()
        for path, content in self.files.items():
            file = folder / "dataset" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())


def data(*changes: Mapping[str, Any], train: Mapping[str, Any] | None = None, most: int = 0) -> Data:
    """A valid dataset of three images for the training and one for the validation, with the given files over it: an
    image by its four properties, any other by its content, and None for none.
    """
    files: dict[str, Any] = {"data.yaml": NAMES}
    for path in ("train/1", "train/2", "train/3", "val/1"):
        files |= {f"images/{path}.jpg": GOOD, f"labels/{path}.txt": BOX}
    for change in changes:
        files |= change
    found = {path: content for path, content in files.items() if content is not None}
    images = {path: content for path, content in found.items() if isinstance(content, tuple)}
    return Data(images, {path: content for path, content in found.items() if path not in images}, train or {}, most)


@pytest.fixture(scope="module", params=["yolov8", "yolov5, packaged", "yolov5, checkout"])
def reader(request: pytest.FixtureRequest) -> Iterator[Trainer]:
    if request.param == "yolov8":
        started = trainer("yolov8", "yolo", name="yolov8, ultralytics", arguments=("yolov8",))
    elif request.param == "yolov5, packaged":
        started = trainer("yolov5", "yolo", name="yolov5, packaged", arguments=("yolov5", PACKAGE))
    elif path := os.environ.get(CHECKOUT):
        mounts = {Path(path): "/checkout/yolov5"}
        started = trainer(
            "yolov5", "yolo", name="yolov5, checkout", mounts=mounts, arguments=("yolov5", "/checkout/yolov5")
        )
    else:
        pytest.skip(f"{CHECKOUT} names no checkout of ultralytics/yolov5")
    with started as found:
        yield found


def compare(reader: Trainer, tried: Data) -> Verdict:
    """Return what both said, having found that they agree: the probe accepts what the trainer uses, counts what it leaves
    out, and refuses what it would stop at, or train on without a label.
    """
    images = {f"dataset/{path}": image for path, image in tried.images.items()}
    verdict = reader.ask(tried.write, images=images, train=dict(tried.train), maxBroken=tried.most, view=tried.view)
    probe, lenient, parts = verdict.probe, verdict.probe["lenient"], verdict.reader.get("parts")
    if parts is None or not parts["train"]["labels"]:
        assert not lenient["ok"], verdict
        assert not probe["ok"], verdict
    else:
        assert lenient["ok"], verdict
        counted = {part["part"]: (part["used"], part["used"] + part["leftOutTotal"]) for part in lenient["parts"]}
        assert counted == {name: (len(part["used"]), part["total"]) for name, part in parts.items()}, verdict
        used = {file for part in parts.values() for file in part["used"]}
        left_out = {text for part in lenient["parts"] for text in part["leftOut"]}
        assert not used & {text.partition(": ")[0] for text in left_out}, verdict
        broken = [text for text in left_out if not re.search(r"image size .* <10 pixels|nvalid image format", text)]
        assert probe["ok"] == (len(broken) <= tried.most), verdict
    reader.agreed()
    return verdict


ACCEPTED = ""
OUTLINE = "0 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9\n"


def split(name: str, folder: str = "") -> dict[str, Any]:
    """A dataset as Roboflow exports it: a folder per part, with images and labels in each."""
    return {f"{folder}{name}/images/1.jpg": GOOD, f"{folder}{name}/labels/1.txt": BOX}


def without_default() -> dict[str, None]:
    return dict.fromkeys((*data().images, *data().files))


ROBOFLOW = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: ['a', 'b']\n"
EXPORT = {**without_default(), "data.yaml": ROBOFLOW, **split("train"), **split("valid"), **split("test")}

# name and source: the dataset, and what the answer says for yolov8 and for yolov5; nothing: it is accepted.
CASES: dict[str, tuple[Data, str, str]] = {
    "a valid dataset": (data(), ACCEPTED, ACCEPTED),
    # What the old checks of yolov8 judged otherwise than the trainer reads.
    "box and outline rows (ultralytics PR#25657)": (
        data({"labels/train/1.txt": BOX + OUTLINE}), "labels mix segment and detection rows", "a box among outlines",
    ),
    "an outline's vertex at -0.0003 (ultralytics#22818)": (
        data({"labels/train/1.txt": OUTLINE.replace("0.1 0.9\n", "-0.0003 0.9\n")}), ACCEPTED, ACCEPTED,
    ),
    "an outline's vertex at 1.02 (ultralytics#22818)": (
        data({"labels/train/1.txt": OUTLINE.replace("0.9 0.9", "1.02 0.9")}), ACCEPTED, ACCEPTED,
    ),
    "a box that begins at 1.0021 (yolov5#10632)": (
        data({"labels/train/1.txt": "0 1.0021 0.5 0.1 0.1\n"}), ACCEPTED, "non-normalized or out of bounds coordinates",
    ),
    "single_cls with one name (ultralytics#1490)": (
        data({"data.yaml": NAMES.replace("[a, b]", "[a]"), "labels/train/1.txt": BOX.replace("0 ", "7 ", 1)},
             train={"arguments": ["single_cls=True"]}), ACCEPTED, "class 7",
    ),
    "--single-cls with one name": (
        data({"data.yaml": NAMES.replace("[a, b]", "[a]"), "labels/train/1.txt": BOX.replace("0 ", "7 ", 1)},
             train={"arguments": ["--single-cls"]}), "is not of the form option=value", ACCEPTED,
    ),
    # What both trainers leave out or mend by design: accepted, and reported.
    "an image of 8 pixels": (data({"images/train/1.jpg": ("JPEG", 8, 8, 0)}), ACCEPTED, ACCEPTED),
    "a GIF named .jpg": (data({"images/train/1.jpg": ("GIF", 32, 32, 0)}), ACCEPTED, ACCEPTED),
    "a JPEG with more after its end (ultralytics#9315)": (data({"images/train/1.jpg": ("JPEG", 32, 32, -2)}), ACCEPTED, ACCEPTED),
    "a JPEG without its end": (
        data({"images/train/1.jpg": ("JPEG", 32, 32, 2)}), "image file is truncated", "image file is truncated",
    ),
    "duplicate rows (yolov5 PR#5210)": (data({"labels/train/1.txt": BOX * 2}), ACCEPTED, ACCEPTED),
    # What the old check of yolov5 accepted.
    "class 7 of 2 (yolov5#1538, yolov5#7692)": (
        data({"labels/train/1.txt": BOX.replace("0 ", "7 ", 1)}), "Label class 7 exceeds dataset class count 2", "class 7",
    ),
    "class 7 of 2 in the validation": (
        data({"labels/val/1.txt": BOX.replace("0 ", "7 ", 1)}), "Label class 7 exceeds", "class 7",
    ),
    "pixel coordinates (yolov5#4798)": (
        data({"labels/train/1.txt": "0 120 80 40 30\n"}), "non-normalized or out of bounds", "non-normalized or out of bounds",
    ),
    "commas (yolov5#10685, ultralytics#7907)": (
        data({"labels/train/1.txt": BOX.replace(" ", ",")}), "could not convert string to float", "could not convert string to float",
    ),
    "6 columns": (data({"labels/train/1.txt": "0 0.5 0.5 0.2 0.2 0.9\n"}), "labels require 5 columns", "labels require 5 columns"),
    "no images at all": (
        data(dict.fromkeys(data().images)), "does not exist", "does not exist",
    ),
    "a folder without images": (
        data({f"images/train/{number}.jpg": None for number in (1, 2, 3)}, {"images/train/a.txt": ""}),
        "train has no images", "train has no images",
    ),
    "a row with a confidence among others": (
        data({"labels/train/1.txt": BOX + "0 0.5 0.5 0.2 0.2 0.9\n"}),
        "its rows of labels differ in their number of columns", "its rows of labels differ in their number of columns",
    ),
    # More reports.
    "a class by its name (ultralytics#707)": (
        data({"labels/train/1.txt": "text 0.5 0.5 0.2 0.2\n"}), "could not convert string to float", "could not convert string to float",
    ),
    "a class of 0.5": (
        data({"labels/train/1.txt": "0.5 0.5 0.5 0.2 0.2\n"}), "non-integer class labels", "class 0.5",
    ),
    "a negative box (yolov5 PR#5210)": (
        data({"labels/train/1.txt": "0 -0.04 0.5 0.2 0.2\n"}), "negative label values", "negative label values",
    ),
    "an outline of two points (yolov5#10807)": (
        data({"labels/train/1.txt": "0 0.1 0.1 0.9 0.1\n" + OUTLINE}), "labels mix segment and detection rows", "a box among outlines",
    ),
    "an outline with half a point": (data({"labels/train/1.txt": OUTLINE.replace(" 0.9\n", "\n")}), "reshape", "reshape"),
    "labels with a byte-order mark": (
        data({"labels/train/1.txt": b"\xef\xbb\xbf" + BOX.encode()}), ACCEPTED, "could not convert string to float",
    ),
    "labels of Windows, with empty lines": (data({"labels/train/1.txt": f"\r\n{BOX.strip()}\r\n\r\n"}), ACCEPTED, ACCEPTED),
    "labels that are no UTF-8": (data({"labels/train/1.txt": b"0 0.5 \xff"}), "codec can't decode", "codec can't decode"),
    "an image that is none (yolov5#13318)": (
        data({"images/train/1.jpg": None}, {"images/train/1.jpg": "<html>"}), "images/train/1.jpg: cannot", "images/train/1.jpg: cannot",
    ),
    "an empty image": (data({"images/train/1.jpg": ("JPEG", 32, 32, 99999)}), "images/train/1.jpg: cannot", "images/train/1.jpg: cannot"),
    "half a JPEG": (data({"images/train/1.jpg": ("JPEG", 32, 32, 200)}), "images/train/1.jpg: ", "images/train/1.jpg: "),
    "half a PNG": (data({"images/train/1.jpg": ("PNG", 32, 32, 40)}), "images/train/1.jpg: ", "images/train/1.jpg: "),
    "half a BMP": (data({"images/train/1.bmp": ("BMP", 64, 64, 6000)}), "cannot decode 1 images", "cannot decode 1 images"),
    "most of a TIFF": (data({"images/val/2.tif": ("TIFF", 64, 64, 500)}), "cannot decode 1 images", "cannot decode 1 images"),
    "one broken record, and one may be": (
        data({"labels/train/1.txt": BOX.replace(" ", ",")}, most=1), ACCEPTED, ACCEPTED,
    ),
    "two broken records, and one may be": (
        data({f"labels/train/{number}.txt": BOX.replace(" ", ",") for number in (1, 2)}, most=1),
        "2 damaged or invalid records among 4, and dataset.maxBroken is 1",
        "2 damaged or invalid records among 4, and dataset.maxBroken is 1",
    ),
    "all images of 8 pixels": (
        data({f"images/train/{number}.jpg": ("PNG", 8, 8, 0) for number in (1, 2, 3)}),
        "leave out all 3 images of train", "leave out all 3 images of train",
    ),
    "labels beside a folder that is not images (ultralytics#14914)": (
        data({"data.yaml": NAMES.replace("images/", "image/")},
             *({f"image/{path}": GOOD} for path in ("train/1.jpg", "val/1.jpg"))),
        "none of the images of train has a label", "none of the images of train has a label",
    ),
    "labels that are all empty": (
        data({f"labels/train/{number}.txt": "" for number in (1, 2, 3)}), "none of the images of train has a label",
        "none of the images of train has a label",
    ),
    "labels without images": (
        data({"labels/train/8.txt": BOX, "labels/train/classes.txt": "a", "images/train/9.jfif": GOOD, "labels/train/9.txt": BOX}),
        ACCEPTED, ACCEPTED,
    ),
    "images without labels among others": (data({"labels/train/1.txt": None, "labels/train/2.txt": ""}), ACCEPTED, ACCEPTED),
    "a validation without labels": (data({"labels/val/1.txt": None}), ACCEPTED, ACCEPTED),
    "macOS's files beside the images (openneuro#2520)": (data({"images/train/._1.jpg": b"\0\5\x16\7"}), ACCEPTED, ACCEPTED),
    "an extension in capitals, and another file": (
        data({"images/train/4.JPG": GOOD, "images/train/notes.md": "a", "images/train/5.gif": ("GIF", 32, 32, 0)}), ACCEPTED, ACCEPTED,
    ),
    "a folder of images in a folder": (data({"images/train/more/4.png": ("PNG", 32, 32, 0)}), ACCEPTED, ACCEPTED),
    "a folder with brackets": (
        data({"data.yaml": NAMES.replace("images/train", "'images/[1]'")}, {"images/[1]/1.jpg": GOOD, "labels/[1]/1.txt": BOX}),
        ACCEPTED, "train has no images",
    ),
    # Descriptions.
    "Roboflow's export (yolov5#5107, yolov5#7532, ultralytics#1027)": (data(EXPORT), ACCEPTED, ACCEPTED),
    "Roboflow's export without its test part": (data(EXPORT, dict.fromkeys(split("test"))), ACCEPTED, ACCEPTED),
    "Roboflow's export in a folder": (
        data(without_default(), {f"export/{path}": content for path, content in EXPORT.items() if content is not None}),
        ACCEPTED, ACCEPTED,
    ),
    "two descriptions": (
        data({"data.yaml": None, "a/data.yaml": NAMES, "b/data.yaml": NAMES}),
        "name one with its path, such as a/data.yaml", "name one with its path, such as a/data.yaml",
    ),
    "a path that was right elsewhere (ultralytics#18323)": (
        data({"data.yaml": f"path: /content/datasets\n{NAMES}"}), ACCEPTED, ACCEPTED,
    ),
    "lists of images": (
        data({"data.yaml": NAMES.replace("images/train", "train.txt").replace("images/val", "val.txt"),
              "train.txt": "./images/train/1.jpg\n./images/train/2.jpg\n", "val.txt": "./images/val/1.jpg\n"}), ACCEPTED, ACCEPTED,
    ),
    "a list with backslashes (yolov5#13610)": (
        data({"data.yaml": NAMES.replace("images/train", "train.txt"), "train.txt": "D:\\data\\1.jpg\nD:\\data\\2.jpg\n"}),
        "none of the 2 files exists that train.txt names", "none of the 2 files exists that train.txt names",
    ),
    "CVAT's list, from another folder (cvat#8046)": (
        data({"data.yaml": "path: ./\n" + NAMES.replace("images/train", "train.txt"), "train.txt": "data/images/train/1.jpg\n"}),
        "let the entries begin with ./", "let the entries begin with ./",
    ),
    "a list with a blank at the end of a line": (
        data({"data.yaml": NAMES.replace("images/train", "train.txt"), "train.txt": "./images/train/1.jpg \n./images/train/2.jpg\n"}),
        ACCEPTED, ACCEPTED,
    ),
    "a list with a name that is nowhere": (
        data({"data.yaml": NAMES.replace("images/train", "train.txt"), "train.txt": "./images/train/1.jpg\n./images/train/9.jpg\n"}),
        "images/train/9.jpg: ", "images/train/9.jpg: ",
    ),
    "the trainer's own coco128.yaml by its name": (
        data(without_default(), {"data.yaml": None, "images/train2017/1.jpg": GOOD, "labels/train2017/1.txt": BOX}, train={"data": "coco128.yaml"}),
        ACCEPTED, ACCEPTED,
    ),
    "several folders": (data({"data.yaml": NAMES.replace("images/train\n", "[images/train, images/val]\n")}), ACCEPTED, ACCEPTED),
    "the same folder twice, one record broken": (
        data({"data.yaml": NAMES.replace("images/val", "images/train"), "labels/train/1.txt": "0\n"}, most=1), ACCEPTED, ACCEPTED,
    ),
    "names as a map": (data({"data.yaml": NAMES.replace("[a, b]", "{0: a, 1: b}")}), ACCEPTED, ACCEPTED),
    "names with a gap, and a class behind it": (
        data({"data.yaml": NAMES.replace("[a, b]", "{0: a, 2: b}"), "labels/train/1.txt": BOX.replace("0 ", "2 ", 1)}),
        "class indices 0-1", "class 2",
    ),
    "a description in UTF-16": (data({"data.yaml": NAMES.encode("utf-16")}), ACCEPTED, ACCEPTED),
    "a description in GBK": (data({"data.yaml": NAMES.replace("a, b", "猫, 狗").encode("gbk")}), ACCEPTED, ACCEPTED),
    "a description with another name": (
        data({"data.yaml": None, "dataset.yml": NAMES}), "set train.data: dataset.yml", "set train.data: dataset.yml",
    ),
    "names from 1": (data({"data.yaml": NAMES.replace("[a, b]", "{1: a, 2: b}")}), "class indices 0-1", "class 0"),
    "names with texts as keys": (data({"data.yaml": NAMES.replace("[a, b]", "{'0': a, '1': b}")}), ACCEPTED, "names keys must be integers"),
    "a number of classes alone": (data({"data.yaml": NAMES.replace("names: [a, b]", "nc: 2")}), ACCEPTED, "'names:' field missing"),
    "another number of classes": (data({"data.yaml": NAMES + "nc: 3\n"}), "'names' length 2 and 'nc: 3' must match", ACCEPTED),
    "no part for the validation": (data({"data.yaml": "train: images/train\nnames: [a, b]\n"}), "no key 'val'", "no key 'val'"),
    "validation in place of val": (data({"data.yaml": NAMES.replace("val:", "validation:")}), ACCEPTED, ACCEPTED),
    "an option for half of the images": (data(train={"arguments": ["fraction=0.5"]}), ACCEPTED, ACCEPTED),
    "an option for none of the images": (data(train={"arguments": ["fraction=0"]}), "'fraction=0' invalid", ACCEPTED),
    "an option for two images": (data(train={"arguments": ["fraction=2"]}), ACCEPTED, ACCEPTED),
    "an option for one class, as a number": (
        data({"labels/train/1.txt": BOX.replace("0 ", "1 ", 1)}, train={"arguments": ["classes=1"]}), ACCEPTED, ACCEPTED,
    ),
    "an option for a class without labels": (
        data(train={"arguments": ["classes=[1]"]}), "none of the images of train has a label", ACCEPTED,
    ),
    "an option for one class": (
        data({"labels/train/1.txt": BOX.replace("0 ", "1 ", 1)}, train={"arguments": ["classes=[1]"]}), ACCEPTED, ACCEPTED,
    ),
}  # fmt: skip

NOTES = {
    "a JPEG with more after its end (ultralytics#9315)": "1 JPEG files do not end as such, and are rewritten",
    "duplicate rows (yolov5 PR#5210)": "1 images have duplicate labels",
    "a validation without labels": "none of the images of val has a label",
    "labels without images": "2 label files of train have no image, and are not used: 8.txt; 9.txt",
    "a list with a blank at the end of a line": "train.txt: 1 entries do not end as a name of an image, and are not used",
    "a description in GBK": "data.yaml is not UTF-8 text, from byte 48 on",
}
LEFT_OUT = {
    "an image of 8 pixels": "<10 pixels",
    "a GIF named .jpg": "invalid image format GIF",
    "one broken record, and one may be": "could not convert string to float",
}


@pytest.mark.parametrize("name", CASES)
def test_a_reported_dataset_is_judged_as_the_trainer_reads_it(reader: Trainer, name: str) -> None:
    tried, yolov8, yolov5 = CASES[name]
    verdict = compare(reader, tried)
    words = yolov8 if reader.name.startswith("yolov8") else yolov5
    assert verdict.probe["ok"] == (not words), verdict
    assert words in verdict.probe.get("reason", "") + verdict.probe.get("fix", ""), verdict
    if verdict.probe["ok"]:
        assert NOTES.get(name, "") in " ".join(verdict.probe["notes"]), verdict
        left_out = [text for part in verdict.probe["parts"] for text in part["leftOut"]]
        assert LEFT_OUT.get(name, "").lower() in " ".join(left_out).lower(), verdict


def test_the_trainer_mends_files_of_a_read_only_claim_in_its_view(reader: Trainer) -> None:
    """ultralytics#9315; YOLOv5 writes into the file itself, and would leave out all."""
    cut = data({f"images/train/{number}.jpg": ("JPEG", 32, 32, -2) for number in (1, 2, 3)})
    verdict = compare(reader, replace(cut, view=True))
    assert verdict.probe["ok"], verdict
    assert len(verdict.reader["parts"]["train"]["used"]) == 3


NUMBERS = st.sampled_from(
    ["0", "1", "0.5", "0.25", "1.005", "1.0", "1.02", "-0.0003", "-0.02", "300", "nan", "inf", "1e-3", "", "a"]
)
CLASSES = st.sampled_from(["0", "1", "1", "0.0", "2", "7", "-1", "0.5", "+1", "a", "1e0"])
VALID_ROW = st.tuples(st.sampled_from("01"), *[st.sampled_from(["0.5", "0.25", "0.1"])] * 4).map(list)
ROW = VALID_ROW | st.tuples(CLASSES, st.lists(NUMBERS, max_size=9)).map(lambda row: [row[0], *row[1]])
LABELS = st.none() | st.builds(
    lambda rows, between, end, mark: mark + end.join(between.join(row) for row in rows).encode() + end.encode(),
    st.lists(VALID_ROW, max_size=3) | st.lists(ROW, max_size=4),
    st.sampled_from([" ", " ", " ", "\t", "  ", ","]),
    st.sampled_from(["\n", "\n", "\r\n", "\n \n"]),
    st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf", b"\xff"]),
)
IMAGES = st.just(GOOD) | st.tuples(
    st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"]),
    st.sampled_from([8, 9, 10, 32]),
    st.sampled_from([9, 10, 32]),
    st.sampled_from([0, 0, 0, -2, 1, 2, 50, 200, 99999]),
)
EXTENSIONS = st.sampled_from(["jpg", "jpg", "jpeg", "PNG", "bmp", "webp", "tif", "ppm", "gif"])
DESCRIPTIONS = st.just(NAMES) | st.builds(
    "{}train: images/train\nval: images/val\n{}\n".format,
    st.sampled_from(["", "path: .\n", "path: ''\n"]),
    st.sampled_from(
        ["names: [a]", "names: {0: a, 1: b}", "names: []", "names: {2: a}", "nc: 2", "nc: 2\nnames: [a, b]", "nc: 1\nnames: [a, b]",
         "names: a", "nc: '2'", "names: [1, 2]", "nc: 2.5", "names: {0: a, 7: b}"]
    ),
)  # fmt: skip


@st.composite
def datasets(draw: st.DrawFn) -> Data:
    files: dict[str, Any] = {"data.yaml": draw(DESCRIPTIONS)}
    for part, most in (("train", 3), ("val", 2)):
        for number in range(draw(st.integers(1, most))):
            files[f"images/{part}/{number}.{draw(EXTENSIONS)}"] = draw(IMAGES)
            if (labels := draw(LABELS)) is not None:
                files[f"labels/{part}/{number}.txt"] = labels
    images = {path: content for path, content in files.items() if isinstance(content, tuple)}
    return Data(
        images, {path: content for path, content in files.items() if path not in images}, most=draw(st.integers(0, 2))
    )


@settings(max_examples=int(os.environ.get("DIFFERENTIAL_CASES", "150")))
@given(tried=datasets())
def test_a_made_up_dataset_is_judged_as_the_trainer_reads_it(reader: Trainer, tried: Data) -> None:
    compare(reader, tried)
