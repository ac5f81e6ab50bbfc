"""How long it takes to judge and render one run: in this process, and by a `helm template` process, side by side; and how many
cases of the tests' matrix two processes render and check against the schemas of Kubernetes and Volcano in a minute.

Run: make bench
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import yaml

from tests.chart.matrix import ADMITTED
from tests.chart.schemas import check_object
from trainchart.chart.paths import CHART
from trainchart.chart.render import render, render_text, with_defaults
from trainchart.files import Tree, load_values
from trainchart.values.schema_errors import violations

ROOT = CHART.parents[1]
ROUNDS = 30
CASES = 1000


def main() -> int:
    helm = shutil.which("helm")
    if not helm:
        print("bench: no helm on PATH; run it by: make bench", file=sys.stderr)
        return 1
    values = load_values(ROOT / "values/yolov5.yaml")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "values.yaml")
        file.write_text(yaml.safe_dump(values), encoding="utf-8")
        command = [helm, "template", "run-42", str(CHART), "--namespace", "training", "--values", str(file)]

        def in_process() -> None:
            assert not violations(with_defaults(values), CHART / "values.schema.json")
            render_text(values)

        def by_helm() -> None:
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

        # Taken in turns, so that whatever else the machine does falls on both.
        own, other = zip(*((seconds(in_process), seconds(by_helm)) for _ in range(ROUNDS)), strict=True)
    print(f"{ROUNDS} rounds, milliseconds   fastest   median")
    for name, times in (("in this process", own), ("helm template", other)):
        print(f"{name:<24} {min(times) * 1e3:9.1f} {statistics.median(times) * 1e3:8.1f}")
    print(
        f"ratio                    {min(other) / min(own):9.1f} {statistics.median(other) / statistics.median(own):8.1f}"
    )
    print(f"of which Helm parses the chart's templates, again at every render: {floor(values):.1f} ms")
    numbers = range(CASES)
    with get_context("spawn").Pool(2) as pool:
        pool.map(checked, range(2))  # both have loaded what they need
        taken = seconds(lambda: pool.map(checked, numbers, chunksize=10))
    print(f"{CASES} cases rendered and checked by two processes: {taken:.1f} s")
    return 0


def floor(values: Tree) -> float:
    """Milliseconds of a render in which nothing is rendered: no render of this chart can be faster."""
    with tempfile.TemporaryDirectory() as folder:
        chart = Path(folder, "train")
        shutil.copytree(CHART, chart)
        for template in (chart / "templates").rglob("*.*"):
            template.unlink()
        return min(seconds(lambda: render_text(values, chart=chart)) for _ in range(ROUNDS)) * 1e3


def checked(number: int) -> None:
    values = ADMITTED[number % len(ADMITTED)].values
    assert not violations(with_defaults(values), CHART / "values.schema.json")
    for manifest in render(values):
        check_object(manifest)


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    sys.exit(main())
