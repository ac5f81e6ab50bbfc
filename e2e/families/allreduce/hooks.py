"""Test family allreduce: the ranks' sum is the training's result."""

from __future__ import annotations

import json
import shutil
from typing import Any

from runner.context import Context


def train_arguments(context: Context) -> list[str]:
    train = context.train
    return [
        "train.py",
        "--output",
        str(context.output),
        "--fail-rank",
        str(train["failRank"]),
        "--hold-seconds",
        str(train["holdSeconds"]),
    ]


def train_environment(_context: Context) -> dict[str, str]:
    return {}


def metrics(context: Context) -> list[dict[str, Any]]:
    path = context.output / "sum.json"
    if not path.exists():
        return []
    result = json.loads(path.read_text(encoding="utf-8"))
    return [{"epoch": 1, "sum": result["sum"], "world_size": result["world_size"]}]


def export_arguments(context: Context) -> list[str]:
    return ["export.py", "--output", str(context.output)]


def layout(context: Context, _shapes: dict[str, Any]) -> None:
    (context.artifacts / "1").mkdir()
    shutil.copyfile(str(context.output / "sum.json"), str(context.artifacts / "1" / "sum.json"))
    shutil.copyfile(str(context.output / "tensor.pt"), str(context.artifacts / "1" / "tensor.pt"))
