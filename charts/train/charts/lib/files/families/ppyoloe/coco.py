"""Reads annotations with PaddleDetection's own reader, as the training will, and says what the reader leaves out."""

from __future__ import annotations

import json
import os
import traceback
from collections import Counter
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

FIX = "correct the record in that file, or remove it"
# The variables in which ppdet and pycocotools hold the record at hand.
HELD = dict.fromkeys(("g", "o", "gt", "box", "inst", "ann"), "annotation")
HELD.update(img_anno="image", img="image", cat="category")
KEYS = ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "file_name", "width", "height", "name")
CROWDS = "a crowd"


class UnusableError(Exception):
    """The training would fail on the annotations, or misread them."""

    def __init__(self, reason: str, fix: str = FIX) -> None:
        super().__init__(reason)
        self.reason, self.fix = reason, fix


@dataclass
class Part:
    images: List[str]  # paths of those that the reader uses
    samples: int  # of an epoch: those images, as often as the option `repeat` says
    total: int  # of all images of the file
    broken: List[str]  # images that the reader leaves out because they are missing or invalid, with the reason,
    unneeded: List[str]  # and those that it leaves out by design
    annotations: int
    left: Dict[str, List[Any]]  # IDs of the annotations that the reader leaves out, by the reason; those by design last
    categories: List[Tuple[Any, str]]  # ID and name, in the order of the model's classes


def read(arguments: Dict[str, Any]) -> Part:
    """Return what COCODataSet with these arguments uses of its file. Raises UnusableError."""
    reader, coco = parse(arguments)
    annotations, records = coco.dataset.get("annotations"), reader.roidbs or []
    if annotations is None:
        raise UnusableError("has no annotations", "push the file with annotations: a training needs them")
    refuse_misread(coco.dataset, records)
    used = {record["im_id"][0] for record in records}
    broken: List[str] = []
    unneeded: List[str] = []
    for number, image in coco.imgs.items():
        if number not in used:
            reason = invalid(image, coco.imgToAnns.get(number, []), arguments)
            design = "not sampled" if reader.sample_num > 0 or reader.allow_empty else "no usable box"
            (broken if reason else unneeded).append(f"{image['file_name']}: {reason or design}")
    left: Dict[str, List[Any]] = {}
    for one in annotations:
        if "clean_bbox" not in one or one["image_id"] not in used:  # the reader marks what it uses
            left.setdefault(unused(one, coco.imgs, reader.load_crowd), []).append(one["id"])
    return Part(
        images=[str(record["im_file"]) for record in records],
        samples=len(reader),
        total=len(coco.imgs),
        broken=broken,
        unneeded=unneeded,
        annotations=len(annotations),
        left=dict(sorted(left.items(), key=lambda item: item[0] == CROWDS)),
        categories=[(one["id"], one["name"]) for one in coco.dataset["categories"]],
    )


def parse(arguments: Dict[str, Any]) -> Tuple[Any, Any]:
    """Return PaddleDetection's dataset, parsed, and pycocotools' object with the file. Raises UnusableError."""
    from ppdet.data.source.coco import COCODataSet
    from pycocotools import coco

    kept: List[Any] = []

    class Kept(coco.COCO):  # type: ignore[misc]
        def __init__(self, *given: Any) -> None:
            kept.append(self)
            super().__init__(*given)

    original, coco.COCO = coco.COCO, Kept
    try:
        reader = COCODataSet(**arguments)
        reader.roidbs = []
        reader.parse_dataset()
    except Exception as error:
        # "Not found any": an assertion about what it has read completely.
        if not (isinstance(error, AssertionError) and str(error).startswith("not found any")):
            raise failed(error, kept[-1] if kept else None) from error
    finally:
        coco.COCO = original
    return reader, kept[-1]


def categories(arguments: Dict[str, Any]) -> List[Tuple[Any, str]]:
    """Return ID and name of a file's categories, in its order. Raises UnusableError."""
    from ppdet.data.source.category import get_categories

    try:
        numbers, names = get_categories("COCO", str(Path(arguments["dataset_dir"], arguments["anno_path"])))
    except Exception as error:
        raise failed(error) from error
    return [(number, names[number]) for number in numbers.values()]


def evaluate(arguments: Dict[str, Any], part: Part, scratch: Path) -> None:
    """Run PaddleDetection's evaluation, with one detection. It asks for more than training does. Raises UnusableError."""
    from ppdet.metrics.coco_utils import cocoapi_eval
    from pycocotools.coco import COCO

    coco = COCO(str(Path(arguments["dataset_dir"], arguments["anno_path"])))
    try:
        found = {"image_id": next(iter(coco.imgs)), "category_id": part.categories[0][0], "bbox": [0, 0, 9, 9]}
        path = scratch / "bbox.json"
        path.write_text(json.dumps([{**found, "score": 1.0}]), encoding="utf-8")
        cocoapi_eval(str(path), "bbox", coco_gt=coco)
    except Exception as error:
        raise failed(error, coco, "the evaluation fails: ") from error


def failed(error: Exception, coco: Any = None, what: str = "") -> UnusableError:
    """Return the failure for the record that the reader has failed on, with its ID."""
    key = error.args[0] if error.args else None
    for kind, record in held(error, coco):
        name = f"{what}{kind} {record['id'] if 'id' in record else json.dumps(record)[:200]}"
        if not isinstance(error, KeyError):
            values = {key: record[key] for key in KEYS if key in record and key != "id"}
            return UnusableError(f"{name}: {type(error).__name__}: {error}, with {json.dumps(values)[:200]}")
        return UnusableError(
            f"{name}: " + (f"has no {key}" if key in KEYS else f"category_id {key!r} is not a category of the file")
        )
    reason = f"{what}is not in COCO format: {type(error).__name__}: {error}"
    return UnusableError(reason, "push a file with images, annotations and categories in COCO format")


