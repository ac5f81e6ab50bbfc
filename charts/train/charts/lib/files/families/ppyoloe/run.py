"""Runs PaddleDetection's tools/train.py, and writes a row of metrics per epoch and the effective configuration.

    run.py METRICS CONFIG <arguments of tools/train.py>

PaddleDetection stores neither: losses go to its log, and its VisualDL files do not contain the epoch of a step.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any, Dict


def main() -> None:
    metrics, effective = sys.argv[1:3]
    sys.argv = ["tools/train.py", *sys.argv[3:]]
    from ppdet.engine import trainer
    from ppdet.engine.callbacks import Callback, ComposeCallback

    first = int(os.environ.get("PADDLE_TRAINER_ID") or 0) == 0

    class Rows(Callback):  # type: ignore[misc]
        def on_epoch_end(self, status: Dict[str, Any]) -> None:
            row: Dict[str, Any] = {"epoch": int(status["epoch_id"]) + 1}
            if status["mode"] == "train":
                row.update({name: float(value) for name, value in status["training_staus"].get().items()})
                row["learning_rate"] = float(status["learning_rate"])
            else:
                for metric in self.model._metrics:
                    for name, values in metric.get_results().items():
                        row.update({f"{name}/mAP": float(values[0]), f"{name}/mAP_0.5": float(values[1])})
            with Path(metrics).open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(row) + "\n")

    init_callbacks = trainer.Trainer._init_callbacks

    def with_rows(self: Any) -> None:
        init_callbacks(self)
        if self.mode == "train" and first:
            self._callbacks.append(Rows(self))
            self._compose_callback = ComposeCallback(self._callbacks)
            write(self.cfg, effective)

    trainer.Trainer._init_callbacks = with_rows
    runpy.run_path("tools/train.py", run_name="__main__")


def write(cfg: Any, path: str) -> None:
    """Write the whole configuration to one file, with its bases and options merged, without empty modules."""
    import yaml

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value

    scratch = Path(f"{path}.new")
    with scratch.open("w", encoding="utf-8") as handle:
        yaml.dump({key: plain(value) for key, value in cfg.items() if value != {}}, handle, sort_keys=True)
    scratch.replace(path)


if __name__ == "__main__":
    main()
