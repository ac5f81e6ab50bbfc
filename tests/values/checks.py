"""What the tests of `trainchart validate` share."""

from __future__ import annotations

from pathlib import Path

from trainchart.chart.paths import CHART
from trainchart.values.validate import Diagnostic, Report, validate

ROOT = CHART.parents[1]
YOLOV5 = ROOT / "values/yolov5.yaml"
CPU = ROOT / "values/accelerators/cpu.yaml"
NVIDIA = ROOT / "values/accelerators/nvidia.yaml"


def check(folder: Path, text: str | bytes, *below: Path, name: str = "run-42") -> Report:
    """What is found in a file, `own.yaml`, that lies over others (by default, over the YOLOv5 example)."""
    own = folder / "own.yaml"
    own.write_bytes(text if isinstance(text, bytes) else text.encode())
    return validate([*map(str, below or (YOLOV5,)), str(own)], name=name)


def told(diagnostic: Diagnostic) -> str:
    """A diagnostic as `line:column key: message`, for a file whose name does not matter."""
    return f"{diagnostic.line}:{diagnostic.column} {diagnostic.key}: {diagnostic.message}"


def found(folder: Path, text: str | bytes, *below: Path, source: str = "schema") -> list[str]:
    """The diagnostics of one source, told."""
    return [told(diagnostic) for diagnostic in check(folder, text, *below).diagnostics if diagnostic.source == source]
