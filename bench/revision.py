"""Whether the chart has become slower than at another revision: what `helm template` takes, and the start of a run in the cluster.

    .venv/bin/python -m bench.revision d94aa84            # renders the schema alone, and every family's values file, with both charts in turns
    .venv/bin/python -m bench.revision d94aa84 --runs 8   # and starts so many runs of both, in turns (needs `make setup`)

The start of a run is the time from the container's creation to the trainer's start: verify and prepare, with two repositories and LFS.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path

from e2e import scenario
from e2e.cases import Values, custom
from e2e.node import in_node
from e2e.runs import uninstall, value_files
from e2e.scenario import ROOT, World
from trainchart.chart.families import family_names

ROUNDS = 20
HELMS = ("helm", "helm3")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision")
    parser.add_argument("--runs", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder, "before")
        archive = subprocess.run(
            ["git", "archive", arguments.revision, "charts", "values"], cwd=ROOT, stdout=subprocess.PIPE, check=True
        )
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
            tar.extractall(before, filter="data")
        print(f"milliseconds, median of {ROUNDS} renders in turns   {arguments.revision:>10}      today   ratio")
        for helm in HELMS:
            alone = [schema_alone(helm, tree, Path(folder, name)) for name, tree in (("old", before), ("new", ROOT))]
            tell(f"{helm} template, the schema alone", in_turns(alone, ROUNDS), 1000)
            for family in sorted(family_names()):
                works = [template(helm, tree, family) for tree in (before, ROOT)]
                tell(f"{helm} template, {family}", in_turns(works, ROUNDS), 1000)
        if arguments.runs:
            world = scenario.ensure([custom.CASE])
            print(
                f"\nseconds, median of {arguments.runs} starts in turns        {arguments.revision:>10}      today   ratio"
            )
            starts: list[list[float]] = [[], []]
            for number in range(arguments.runs):
                for which, tree in enumerate((before, ROOT)):
                    starts[which].append(start(world, tree / "charts/train", f"start-{which}-{number}-e2ebench"))
            tell("container to trainer", starts, 1)
    return 0


def template(helm: str, tree: Path, family: str) -> Callable[[], None]:
    command = [helm, "template", "run-42", str(tree / "charts/train"), "-f", str(tree / f"values/{family}.yaml")]

    def work() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    return work


def schema_alone(helm: str, tree: Path, chart: Path) -> Callable[[], None]:
    """Render a chart that has the schema and the defaults of the other one, and no template."""
    chart.mkdir(exist_ok=True)
    for name in ("values.schema.json", "values.yaml"):
        shutil.copyfile(tree / "charts/train" / name, chart / name)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: train\nversion: 0.1.0\n", encoding="utf-8")
    command = [helm, "template", "run-42", str(chart), "-f", str(tree / "values/yolov5.yaml")]

    def work() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    return work


def in_turns(works: Sequence[Callable[[], None]], rounds: int) -> list[list[float]]:
    """Seconds of each, so that whatever else the machine does falls on all."""
    taken: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for times, work in zip(taken, works, strict=True):
            begin = time.perf_counter()
            work()
            times.append(time.perf_counter() - begin)
    return taken


def tell(what: str, taken: Sequence[Sequence[float]], scale: float) -> None:
    before, today = (statistics.median(times) * scale for times in taken)
    print(f"{what:46} {before:12.2f} {today:10.2f} {today / before:7.2f}", flush=True)


def start(world: World, chart: Path, name: str) -> float:
    """Seconds from the creation of the container of a run to the first line of its trainer."""
    kube, values = world.submitter, {"publish": {"type": "none"}, "workspace": {"type": "newClaim", "size": "64Mi"}}
    overlay: Values = dict(values)
    files = [word for file in value_files("custom") for word in ("-f", str(ROOT / file))]
    kube.helm("install", name, str(chart), *files, "-f", "-", text=json.dumps(overlay))
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            code, log = kube.call("kubectl", "-n", kube.namespace, "logs", "--timestamps", f"{name}-train-0")
            lines = [line for line in log.splitlines() if " descend: rank" in line]
            if code == 0 and lines:
                return moment(lines[0].split()[0]) - started(kube.pods(name)[0]["status"])
            time.sleep(0.3)
        raise TimeoutError(f"{name} did not come to train")
    finally:
        uninstall(kube, [name])


def started(status: Values) -> float:
    """When the container runtime made the container, more finely than the API tells."""
    container = status["containerStatuses"][0]["containerID"].partition("://")[2]
    created = json.loads(in_node("ctr", "--namespace", "k8s.io", "containers", "info", container))["CreatedAt"]
    return moment(created)


def moment(text: str) -> float:
    """Seconds of a timestamp with nanoseconds."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")


if __name__ == "__main__":
    sys.exit(main())
