"""The runs of the tests: what each is given, and the releases of one test session."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from e2e import scenario
from e2e.cluster import kind
from e2e.gitserver.client import connect
from e2e.killer import Killer
from e2e.kube import CommandError, KeptLog, Kube, Object, poll, result, terminated, wait_for_end
from e2e.leaks import Found, Processes
from e2e.node import in_node
from e2e.scenario import ROOT, World
from trainchart.files import overlay

END_SECONDS = 420
MARK = "-e2e"
ALLREDUCE_REPOSITORY = "allreduce-results"
KILLED_REPOSITORY = "killed-results"  # there is to be one branch in it
WRONG_TOKEN = "0123456789abcdef0123456789abcdef01234567"  # the server knows no such token

Values = dict[str, Any]

SHARED: Values = {"workspace": {"type": "existingClaim", "claimName": scenario.CLAIM, "accessMode": "ReadWriteMany"}}
RESOURCES: Values = {"resources": {"requests": {"cpu": "50m", "memory": "256Mi"}}}


def merged(*layers: Values) -> Values:
    return reduce(overlay, layers, {})


def yolov5(*layers: Values) -> tuple[str, Values]:
    return "yolov5", merged(RESOURCES, *layers)


def allreduce(*layers: Values) -> tuple[str, Values]:
    return "allreduce", merged(*layers)


def catalog(session: str) -> dict[str, tuple[str, Values]]:
    """Every run that tests name in their `runs` marks: its family, and what it lays over that family's values file."""
    one: Values = {"replicas": 1}
    return {
        "happy": yolov5(SHARED, {"model": {"revision": moving_branch(session)}}),
        "gang": allreduce({"replicas": 2, "publish": {"branch": f"gang{session}"}}),
        "gang-shared": allreduce(SHARED, {"replicas": 2, "publish": {"branch": f"gang-shared{session}"}}),
        "wrong-token": yolov5({"git": {"secretName": "wrong-token"}}),
        "read-only-token": yolov5({"git": {"secretName": "read-only-token"}}),
        "missing-revision": yolov5({"model": {"revision": "no-such-branch"}}),
        "missing-folder": yolov5({"dataset": {"revision": "without-images"}}),
        "failing-trainer": yolov5({"train": {"weights": "data/shapes.yaml"}}),
        "protected": allreduce(SHARED, one, {"publish": {"branch": protected_branch(session)}}),
        "rank-fails": allreduce({"replicas": 2, "retries": 2, "train": {"failRank": 1}}),
        "killed": allreduce(one, {"retries": 1, "publish": {"repository": _inside(KILLED_REPOSITORY)}}),
        "too-large": allreduce(one, {"resources": {"requests": {"cpu": "64"}, "limits": {"cpu": "64"}}}),
        "lifecycle": allreduce(one, {"workspace": {"type": "newClaim", "size": "64Mi"}, "publish": {"type": "none"}}),
    }


def moving_branch(session: str) -> str:
    return f"moving{session}"


def protected_branch(session: str) -> str:
    return f"protected{session}"


def _inside(repository: str) -> str:
    return connect().clone_url(scenario.TEAM, repository, inside=True)


@dataclass
class Release:
    """One installed run."""

    name: str
    world: World
    notes: str  # what helm printed

    @property
    def kube(self) -> Kube:
        return self.world.submitter

    def end(self, seconds: float = END_SECONDS) -> str:
        return wait_for_end(self.kube, self.name, seconds)

    def job(self) -> Object:
        job = self.kube.get("vcjob", self.name)
        assert job, f"there is no Job {self.name}"
        return job

    def pod(self, rank: int = 0) -> Object:
        pod = self.kube.get("pod", f"{self.name}-train-{rank}")
        assert pod, f"rank {rank} of {self.name} has no pod (any more)"
        return pod

    def exit_code(self, rank: int = 0) -> int:
        """The code of the rank's container, which may end a moment after the Job's phase is known."""
        ended: Object = poll(lambda: terminated(self.pod(rank)), 90, f"rank {rank} of {self.name} has ended")
        return int(ended["exitCode"])

    def result(self, rank: int = 0) -> Object:
        self.exit_code(rank)
        return result(self.pod(rank))

    def message(self, rank: int = 0) -> str:
        self.exit_code(rank)
        return str((terminated(self.pod(rank)) or {}).get("message", ""))

    def log(self, rank: int = 0) -> str:
        return self.kube.log(f"{self.name}-train-{rank}")

    def wait_for_log(self, text: str, seconds: float = END_SECONDS, rank: int = 0) -> None:
        pod = f"{self.name}-train-{rank}"

        def says() -> bool:
            code, output = self.kube.call("kubectl", "-n", self.kube.namespace, "logs", pod)
            return code == 0 and text in output

        poll(says, seconds, f"{pod} logs {text!r}")


