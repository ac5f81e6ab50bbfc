"""Runs in the training image: loads what a YOLOv8 run has published, each in its own framework. One JSON object is printed.

Arguments: the TorchScript, the ONNX model, best.pt, and the largest batch.
"""

import contextlib
import io
import json
import sys

import onnxruntime
import torch
from ultralytics import YOLO


def main() -> None:
    script, onnx, best, largest = *sys.argv[1:4], int(sys.argv[4])
    extra = {"config.txt": ""}
    served = torch.jit.load(script, map_location="cpu", _extra_files=extra).eval()
    edge = json.loads(extra["config.txt"])["imgsz"]
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    with contextlib.redirect_stdout(io.StringIO()):
        weights = YOLO(best)
        model = weights.model.float().fuse().eval()
    shapes, apart = {}, {}
    for batch in (1, largest):
        images = torch.rand(batch, 3, *edge, generator=torch.Generator().manual_seed(batch))
        with torch.no_grad(), torch.jit.optimized_execution(False):
            by_script, by_weights = served(images), model(images)[0]
        by_onnx = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: images.numpy()})[0])
        shapes[batch] = list(by_script.shape)
        apart[batch] = [float((by_script - other).abs().max()) for other in (by_onnx, by_weights)]
    print(
        json.dumps(
            {"input": [3, *edge], "shapes": shapes, "apart": apart, "names": weights.names, "task": weights.task}
        )
    )


main()
