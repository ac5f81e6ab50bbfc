"""Checks that the exported model loads and runs. Argument: {"output", "artifacts", "train", "maxBatchSize"}."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict


def probe(output: Path) -> Dict[str, Any]:
    import numpy
    import yaml
    from paddle import inference

    described = next(iter(sorted((output / "export").rglob("infer_cfg.yml"))), None)
    if described is None:
        return failure("tools/export_model.py wrote no infer_cfg.yml", "see its output above")
    folder = described.parent
    program = next((folder / name for name in ("model.pdmodel", "model.json") if (folder / name).is_file()), None)
    if program is None:
        return failure("tools/export_model.py wrote no model.pdmodel", "see its output above")
    config = inference.Config(str(program), str(folder / "model.pdiparams"))
    config.disable_gpu()
    config.disable_glog_info()
    predictor = inference.create_predictor(config)
    resized = [
        step["target_size"]
        for step in yaml.safe_load(described.read_text(encoding="utf-8"))["Preprocess"]
        if "target_size" in step
    ]
    height, width = resized[0] if resized else (640, 640)
    sizes = {"image": [1, 3, height, width], "im_shape": [1, 2], "scale_factor": [1, 2]}
    shapes = {name: sizes[name] for name in predictor.get_input_names()}
    for name, shape in shapes.items():
        handle = predictor.get_input_handle(name)
        handle.reshape(shape)
        handle.copy_from_cpu(numpy.ones(shape, dtype="float32"))
    predictor.run()
    outputs = {
        name: list(predictor.get_output_handle(name).copy_to_cpu().shape) for name in predictor.get_output_names()
    }
    return {"ok": True, "folder": str(folder), "inputs": shapes, "outputs": outputs}


def failure(reason: str, fix: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": fix}


if __name__ == "__main__":
    print(json.dumps(probe(Path(json.loads(sys.argv[1])["output"]))))
