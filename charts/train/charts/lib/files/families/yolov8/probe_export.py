"""Checks that the exported models load and run, with batches of one and of the largest size. Argument: {"output",
"train", "maxBatchSize"}.

The returned shapes are those of the first model that Triton can serve. A format is skipped if the image lacks the
library to run it.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

Run = Callable[[int], List[int]]  # maps a batch size to the shape of the output


def torchscript(path: Path, image_size: int) -> Tuple[List[int], Run]:
    import torch

    extra = {"config.txt": ""}
    model = torch.jit.load(str(path), map_location="cpu", _extra_files=extra).eval()
    images = _images(json.loads(extra["config.txt"] or "{}"), image_size)

    def run(batch: int) -> List[int]:
        # Without the optimizer, which takes minutes for each new shape.
        with torch.no_grad(), torch.jit.optimized_execution(False):
            answer = model(torch.zeros(batch, *images))
        return list((answer[0] if isinstance(answer, (tuple, list)) else answer).shape)

    return images, run


def onnx(path: Path, image_size: int) -> Tuple[List[int], Run]:
    import numpy
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    images = _images({"imgsz": json.loads(about["imgsz"])} if "imgsz" in about else {}, image_size)
    name = session.get_inputs()[0].name
    return images, lambda batch: list(session.run(None, {name: numpy.zeros((batch, *images), "float32")})[0].shape)


def openvino(path: Path, image_size: int) -> Tuple[List[int], Run]:
    import numpy
    from openvino import Core

    model = Core().compile_model(str(next(path.glob("*.xml"))), "CPU")
    images = [3, image_size, image_size]
    return images, lambda batch: list(model(numpy.zeros((batch, *images), "float32"))[0].shape)


LOADERS: Dict[str, Tuple[str, Callable[[Path, int], Tuple[List[int], Run]]]] = {
    "torchscript": ("torch", torchscript),
    "onnx": ("onnxruntime", onnx),
    "openvino": ("openvino", openvino),
}
SERVED = ("torchscript", "onnx")


def _images(about: Dict[str, Any], image_size: int) -> List[int]:
    """Return the shape of images: the exporter rounds the size up to the model's stride, and records the result."""
    return [3, *(about.get("imgsz") or [image_size, image_size])]


def probe(folder: Path, image_size: int, max_batch_size: int) -> Dict[str, Any]:
    files = json.loads((folder / "exported.json").read_text(encoding="utf-8"))
    answer: Dict[str, Any] = {"ok": True, "loaded": []}
    served = next((name for name in files if name in SERVED), "")
    for name, file in files.items():
        library, loader = LOADERS.get(name, ("", None))
        if loader is None or importlib.util.find_spec(library) is None:
            continue
        try:
            images, run = loader(folder / file, image_size)
            batches = sorted({1, max(max_batch_size, 1)}) if name == served else [1]
            shapes = {batch: run(batch) for batch in batches}
        except Exception as error:  # whatever the format's library raises
            return failure(
                f"the exported {file} does not run: {' '.join(str(error).split())[:300]}",
                "see the exporter's output above",
            )
        mismatch = next(
            (batch for batch, shape in shapes.items() if shape[0] != batch or shape[1:] != shapes[1][1:]), None
        )
        if mismatch:
            return failure(
                f"the exported {file} answers a batch of {mismatch} with the shape {shapes[mismatch]}",
                "set publish.maxBatchSize: 1, or export another format",
            )
        answer["loaded"].append(name)
        if name == served:
            answer.update(input=images, output=shapes[1][1:])
    return answer


def failure(reason: str, fix: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": fix}


if __name__ == "__main__":
    argument = json.loads(sys.argv[1])
    path = Path(argument["output"]) / "export"
    print(json.dumps(probe(path, argument["train"]["imageSize"], argument["maxBatchSize"])))
