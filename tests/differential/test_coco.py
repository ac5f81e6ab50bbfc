"""COCO files: what the probe of ppyoloe says, and what PaddleDetection reads."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .trainer import Trainer, Verdict, trainer

pytestmark = pytest.mark.differential

Document = Any


@pytest.fixture(scope="module")
def ppyoloe() -> Iterator[Trainer]:
    with trainer("ppyoloe", "ppyoloe", name="ppyoloe, PaddleDetection") as found:
        yield found


def image(number: Any, **change: Any) -> dict[str, Any]:
    return {"id": number, "file_name": f"{number}.jpg", "width": 32, "height": 32, **change}


def box(number: Any, of: Any = 1, *, without: str = "", **change: Any) -> dict[str, Any]:
    whole = {
        "id": number,
        "image_id": of,
        "category_id": 1,
        "bbox": [number, 2, 8, 9],
        "area": 72,
        "iscrowd": 0,
        **change,
    }
    return {key: value for key, value in whole.items() if key != without}


def document(*more: Document, **change: Any) -> dict[str, Any]:
    """A good file of two images with a box each, and more annotations."""
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    good = {"images": [image(1), image(2)], "annotations": [box(1), box(2, 2), *more], "categories": categories}
    return {**good, **change}


def ask(
    trainer: Trainer,
    described: Document,
    evaluated: Document = None,
    files: dict[str, str | None] | None = None,
    most: int = 0,
    ranks: int = 1,
    **train: Any,
) -> Verdict:
    """The verdicts on a dataset whose images are all there but for `files`."""
    names = {"images/another.jpg": "JPEG"}
    names |= {f"images/{name}": "JPEG" for text in (described, evaluated) for name in image_names(text)}
    images = {name: kind for name, kind in {**names, **(files or {})}.items() if kind is not None}

    def make(folder: Path) -> None:
        (folder / "dataset").mkdir()
        for name, text in (("train", described), ("val", evaluated)):
            if text is not None:
                content = text if isinstance(text, str) else json.dumps(text)
                (folder / "dataset" / f"{name}.json").write_text(content, encoding="utf-8")

    own = {"evalAnnotations": "val.json"} if evaluated is not None else {}
    return trainer.ask(make, images=images, train={**own, **train}, maxBroken=most, ranks=ranks)


def image_names(described: Document) -> list[str]:
    images = described.get("images") if isinstance(described, dict) else None
    names = [one.get("file_name") for one in images or [] if isinstance(one, dict)]
    return [name for name in names if isinstance(name, str) and name and not name.startswith(("/", ".."))]


def assert_agreed(verdict: Verdict, most: int = 0) -> None:
    """The probe accepts what the trainer trains on, with the same counts, and refuses what it fails on or misreads.

    Images that the trainer leaves out because they are damaged are refused above dataset.maxBroken.
    """
    probe, reader = verdict.probe, verdict.reader
    if "error" in reader:
        assert not probe["ok"], (probe, reader)
        return
    parts = reader["parts"]
    train = parts["train"]
    unusable = any(part["misread"] for part in parts.values()) or not train["boxes"] or not train["batches"]
    if unusable:
        assert not probe["ok"], (probe, reader)
    elif probe["ok"]:
        counted = {(part["part"], part["unit"]): part["used"] for part in probe["parts"]}
        for name, part in parts.items():
            assert counted[name, "images"] == part["images"], (probe, reader)
        assert counted["train", "boxes"] == train["boxes"], (probe, reader)
        for part in probe["parts"]:
            assert part["leftOutTotal"] == part["total"] - part["used"]
    else:
        # IDs that repeat are refused even where all have the same content.
        if "have the id" not in probe["reason"]:
            broken = (
                max(part["illegal"] for part in parts.values()) > most or "a segmentation is [[]]" in probe["reason"]
            )
            assert broken, (probe, reader)
            assert "dataset.maxBroken" in probe["fix"]


@dataclass(frozen=True)
class Reported:
    """A file after a public report, or what the reader's source does; `words` are of the probe's reason, or of its parts and notes where it accepts."""

    source: str
    described: Document
    words: str
    ok: bool = False
    evaluated: Document = None
    files: dict[str, str | None] = field(default_factory=dict)
    most: int = 0
    ranks: int = 1
    train: dict[str, Any] = field(default_factory=dict)


READER = "ppdet/data/source/coco.py, pycocotools/coco.py"
BATCHES = "ppdet/engine/trainer.py: 'Samples in dataset are less than batch_size'"
EVALUATE = {"evaluate": True}
CATEGORIES = document()["categories"]
REPORTS = {
    "COCO 2017: flat boxes": Reported(
        "cocodataset/cocoapi#355, PaddlePaddle/PaddleDetection#543",
        document(box(3, bbox=[1, 2, 0, 5], area=0.0), box(4, 2, bbox=[1, 2, 5, 0], area=0.0)),
        "no width or height: 2 (3, 4)",
        ok=True,
    ),
    "labelme: x1 is x2": Reported(
        "PaddlePaddle/PaddleDetection#1205",
        document(box(3, bbox=[470.39, 826.04, 0.0, 88.29], area=-8902.4)),
        "no width or height: 1 (3)",
        ok=True,
    ),
    "ignore without bbox": Reported(
        READER,
        document(box(3, without="bbox", ignore=True)),
        "ignore is set: 1 (3)",
        ok=True,
    ),
    "bbox of zeros": Reported(
        "PaddlePaddle/PaddleDetection#543", document(box(3, bbox=[0, 0, 0, 0])), "no bbox: 1", ok=True
    ),
    "crowd without area": Reported(
        "cocodataset/cocoapi#374", document(box(3, without="area", iscrowd=1)), "a crowd", ok=True
    ),
    "evaluation: other names": Reported(
        "facebookresearch/maskrcnn-benchmark#970",
        document(),
        "category 1 of val.json is 'dog' with the id 1, and that of train.json is 'cat' with the id 1",
        evaluated=document(categories=[{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]),
    ),
    "evaluation: another order": Reported(
        "PaddlePaddle/PaddleDetection#3815",
        document(),
        "category 1 of val.json is 'dog' with the id 2",
        evaluated=document(categories=CATEGORIES[::-1]),
        train=EVALUATE,
    ),
    "EISeg: some areas are 0": Reported(
        "PaddlePaddle/PaddleSeg#1461", document(box(3, area=0.0)), "area is not above 0: 1 (3)", ok=True
    ),
    "EISeg: all areas are 0": Reported(
        "PaddlePaddle/PaddleSeg#1461",
        document(annotations=[box(1, area=0.0), box(2, 2, area=0.0)]),
        "none of its 2 images has a box to train on: area is not above 0: 2 (1, 2)",
    ),
    "no area": Reported(
        "PaddlePaddle/PaddleDetection#2832", document(box(3, without="area")), "annotation 3: has no area"
    ),
    "no iscrowd": Reported(
        "facebookresearch/detectron2#1966", document(box(3, without="iscrowd")), "annotation 3: has no iscrowd"
    ),
    "no id": Reported("noahcao/animal-pose-dataset#2", document(box(3, without="id")), "has no id"),
    "CVAT: every id is 0": Reported(
        "cvat-ai/cvat#2155", document(annotations=[box(0), box(0, 2, bbox=[5, 5, 5, 5])]), "2 annotations have the id 0"
    ),
    "merged files: ids repeat": Reported(
        "open-mmlab/mmdetection#4782", document(box(2, 1, bbox=[5, 5, 5, 5])), "2 annotations have the id 2"
    ),
    "merged files: images repeat": Reported(
        "open-mmlab/mmdetection#10666",
        document(images=[image(1), image(2), image(2, file_name="other.jpg")]),
        "2 images have the id 2",
    ),
    "unknown category": Reported(
        "PaddlePaddle/PaddleDetection#6089",
        document(box(3, category_id=9)),
        "annotation 3: category_id 9 is not a category of the file",
    ),
    "size -1": Reported(
        "facebookresearch/detectron2#1966",
        document(images=[image(1), image(2, width=-1, height=-1)]),
        "1 of 2 images are broken: 2.jpg: has the size [-1, -1]",
    ),
    "missing image": Reported(
        "PaddlePaddle/PaddleDetection#2197",
        document(),
        "1 of 2 images are broken: 2.jpg: does not exist",
        files={"images/2.jpg": None},
    ),
    "missing image, allowed": Reported(
        "PaddlePaddle/PaddleDetection#6972",
        document(),
        "2.jpg: does not exist",
        ok=True,
        files={"images/2.jpg": None},
        most=1,
    ),
    "text for an image": Reported(
        "PaddlePaddle/PaddleDetection#8347",
        document(),
        "cannot decode images/2.jpg",
        files={"images/2.jpg": "version https://git-lfs"},
    ),
    "GIF named .jpg": Reported(
        "PaddlePaddle/PaddleDetection#8515", document(), "cannot decode images/2.jpg", files={"images/2.jpg": "GIF"}
    ),
    "half a PNG": Reported(
        "PaddlePaddle/PaddleDetection#7965", document(), "cannot decode images/2.jpg", files={"images/2.jpg": "PNG 0.5"}
    ),
    "empty image": Reported(
        "PaddlePaddle/PaddleDetection#8298", document(), "cannot decode images/2.jpg", files={"images/2.jpg": "JPEG 0"}
    ),
    "segmentation [[]]": Reported(READER, document(box(3, segmentation=[[]])), "a segmentation is [[]]"),
    "segmentation [[]] beside others": Reported(
        READER,
        document(
            annotations=[
                box(1, segmentation=[[]]),
                *(box(n, segmentation=[[1, 2, 3, 4, 5, 6]]) for n in (2, 3)),
                box(4, 2),
            ]
        ),
        "the trainer would lose boxes",
    ),
    "RLE": Reported(
        "PaddlePaddle/PaddleDetection#7195",
        document(box(3, segmentation={"counts": [1, 2], "size": [32, 32]})),
        '"used": 3',
        ok=True,
    ),
    "PaddleX: RLE and iscrowd for all": Reported(
        "PaddlePaddle/PaddleDetection#7195",
        document(annotations=[box(1, iscrowd=1), box(2, 2, iscrowd=1)]),
        "none of its 2 images has a box to train on: a crowd: 2 (1, 2)",
    ),
    "background images": Reported(
        "PaddlePaddle/PaddleX#3313", document(annotations=[box(1)]), "2.jpg: no usable box", ok=True
    ),
    "background images, allowed": Reported(
        "PaddlePaddle/PaddleDetection#5956",
        document(annotations=[box(1)]),
        '"used": 2',
        ok=True,
        train={"options": {"TrainDataset.allow_empty": True}},
    ),
    "annotations of other images": Reported(
        READER, document(box(3, 9)), "of an image that the file does not have: 1", ok=True
    ),
    "string ids": Reported(
        "PatBall1/detectree2#133",
        document(images=[image("a"), image("b")], annotations=[box(1, "a"), box(2, "b")]),
        "its id is not an integer",
    ),
    "evaluation without area": Reported(
        "cocodataset/cocoapi#374",
        document(),
        "annotation 1: has no area",
        evaluated=document(annotations=[box(1, without="area")]),
        train=EVALUATE,
    ),
    "evaluation, no info": Reported(
        "ppwwyyxx/cocoapi#32", document(), '"part": "eval"', ok=True, evaluated=document(), train=EVALUATE
    ),
    "fewer images than a batch": Reported(
        BATCHES, document(), "2 images are less than a batch of 3", train={"batchSize": 3}
    ),
    "fewer images than a batch of each process": Reported(
        BATCHES, document(), "2 images for 2 processes are less than a batch of 2", ranks=2, train={"batchSize": 2}
    ),
    "an image for each process": Reported(BATCHES, document(), '"used": 2', ok=True, ranks=2),
    "an incomplete batch is wanted": Reported(
        BATCHES,
        document(),
        '"used": 2',
        ok=True,
        train={"batchSize": 3, "options": {"TrainReader.drop_last": False}},
    ),
    "images that repeat": Reported(
        BATCHES, document(), '"used": 2', ok=True, train={"batchSize": 3, "options": {"TrainDataset.repeat": 2}}
    ),
    "folders in file_name": Reported(
        READER, document(images=[image(1, file_name="a/b/1.jpg"), image(2)]), '"used": 2', ok=True
    ),
    "a list": Reported(READER, [], "is not in COCO format"),
    "lines": Reported(READER, '{"images": []}\n{"annotations": []}', "is not in COCO format"),
    "byte order mark": Reported(READER, "\ufeff{}", "is not in COCO format"),
    "no annotations": Reported(READER, {"images": [image(1)], "categories": CATEGORIES}, "has no annotations"),
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_reported_file_gets_the_verdict_of_the_trainer(name: str, ppyoloe: Trainer) -> None:
    one = REPORTS[name]
    verdict = ask(ppyoloe, one.described, one.evaluated, one.files, one.most, one.ranks, **one.train)
    assert verdict.probe["ok"] == one.ok, verdict
    assert one.words in (json.dumps(verdict.probe) if one.ok else verdict.probe["reason"]), verdict.probe
    assert_agreed(verdict, one.most)
    ppyoloe.agreed()


NUMBERS = st.sampled_from(
    [0, 1, 2, 9, -1, 1.0, 0.5, 1e-6, 1e39, float("nan"), float("inf"), True, None, "1", "x", [], [1]]
)
BOXES = st.one_of(
    st.lists(st.sampled_from([0, 1, 5, 8.25, -3, 1e-6, 1e39, float("nan")]), min_size=4, max_size=4),
    st.sampled_from([None, [], [1, 2], [1, 2, 3, 4, 5], ["1", "2", "3", "4"], "abc", {"x": 1}, [0, 0, 0, 0]]),
)
SEGMENTATIONS: st.SearchStrategy[Any] = st.sampled_from(
    [[], [[]], [[1, 2, 3, 4, 5, 6]], {"counts": [1, 2], "size": [32, 32]}, None]
)
VALUES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "annotations": {"id": NUMBERS, "image_id": NUMBERS, "category_id": NUMBERS, "bbox": BOXES, "area": NUMBERS, "iscrowd": NUMBERS,
                    "ignore": NUMBERS, "segmentation": SEGMENTATIONS},
    "images": {"id": NUMBERS, "width": NUMBERS, "height": NUMBERS, "file_name": st.sampled_from(["1.jpg", "2.jpg", "no/such.jpg", "a b/ü.jpg"])},
    "categories": {"id": NUMBERS, "name": st.sampled_from(["cat", "dog", "", "猫"])},
}  # fmt: skip
DELETED = object()


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A good file with some of its fields removed or changed."""
    count = draw(st.integers(1, 3))
    described = document(
        images=[image(number) for number in range(1, count + 1)],
        annotations=[
            box(number, 1 + number % count, category_id=1 + number % 2) for number in range(1, draw(st.integers(3, 8)))
        ],
        categories=copy.deepcopy(CATEGORIES),
    )
    for _ in range(draw(st.integers(0, 2))):
        kind = draw(st.sampled_from([*["annotations"] * 4, "images", "categories"]))
        if described[kind]:
            record = draw(st.sampled_from(described[kind]))
            key = draw(st.sampled_from(list(VALUES[kind])))
            value = draw(st.one_of(VALUES[kind][key], st.just(DELETED)))
            record.pop(key, None) if value is DELETED else record.update({key: value})
    return described


@pytest.mark.parametrize("name", ["/etc/hostname", f"{12 * '../'}etc/hostname"])
def test_an_image_outside_of_the_sources_is_not_opened(name: str, ppyoloe: Trainer) -> None:
    verdict = ask(ppyoloe, document(images=[image(1, file_name=name), image(2)])).probe
    assert not verdict["ok"]
    assert "outside of the run's sources" in verdict["reason"]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(documents(), documents(), st.booleans(), st.booleans(), st.sampled_from([0, 0, 1, 3]), st.booleans())
def test_made_up_files_get_the_verdict_of_the_trainer(
    ppyoloe: Trainer, described: Document, other: Document, two: bool, evaluate: bool, most: int, empty: bool
) -> None:
    options = {"TrainDataset.allow_empty": True} if empty else {}
    files: dict[str, str | None] = {"images/no/such.jpg": None}
    verdict = ask(ppyoloe, described, other if two else None, files, most, evaluate=evaluate, options=options)
    assert_agreed(verdict, most)
    ppyoloe.agreed()
