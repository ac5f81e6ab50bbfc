"""Runs in the training image: compares an exported model with the checkpoints it came from. One JSON object is printed.

Arguments: the exported model, best.pt, the start's checkpoint, and the largest batch. Exporting fuses convolution and batch
norm, so the checkpoints are fused in the same way before their weights are compared.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import Any

import torch


def fused(path: str) -> dict[str, Any]:
    checkpoint = torch.load(path, map_location="cpu", weights_only=False)
    model = (checkpoint.get("ema") or checkpoint["model"]).float()
    return {name: tensor for name, tensor in model.fuse().eval().state_dict().items() if "num_batches" not in name}


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Names of tensors that are not the same, bit by bit."""
    return sorted(name for name in one if name not in other or not torch.equal(one[name].float(), other[name].float()))


def main() -> None:
    exported, best, start, largest = *sys.argv[1:4], int(sys.argv[4])
    extra = {"config.txt": ""}
    script = torch.jit.load(exported, map_location="cpu", _extra_files=extra).eval()
    shape = json.loads(extra["config.txt"])["shape"]
    with contextlib.redirect_stdout(io.StringIO()):
        of_best, of_start = fused(best), fused(start)
    of_script = {name: tensor for name, tensor in script.state_dict().items() if "num_batches" not in name}
    shapes = {}
    for batch in (1, largest):
        with torch.no_grad():
            answer = script(torch.rand(batch, *shape[1:]))
        shapes[batch] = list((answer[0] if isinstance(answer, (tuple, list)) else answer).shape)
    weights = [name for name in of_script if name.endswith("conv.weight")]
    print(
        json.dumps(
            {
                "tensors": len(of_script),
                "missing": sorted(set(of_best) ^ set(of_script)),
                "unlike_best": differing(of_script, of_best),
                "convolutions": len(weights),
                "like_start": sorted(set(weights) - set(differing(of_script, of_start))),
                "input": shape[1:],
                "shapes": shapes,
            }
        )
    )


main()
