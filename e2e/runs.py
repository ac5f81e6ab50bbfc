"""The runs of the tests: what each is given, and the releases of one test session."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, reduce
from pathlib import Path

from e2e.cases import QUICK, Case, Values, named, run_name
from e2e.cluster import kind
from e2e.killer import Killer
from e2e.kube import CommandError, KeptLog, Kube, Object, poll, result, terminated, wait_for_end
from e2e.leaks import Found, Processes
from e2e.node import in_node
from e2e.scenario import ROOT, World
from trainchart.chart.families import family_names
from trainchart.chart.paths import CHART
from trainchart.files import overlay

END_SECONDS = 420
MARK = "-e2e"
KINDS = (
    "vcjob",
    "podgroup",
    "pod",
    "service",
    "configmap",
    "serviceaccount",
    "persistentvolumeclaim",
    "networkpolicy",
    "secret",
)
"""Of the objects that a run consists of, Helm's record included."""
WRONG_TOKEN = "0123456789abcdef0123456789abcdef01234567"  # the server knows no such token


def merged(*layers: Values) -> Values:
    return reduce(overlay, layers, {})


@dataclass(frozen=True)
class Run:
    """What a release is made of."""

    case: str
    family: str
    values: Values  # over the family's values files
    reference: str = ""


def catalog(cases: Mapping[str, Case], session: str = "") -> dict[str, Run]:
    """Every run that tests name in their `runs` marks."""
    return {
        run_name(name, run): Run(name, case.family or name, named(dict(values), session), case.reference)
        for name, case in cases.items()
        for run, values in case.runs.items()
    }


def value_files(family: str, reference: str = "") -> list[str]:
    """What a run of the family, or of a reference document, lies over, from the root of the checkout."""
    if family in family_names():
        first = f"tests/references/{reference}/values.yaml" if reference else f"values/{family}.yaml"
        return [first, "values/accelerators/cpu.yaml", f"e2e/values/{family}.yaml"]
    return [f"e2e/families/{family}/values.yaml"]


@dataclass
class Release:
    """One installed run."""

    name: str
    world: World
    notes: str  # what helm printed
    case: str = ""  # of the run that it is made of; empty where a test put it together

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
        ended: Object = poll(lambda: terminated(self.pod(rank)), 90, f"rank {rank} of {self.name} has finished")
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
    cases: Mapping[str, Case]  # of the selected tests
    chart: Path  # with the test family
    folder: Path  # for what is kept of the runs
    processes: Processes  # of all pods since before the first installation
    id: str = field(default_factory=lambda: MARK + secrets.token_hex(2))
    releases: dict[str, Release] = field(default_factory=dict)
    groups: list[Found] = field(default_factory=list)  # PodGroups while they were there
    refused: dict[str, Exception] = field(default_factory=dict)  # runs that could not be installed
    killer: Killer | None = None  # of the run `killed`
    kept_log: KeptLog | None = None  # of rank 0 of the run `rank-fails`
    moved: Moved | None = None  # the branch that the run `happy` trains from

    @cached_property
    def catalog(self) -> dict[str, Run]:
        return catalog(self.cases, self.id)

    def named(self, text: str) -> str:
        """A branch of this session, from its name in a case."""
        return str(named(text, self.id))

    def command(self, run: str, family: str, reference: str = "") -> list[str]:
        chart = CHART if family in family_names() else self.chart
        values = [word for file in value_files(family, reference) for word in ("-f", str(ROOT / file))]
        return [f"{run}{self.id}", str(chart), *values, "-f", "-"]

    def install(self, run: str, *more: Values) -> Release:
        """Installs a run of the catalog, as the submitter."""
        made_of = self.catalog[run]
        return self.install_as(run, made_of.family, merged(made_of.values, *more), made_of.case, made_of.reference)

    def install_as(self, run: str, family: str, values: Values, case: str = "", reference: str = "") -> Release:
        command = self.command(run, family, reference)
        notes = self.world.submitter.helm("install", *command, text=json.dumps(values))
        release = Release(command[0], self.world, notes, case)
        self.releases[run] = release
        return release

    def upgrade(self, run: str, *more: Values, helm: str = "helm", chart: Path | None = None) -> str:
        """The identical release once more, or with other values, or of another chart; installed where its installation
        failed.
        """
        made_of, kube = self.catalog[run], self.world.submitter
        name, own, *values = self.command(run, made_of.family)
        command = [helm, "upgrade", "--install", name, str(chart or own), *values, "-n", kube.namespace]
        return kube.run(*command, text=json.dumps(merged(made_of.values, *more)))

    def install_all(self, runs: Iterable[str]) -> None:
        """Side by side: each installation mostly waits for the API server."""

        with ThreadPoolExecutor(max_workers=3) as pool:
            list(pool.map(self._try, runs))

    def release(self, run: str) -> Release:
        """The release of a run. One of a slow case is installed when it is first asked for, and those of the slow case
        before it are removed: the node has room for one training at a time.
        """
        if run not in self.releases and run not in self.refused:
            self._remove_slow_ones_but(self.catalog[run].case)
            self._try(run)
        if run in self.refused:
            raise self.refused[run]
        return self.releases[run]

    def _try(self, run: str) -> None:
        try:
            self.install(run)
        except CommandError as error:  # only the tests of this run fail
            self.refused[run] = error

    def _remove_slow_ones_but(self, case: str) -> None:
        self.remove(run for run, release in self.releases.items() if release.case not in ("", case, *QUICK))

    def remove(self, runs: Iterable[str]) -> None:
        over = {run: self.releases[run].name for run in runs}
        uninstall(self.world.submitter, over.values())
        remove_workspaces(over.values())
        for run in over:
            del self.releases[run]

    def kept(self) -> list[Found]:
        """The log of a pod that may be gone."""
        return [("kept log", self.kept_log.text())] if self.kept_log else []


def uninstall(kube: Kube, names: Iterable[str]) -> None:
    names = list(names)
    if names:
        kube.helm("uninstall", *names, "--ignore-not-found", timeout=300)


def objects_of(admin: Kube, name: str) -> set[str]:
    """All objects that are named after the release, whoever created them."""
    found = {(kind, item["metadata"]["name"]) for kind in KINDS for item in admin.objects(kind)}
    return {f"{kind}/{item}" for kind, item in found if item.startswith(name) or f".{name}." in item}


def leftovers(kube: Kube) -> list[str]:
    """Releases of test sessions."""
    return [release["name"] for release in json.loads(kube.helm("list", "-o", "json")) if MARK in release["name"]]


def remove_workspaces(releases: Iterable[str] = (f"*{MARK}*",)) -> None:
    """The folders of these releases in the shared volume, or of all test sessions."""
    for release in releases:
        in_node("sh", "-c", f"rm -rf {kind.SHARED}/{release}")