@dataclass(frozen=True)
class Moved:
    """A branch that somebody pushed to while a run was training from it."""

    before: str
    after: str
    phase: str  # of the run, after the push


@dataclass
class Session:
    """The releases of one test session; their names end alike, so that they can be told from anybody else's."""

    world: World
    chart: Path  # with the test family
    processes: Processes  # of all pods since before the first installation
    id: str = field(default_factory=lambda: MARK + secrets.token_hex(2))
    releases: dict[str, Release] = field(default_factory=dict)
    groups: list[Found] = field(default_factory=list)  # PodGroups while they were there
    refused: dict[str, Exception] = field(default_factory=dict)  # runs that could not be installed
    killer: Killer | None = None  # of the run `killed`
    kept_log: KeptLog | None = None  # of rank 0 of the run `rank-fails`
    moved: Moved | None = None  # the branch that the run `happy` trains from

    def command(self, run: str, family: str) -> list[str]:
        if family == "yolov5":
            chart, files = (
                ROOT / "charts" / "train",
                ["values/yolov5.yaml", "values/accelerators/cpu.yaml", "e2e/values/yolov5.yaml"],
            )
        else:
            chart, files = self.chart, ["e2e/families/allreduce/values.yaml"]
        values = [word for file in files for word in ("-f", str(ROOT / file))]
        return [f"{run}{self.id}", str(chart), *values, "-f", "-"]

    def install(self, run: str, *more: Values) -> Release:
        """Installs a run of the catalog, as the submitter."""
        family, values = catalog(self.id)[run]
        return self.install_as(run, family, merged(values, *more))

    def install_as(self, run: str, family: str, values: Values) -> Release:
        command = self.command(run, family)
        notes = self.world.submitter.helm("install", *command, text=json.dumps(values))
        release = Release(command[0], self.world, notes)
        self.releases[run] = release
        return release

    def upgrade(self, run: str) -> str:
        """The identical release once more."""
        family, values = catalog(self.id)[run]
        return self.world.submitter.helm("upgrade", *self.command(run, family), text=json.dumps(values))

    def install_all(self, runs: Iterable[str]) -> None:
        """Side by side: each installation mostly waits for the API server."""

        def install(run: str) -> None:
            try:
                self.install(run)
            except CommandError as error:  # the tests of this run fail by it, the others go on
                self.refused[run] = error

        with ThreadPoolExecutor(max_workers=3) as pool:
            list(pool.map(install, runs))

    def release(self, run: str) -> Release:
        if run in self.refused:
            raise self.refused[run]
        return self.releases[run]

    def kept(self) -> list[Found]:
        """The log of a pod that may be gone."""
        return [("kept log", self.kept_log.text())] if self.kept_log else []


def uninstall(kube: Kube, names: Iterable[str]) -> None:
    names = list(names)
    if names:
        kube.helm("uninstall", *names, "--ignore-not-found", timeout=300)


def leftovers(kube: Kube) -> list[str]:
    """Releases of test sessions."""
    return [release["name"] for release in json.loads(kube.helm("list", "-o", "json")) if MARK in release["name"]]


def remove_workspaces() -> None:
    in_node("sh", "-c", f"rm -rf {kind.SHARED}/*{MARK}*")
