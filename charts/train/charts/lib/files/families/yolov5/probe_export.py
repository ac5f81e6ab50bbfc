"""Checks that the exported TorchScript runs, with batches of one and of the largest size, and returns its shapes.
Argument: {"output", "train", "maxBatchSize"}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, List


def probe(script: Path, image_size: int, max_batch_size: int) -> Dict[str, Any]:
    import torch

    if not script.is_file():
        return failure(f"export.py wrote no {script.name}", "see its output above")
    extra = {"config.txt": ""}
    model = torch.jit.load(str(script), map_location="cpu", _extra_files=extra).eval()
    # The exporter rounds the size up to the model's stride, and records the result.
    images = list(json.loads(extra["config.txt"])["shape"])[1:] if extra["config.txt"] else [3, image_size, image_size]
    shapes: Dict[int, List[int]] = {}
    for batch in sorted({1, max(max_batch_size, 1)}):
        with torch.no_grad():
            answer = model(torch.zeros(batch, *images))
        first = answer[0] if isinstance(answer, (tuple, list)) else answer
        shapes[batch] = list(first.shape)
        if shapes[batch][0] != batch:
            return failure(
                f"the exported model answers a batch of {batch} with the shape {shapes[batch]}",
                "lower publish.maxBatchSize to the batch size of the export",
            )
    if len({tuple(shape[1:]) for shape in shapes.values()}) > 1:
        return failure(
            f"the exported model's output changes its shape with the batch: {list(shapes.values())}",
            "use a model whose output depends on the batch size only in its first dimension",
        )
    return {"ok": True, "input": images, "output": shapes[1][1:]}


def failure(reason: str, fix: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": fix}


if __name__ == "__main__":
    argument = json.loads(sys.argv[1])
    weights = Path(argument["output"]) / "train" / "weights"
    path = max(
        weights.glob("*.torchscript"), key=lambda found: found.stat().st_mtime, default=weights / "best.torchscript"
    )
    print(json.dumps(probe(path, argument["train"]["imageSize"], argument["maxBatchSize"])))
