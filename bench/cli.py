"""What the `trainchart` command takes, from start to end: `python -m bench.cli`.

Of the commands without a cluster, the shortest of many runs is held against the limit: it is nearest to what the command takes
on an idle machine. Of those with a cluster, the least processor time is: what the server takes is not ours. The server is one of
this process, with one finished run. Python's own start, which no command can undercut, is measured beside them.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.lab.api_server import serving

ROOT = Path(__file__).parents[1]
VALUES = str(ROOT / "values/yolov5.yaml")
RUNS = 20
PROCESSOR_LIMIT = 500
"""Of every command with a cluster, in milliseconds."""

# What is run without a cluster, and the limit in milliseconds.
ALONE: dict[str, float] = {"--help": 150, f"validate {VALUES}": 250}
WITH_A_CLUSTER = ("status run-42", "list", "wait run-42", "logs run-42", "result run-42", "stop run-42")


@dataclass(frozen=True)
class Times:
    """Milliseconds of many runs."""

    elapsed: list[float]
    processor: list[float]


def main() -> int:
    slow = []
    print(f"of {RUNS} runs, in ms     {'fastest':>10}{'median':>10}{'processor':>12}{'limit':>8}")

    def row(name: str, times: Times, limit: float | None = None, *, of_processor: bool = False) -> None:
        fastest, processor = min(times.elapsed), min(times.processor)
        if limit is not None and (processor if of_processor else fastest) > limit:
            slow.append(name)
        limit_text = "" if limit is None else f"{limit:.0f}"
        print(f"{name:24}{fastest:10.0f}{statistics.median(times.elapsed):10.0f}{processor:12.0f}{limit_text:>8}")

    row("python -c pass", measured(["-c", "pass"]))
    for arguments, limit in ALONE.items():
        row(f"trainchart {arguments.split()[0]}", measured(["-m", "trainchart", *arguments.split()]), limit)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        for arguments in WITH_A_CLUSTER:
            command = ["-m", "trainchart", *arguments.split(), "--kubeconfig", server.kubeconfig]
            row(f"trainchart {arguments.split()[0]}", measured(command), PROCESSOR_LIMIT, of_processor=True)
    return 1 if slow else 0


def measured(arguments: list[str]) -> Times:
    """Of `python` with these arguments."""
    times = Times([], [])
    for _ in range(RUNS):
        before, start = processor_time(), time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True, cwd=ROOT)
        times.elapsed.append(1000 * (time.perf_counter() - start))
        times.processor.append(1000 * (processor_time() - before))
    return times


def processor_time() -> float:
    """Seconds that all ended child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
