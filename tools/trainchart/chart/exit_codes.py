"""The exit codes of the runner, from the chart's own table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from trainchart.chart.paths import LIB


@dataclass(frozen=True)
class RunnerCode:
    code: int
    name: str
    stage: str
    retried: bool


@cache
def runner_codes() -> dict[int, RunnerCode]:
    rows = json.loads((LIB / "files/runner/exit_codes.json").read_text(encoding="utf-8"))["codes"]
    return {row["code"]: RunnerCode(**row) for row in rows}
