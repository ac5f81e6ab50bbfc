"""The probe of the family yolov8, and what ultralytics' own dataset class makes of the same folder."""

from __future__ import annotations

from serve import copied, load, serve  # isort: skip

import io
from pathlib import Path
from typing import Any, Dict

import numpy as np
import yaml
from PIL import Image
from ultralytics.data import YOLODataset
from ultralytics.data.utils import check_det_dataset

probe_dataset = load("probe_dataset")
import inputs  # noqa: E402 (of the family; load makes it importable)
import run  # noqa: E402

run.prepare()  # with its fonts, which the trainer would download


def answer(request: Dict[str, Any]) -> Dict[str, Any]:
    train = {
        "model": "yolov8n.yaml", "data": "data.yaml", "optimizer": "auto", "exportFormats": ["torchscript"], "arguments": [],
        **request.get("train", {}),
    }  # fmt: skip
    return {"probe": probe(made(request), train, request), "reader": read(made(request), train)}


def made(request: Dict[str, Any]) -> Path:
    """Return a copy of the folder, with its images: path -> [format, width, height, bytes cut off the end]."""
    folder = copied(request)
    for path, (kind, width, height, cut) in request["images"].items():
        encoded = io.BytesIO()
        Image.new("RGB", (width, height), (120, 80, 40)).save(encoded, kind)
        content = encoded.getvalue()
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content[: len(content) - cut])
    return folder


def probe(folder: Path, train: Dict[str, Any], request: Dict[str, Any]) -> Dict[str, Any]:
    model, dataset = folder / "model", folder / "dataset"
    found: Dict[str, Any] = probe_dataset.probe(model, dataset, train)
    return found


def read(folder: Path, train: Dict[str, Any]) -> Dict[str, Any]:
    """Return for each part the files that the trainer would use, or why it would not start."""
    dataset = folder / "dataset"
    try:
        found = inputs.describe(inputs.find_data(train["data"], dataset, folder / "model"), dataset, folder / "model")
        description = folder / "described.yaml"
        description.write_text(yaml.safe_dump(found), encoding="utf-8")
        data = check_det_dataset(str(description), autodownload=False)
        options = inputs.options(train["arguments"])
        single = bool(options.get("single_cls"))
        if single:
            data.update(names={0: "item"}, nc=1)
        parts = {}
        for part in ("train", "val"):
            built = YOLODataset(
                img_path=data[part], data=data, task="detect", augment=part == "train", imgsz=64, batch_size=1,
                single_cls=single, classes=options.get("classes"), fraction=options.get("fraction", 1.0) if part == "train" else 1.0,
            )  # fmt: skip
            labels = np.concatenate([each["cls"] for each in built.labels])
            parts[part] = {"used": sorted(name(file, dataset) for file in built.im_files), "labels": len(labels)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    return {"parts": parts}


def name(file: str, dataset: Path) -> str:
    return str(Path(file).relative_to(dataset))


if __name__ == "__main__":
    serve(answer)
