"""The probe of the family ppyoloe, and what PaddleDetection's readers make of the same folder."""

from __future__ import annotations

from serve import copied, load, serve  # isort: skip

import io
import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, Tuple

from paddle.io import DistributedBatchSampler
from PIL import Image
from ppdet.data.reader import EvalReader, TrainReader
from ppdet.data.source.category import get_categories
from ppdet.data.source.coco import COCODataSet
from ppdet.metrics.coco_utils import cocoapi_eval
from pycocotools.coco import COCO

probe_dataset = load("probe_dataset")
import hooks  # noqa: E402 (of the family; load makes it importable)

TRAIN = {
    "trainImages": "images", "trainAnnotations": "train.json", "evalImages": "images", "evalAnnotations": "", "evaluate": False,
    "options": {}, "batchSize": 1, "config": "model.yml",
}  # fmt: skip
PREPARED = [{"Decode": {}}, {"Resize": {"target_size": [32, 32], "keep_ratio": False}}]
NORMALIZED = [{"NormalizeImage": {"mean": [0, 0, 0], "std": [1, 1, 1], "is_scale": True}}, {"Permute": {}}]


def answer(request: Dict[str, Any]) -> Dict[str, Any]:
    train = {**TRAIN, **request.get("train", {})}
    folder = made(request)
    scratch = folder / "scratch"
    scratch.mkdir()
    (folder / "model.yml").write_text("TrainReader: {}\n")
    ranks, most = request.get("ranks", 1), request.get("maxBroken", 0)
    found = probe_dataset.data(folder, folder / "dataset", train, ranks, most, scratch)
    return {"probe": found, "reader": read(made(request) / "dataset", train, ranks)}


def made(request: Dict[str, Any]) -> Path:
    """Return a copy of the folder, with its images: path -> a format, the share of it that is there, or a text."""
    folder = copied(request)
    for path, kind in request["images"].items():
        encoded = io.BytesIO(kind.encode())
        if kind.split()[0].isupper():
            Image.new("RGB", (32, 32), (120, 80, 40)).save(encoded, kind.split()[0])
            encoded.truncate(int(encoded.tell() * float(kind.split()[-1])) if " " in kind else None)
        (folder / "dataset" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "dataset" / path).write_bytes(encoded.getvalue())
    return folder


def read(dataset: Path, train: Dict[str, Any], ranks: int) -> Dict[str, Any]:
    """Return for each part what the trainer would use, or why it would not start, or end later."""
    arguments = hooks.datasets(dataset, train)
    parts = {}
    try:
        parts["train"] = part(arguments["TrainDataset"], arguments["TestDataset"]["anno_path"])
        parts["train"]["batches"] = batches(arguments["TrainDataset"], train, ranks)
        if train["evaluate"]:
            parts["eval"] = part(arguments["EvalDataset"], arguments["TestDataset"]["anno_path"])
    except BaseException as error:  # SystemExit too
        return {"error": f"{type(error).__name__}: {error}"}
    return {"parts": parts}


def part(arguments: Dict[str, Any], labels: str) -> Dict[str, Any]:
    """Read a part as the trainer does, every image and batch of it; then look at what was read."""
    told = Warnings()
    logging.getLogger("ppdet.data.source.coco").addHandler(told)
    dataset, trained = COCODataSet(**arguments), "data_fields" in arguments
    dataset.parse_dataset()
    last = [*NORMALIZED, {"PadGT": {}}] if trained else NORMALIZED
    reader = (TrainReader if trained else EvalReader)(PREPARED, last, 1, collate_batch=True)
    dataset.set_transform(reader._sample_transforms)
    dataset.set_kwargs()
    for number in range(len(dataset)):
        # What Paddle's DataLoader does in a thread, which a forked process cannot have; it hangs at texts.
        batch = reader._batch_transforms([dataset[number]])
        texts = [name for name, value in batch.items() if value.dtype.kind not in "biuf"]
        assert not texts, f"{texts} cannot be tensors"
    file = Path(arguments["dataset_dir"], arguments["anno_path"])
    if not trained:
        truth = COCO(str(file))
        one = {"image_id": dataset.roidbs[0]["im_id"][0].item(), "category_id": truth.getCatIds()[0]}
        detected = file.with_name("bbox.json")
        detected.write_text(json.dumps([{**one, "bbox": [0, 0, 9, 9], "score": 1.0}]))
        cocoapi_eval(str(detected), "bbox", coco_gt=truth)
    boxes = sum(len(record.get("gt_bbox", ())) for record in dataset.roidbs)
    wrong = misread(dataset, json.loads(file.read_text()), file.with_name(labels)) if trained else []
    return {"images": len(dataset.roidbs), "boxes": boxes, "misread": wrong, "illegal": told.count}


def batches(arguments: Dict[str, Any], train: Dict[str, Any], ranks: int) -> int:
    """Return how many batches of an epoch the trainer hands to its first process."""
    dataset = COCODataSet(**arguments)
    dataset.parse_dataset()
    own = {key[len("TrainReader.") :]: value for key, value in train["options"].items() if key[:12] == "TrainReader."}
    reader = TrainReader(PREPARED, NORMALIZED, **{"batch_size": train["batchSize"], **own})
    return len(DistributedBatchSampler(dataset, reader.batch_size, ranks, 0, reader.shuffle, reader.drop_last))


class Warnings(logging.Handler):
    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += record.getMessage().startswith("Illegal")


def misread(dataset: Any, described: Dict[str, Any], labels: Path) -> List[str]:
    """Return what was read as something else than the file has, or would be published under another name."""
    numbers, names = get_categories("COCO", str(labels))
    published = list(names.values())
    own = {one["id"]: one["name"] for one in described["categories"]}
    files: Dict[Any, set] = {}
    for image in described["images"]:
        files.setdefault(image["id"], set()).add(image["file_name"])
    wrong = [f"image {number} is {sorted(several)}" for number, several in files.items() if len(several) > 1]
    have: Dict[str, Counter[Any]] = {}
    for one in described["annotations"]:
        box = one.get("bbox")
        if not (isinstance(box, list) and len(box) == 4 and one["image_id"] in files and one["category_id"] in own):
            continue
        row = (*rounded([box[0], box[1], box[0] + box[2], box[1] + box[3]]), own[one["category_id"]])
        for file in files[one["image_id"]]:
            have.setdefault(file, Counter())[row] += 1
    folder = Path(dataset.dataset_dir, dataset.image_dir)
    for record in dataset.roidbs:
        file = str(Path(record["im_file"]).relative_to(folder))
        rows: Counter[Any] = Counter()
        for box, kind in zip(record["gt_bbox"].tolist(), record["gt_class"][:, 0].tolist()):
            label = published[kind] if kind < len(published) else "no label"
            rows[(*rounded(box), label)] += 1
            if dataset.catid2clsid.get(numbers.get(kind)) != kind:
                wrong.append(f"class {kind} is evaluated as another")
        wrong += [f"{file}: {row}" for row in (rows - have.get(file, Counter()))]
    if published != list(own.values()):
        wrong.append(f"published as {published}")
    return wrong


def rounded(box: List[float]) -> Tuple[Any, ...]:
    return tuple(round(value, 2) if abs(value) < 1e6 else "large" for value in box)


if __name__ == "__main__":
    serve(answer)
