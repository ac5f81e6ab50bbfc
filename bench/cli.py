"""How long the `trainchart` command takes, from start to end: `python bench/cli.py`.

The shortest of many runs is held against the limit: it is nearest to what the command takes on an idle machine. The median says
how busy this one was, and the processor time what of it was ours. Python's own start, which no command can undercut, is
measured beside them.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
VALUES = str(ROOT / "values/yolov5.yaml")
RUNS = 20

# What is run, and the limit in milliseconds.
CASES: dict[str, tuple[list[str], float | None]] = {
    "python -c pass": ([sys.executable, "-c", "pass"], None),
    "trainchart --help": ([sys.executable, "-m", "trainchart", "--help"], 150),
    "trainchart validate FILE": ([sys.executable, "-m", "trainchart", "validate", VALUES], 250),
}


def main() -> int:
    slow = 0
    print(f"{'command':28}{'fastest':>10}{'median':>10}{'processor':>10}{'limit':>10}   of {RUNS} runs, in ms")
    for name, (command, limit) in CASES.items():
        before = processor_time()
        milliseconds = sorted(1000 * run(command) for _ in range(RUNS))
        processor = 1000 * (processor_time() - before) / RUNS
        slow += limit is not None and milliseconds[0] > limit
        limit_text = "" if limit is None else f"{limit:.0f}"
        median = statistics.median(milliseconds)
        print(f"{name:28}{milliseconds[0]:10.0f}{median:10.0f}{processor:10.0f}{limit_text:>10}")
    return 1 if slow else 0


def processor_time() -> float:
    """Seconds that all ended child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
