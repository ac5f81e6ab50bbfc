"""The probes of the families yolov5 and yolov8, and what the trainer's own dataset class makes of the same folder.

`yolo.py yolov8`, or `yolo.py yolov5 FOLDER` with the model repository: a checkout, or the installed package.
"""

from __future__ import annotations

from serve import copied, load, serve  # isort: skip

import importlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any, Dict

import numpy as np
import yaml
from PIL import Image

probe_dataset = load("probe_dataset")
from features import yolo  # noqa: E402 (load makes it importable)
from runner import inside, view  # noqa: E402

hooks = load("hooks")

ENOUGH = 1000000


def answer(request: Dict[str, Any]) -> Dict[str, Any]:
    strict, lenient = (probed(made(request), request["train"], most) for most in (request["maxBroken"], ENOUGH))
    return {"probe": {**strict, "lenient": lenient}, "reader": used(made(request), request["train"])}


def made(request: Dict[str, Any]) -> Path:
    """Return a copy of the folder, with its images: path -> [format, width, height, bytes cut off the end]; fewer
    than 0 bytes are added."""
    folder = copied(request)
    for path, (kind, width, height, cut) in request["images"].items():
        encoded = io.BytesIO()
        Image.new("RGB", (width, height), (120, 80, 40)).save(encoded, kind)
        content = encoded.getvalue()
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content[: max(0, len(content) - cut)] + bytes(max(0, -cut)))
    for name in ("model", "scratch"):
        (folder / name).mkdir(exist_ok=True)
    if request.get("view"):
        (folder / "dataset").rename(folder / "claim")
        (folder / "dataset").mkdir()
        view.fill(folder / "dataset", folder / "claim", ["*.txt", "*.yaml"], lambda path: hooks.rewrites(None, path))
        os.environ[inside.ROOTS] = str(folder / "claim")
        for path in [folder / "claim", *(folder / "claim").rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
    return folder


def probed(folder: Path, train: Dict[str, Any], most: int) -> Dict[str, Any]:
    before = content(folder)
    found: Dict[str, Any] = probe_dataset.probe(
        TRAINER.model(folder), folder / "dataset", {**TRAINER.defaults, **train}, (), most, folder / "scratch"
    )
    assert content(folder) == before, "the probe has changed the data"
    return found


def content(folder: Path) -> Dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and folder / "scratch" not in path.parents)
    return {str(path): path.read_bytes() for path in files}


def used(folder: Path, train: Dict[str, Any]) -> Dict[str, Any]:
    """Return for each part the files that the trainer uses, of how many; or why it does not start."""
    dataset, before = folder / "dataset", content(folder / "claim")
    try:
        parts = {}
        os.chdir(TRAINER.model(folder))
        for part, built in TRAINER.built(folder, {**TRAINER.defaults, **train}):
            for number in range(len(built.im_files)):  # as the training, which ends at one that it cannot decode
                built.load_image(number)
            files = sorted(str(Path(file).relative_to(dataset)) for file in built.im_files)
            parts[part] = {"used": files, "total": built.total, "labels": TRAINER.labels(built)}
            for cache in folder.rglob("*.cache"):  # the next part may be the same folder
                cache.unlink()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
    assert content(folder / "claim") == before, "the trainer has changed the claim"
    return {"parts": parts}


def counting(base: Any) -> Any:
    """Return the dataset class, with the number of the images that it has looked at."""

    class Counting(base):
        def cache_labels(self, *arguments: Any, **options: Any) -> Any:
            found = super().cache_labels(*arguments, **options)
            self.total = found["results"][-1]
            return found

    return Counting


class Ultralytics:
    def __init__(self) -> None:
        self.defaults = {
            "model": "yolov8n.yaml", "data": "data.yaml", "optimizer": "auto", "exportFormats": ["torchscript"], "arguments": [],
        }  # fmt: skip
        import inputs
        import run

        run.prepare()  # with its fonts, which the trainer would download
        self._inputs = inputs

    def model(self, folder: Path) -> Path:
        return folder / "model"

    def built(self, folder: Path, train: Dict[str, Any]) -> Any:
        from ultralytics.cfg import get_cfg
        from ultralytics.data import YOLODataset
        from ultralytics.data.utils import check_det_dataset

        dataset, model = folder / "dataset", folder / "model"
        file = folder / "described.yaml"  # as run.py writes it
        found = self._inputs.describe(self._inputs.find_data(train["data"], dataset, model), dataset, model)
        file.write_text(yaml.safe_dump(found), encoding="utf-8")
        data = check_det_dataset(str(file), autodownload=False)
        options = get_cfg(overrides=self._inputs.options(train["arguments"]))
        if options.single_cls:
            data.update(names={0: "item"}, nc=1)
        for part in ("train", "val"):
            yield part, counting(YOLODataset)(
                img_path=data[part], data=data, task="detect", augment=part == "train", imgsz=64, batch_size=1,
                single_cls=options.single_cls, classes=options.classes, fraction=options.fraction if part == "train" else 1.0,
            )  # fmt: skip

    def labels(self, built: Any) -> int:
        return sum(len(each["cls"]) for each in built.labels)


class Yolov5:
    def __init__(self, folder: str) -> None:
        self.defaults = {"data": "data.yaml", "weights": "yolov5n.pt", "arguments": []}
        self._folder = Path(folder)
        self._loaders, self._general = (
            probe_dataset.trainer_module(self._folder, name) for name in ("dataloaders", "general")
        )
        importlib.import_module(self._loaders.__name__)

    def model(self, folder: Path) -> Path:
        return self._folder

    def built(self, folder: Path, train: Dict[str, Any]) -> Any:
        dataset = folder / "dataset"
        sources, file = inside.Sources(self._folder, dataset), probe_dataset.find(train["data"], self._folder, dataset)
        found = yolo.resolve(yolo.read(file, sources, yaml), file, self._folder, dataset, self._folder, sources)
        self._general.check_font = lambda *_, **__: None
        data = self._general.check_dataset(
            json.loads(json.dumps(found)) if isinstance(found.get("names"), list) else found
        )
        single = "--single-cls" in train["arguments"]
        for part in ("train", "val"):
            built = counting(self._loaders.LoadImagesAndLabels)(
                data[part], 64, 1, augment=part == "train", hyp={}, rect=part == "val", single_cls=single, pad=0.5
            )
            classes = np.concatenate(built.labels, 0)[:, 0]
            nc = 1 if single else data["nc"]
            assert not len(classes) or classes.max() < nc, "Label class exceeds nc"  # as train.py; val.py indexes by it
            assert single or set(classes) <= set(data["names"]), (
                "it would look for a name, or train a fraction as another class"
            )
            assert not any(len(points) == 2 for each in built.segments for points in each), (
                "it took a box for an outline"
            )
            yield part, built

    def labels(self, built: Any) -> int:
        return sum(map(len, built.labels))


TRAINER: Any = Yolov5(sys.argv[2]) if sys.argv[1] == "yolov5" else Ultralytics()

if __name__ == "__main__":
    serve(answer)