def held(error: Exception, coco: Any) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Yield the records that the reader may have failed on, likeliest first. A loop leaves its last record behind when
    it ends: only one that fits the error counts.
    """
    missing = isinstance(error, KeyError)
    key = error.args[0] if missing else None
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        here = frame.f_locals
        found = [(what, here[name]) for name, what in HELD.items() if isinstance(here.get(name), dict)]
        number = here.get("img_id", here.get("imgId"))
        if number is not None:
            found = [(what, one) for what, one in found if number in (one.get("image_id"), one.get("id"))]
            found += [("annotation", one) for one in coco.imgToAnns.get(number, [])]
        for what, one in found:
            if "unhashable" in str(error):
                fits = any(isinstance(one.get(name), (list, dict)) for name in KEYS[:3])
            elif key in KEYS:
                fits = key not in one
            else:
                fits = not missing or ("category_id" in one and one["category_id"] == key)
            if fits:
                yield what, one


def refuse_misread(data: Dict[str, Any], records: List[Any]) -> None:
    """Raise UnusableError for what the reader accepts, and reads as something else."""
    import numpy

    for kind in ("annotations", "images", "categories"):
        count = Counter(one["id"] for one in data[kind]) if kind in data else {}
        repeated = next((number for number, times in count.items() if times > 1), None)
        same = [one for one in data[kind] if one["id"] == repeated] if repeated is not None else []
        if same and (kind != "images" or any(one["file_name"] != same[0]["file_name"] for one in same)):
            what = "the trainer would use the last one in place of all" + ", with the boxes of all" * (kind == "images")
            raise UnusableError(f"{len(same)} {kind} have the id {repeated!r}; {what}", "give each an id of its own")
    for record in records:
        boxes = record.get("gt_bbox")
        number, file = record["im_id"][0], record["im_file"]
        if record["im_id"].dtype.kind not in "iuf" or number != int(number):
            raise UnusableError(f"image {number!r} ({file}): its id is not an integer, which the trainer needs")
        if boxes is not None and not numpy.isfinite(boxes).all():
            raise UnusableError(f"image {number} ({file}): a bbox has a number that is not finite")
        # ppdet removes boxes from the list that it goes through.
        if boxes is not None and not boxes.any(axis=1).all():
            reason = "the trainer would lose boxes, because an annotation's segmentation is an empty list in a list"
            raise UnusableError(f"image {number} ({file}): {reason}", "write [] in place of [[]] in that file")


def refuse_no_batch(samples: int, sampler: Dict[str, Any]) -> None:
    """Raise UnusableError if an epoch has no batch: the trainer would save an untrained model, and end normally."""
    from paddle.io import DistributedBatchSampler

    if not len(DistributedBatchSampler(range(samples), rank=0, **sampler)):
        ranks, size = sampler["num_replicas"], sampler["batch_size"]
        images = f"{samples} images" + f" for {ranks} processes" * (ranks > 1)
        reason = f"{images} are less than a batch of {size}, and the trainer leaves out an incomplete batch"
        fix = "lower train.batchSize, or set TrainReader.drop_last: false in train.options"
        raise UnusableError(f"{reason}: nothing would be trained", fix)


def invalid(image: Dict[str, Any], annotations: List[Any], arguments: Dict[str, Any]) -> str:
    """Return why the reader leaves out an image, if that is a fault of the data, or ""."""
    if not Path(arguments["dataset_dir"], arguments["image_dir"], image["file_name"]).exists():
        return "does not exist"
    size = [image["width"], image["height"]]
    if min(map(float, size)) < 0:
        return f"has the size {size}"
    return "a segmentation is [[]]" if any("clean_bbox" in one for one in annotations) else ""


def unused(one: Dict[str, Any], images: Dict[Any, Any], load_crowd: bool) -> str:
    """Return why the reader leaves out an annotation."""
    box = one.get("bbox") or [0]
    if one["image_id"] not in images:
        return "of an image that the file does not have"
    if one.get("iscrowd", 0) != 0 and not load_crowd:
        return CROWDS if one["iscrowd"] == 1 else "iscrowd is neither 0 nor 1"
    if one.get("ignore"):
        return "ignore is set"
    if not any(box):
        return "no bbox"
    if "clean_bbox" in one:
        return "of an image that is left out"
    if len(box) == 4 and not (box[2] > 1e-5 and box[3] > 1e-5):
        return "no width or height"
    return "of an image that is left out" if one.get("area", 1) > 0 else "area is not above 0"


def undecodable(paths: List[str]) -> Optional[str]:
    """Return the first image that PaddleDetection's decoder cannot read: the training would end at it."""
    import cv2
    import numpy

    def fails(path: str) -> bool:
        try:
            # A reduced size takes a tenth of the time, and fails on the same files.
            data = numpy.fromfile(path, dtype="uint8")
            return cv2.imdecode(data, cv2.IMREAD_REDUCED_COLOR_8) is None
        except (OSError, cv2.error):
            return True

    with ThreadPool(len(os.sched_getaffinity(0))) as pool:
        return next((path for path, failed in zip(paths, pool.imap(fails, paths, 64)) if failed), None)
