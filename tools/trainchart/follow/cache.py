"""The cache volume of runs: filled, listed, verified and pruned by a pod that mounts it, and is deleted however that ends.

What happens in the pod is the runner's: `files/features/cache_commands`, which is sent along with it.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from trainchart.chart.paths import LIB
from trainchart.checks.data import check_pod
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster import kinds
from trainchart.cluster.fields import Object, items, mapping, number, parsed, text
from trainchart.cluster.quantities import amounts
from trainchart.errors import ExitCode, UsageError
from trainchart.follow.cache_fill import Filled, FillReport
from trainchart.follow.cache_pod import START_SECONDS, VOLUME, CacheError, CachePod
from trainchart.follow.narrator import Console
from trainchart.run import helper_pod
from trainchart.run.settings import SOURCES, location, settings_of, sources
from trainchart.run.state import PART_OF, snapshot_of

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

NAME = "cache"
"""Of the release that is rendered for the pods, and never installed."""
LOOK_SECONDS = 86400
"""How long a pod may read a volume that nobody waits for any more."""
_ROOT = "/cache"
_PROGRAM = "features.cache_commands"
_FOLDERS = ("runner", "features/cache", "features/cache_commands")
_REQUESTS, _LIMITS = {"cpu": "100m", "memory": "256Mi"}, {"cpu": "2", "memory": "4Gi"}
"""What git and the client of an object store need; a pod gets no more of it than the run itself may have."""


ANY_RUN: Mapping[str, Any] = {
    "family": "custom",
    "accelerator": {"profile": "cpu"},
    "publish": {"type": "none"},
    "workspace": {"type": "newClaim"},
    "train": {"command": ["true"]},
}
"""Values of a run whose pods can look at a claim, but for its image and claim."""


@dataclass(frozen=True)
class Entry:
    """One commit of a source, as the pod has found it."""

    name: str
    type: str
    location: str
    commit: str
    state: str
    """complete, incomplete, damaged, or unchecked where an older chart has filled it."""
    bytes: int
    filled: datetime | None = None
    used: datetime | None = None
    """When a run last began to use it; one that can only read the volume leaves no trace."""
    user: str = ""
    """That run, as namespace/name."""
    in_use: bool | None = None
    """None where that cannot be found out."""
    problem: str = ""
    unread: int = 0
    """Files that have no digest, and were compared by size and time alone."""
    stays: str = ""
    """Why it is not pruned."""


@dataclass(frozen=True)
class Volume:
    """What `cache list` finds."""

    entries: tuple[Entry, ...] = ()
    free: int = 0
    size: int = 0
    leftover: int = 0
    """Bytes of entries whose removal was interrupted."""
    unreadable: int = 0
    """Folders of another user, which may have more entries."""


@dataclass(frozen=True)
class Cache:
    """The volume that a run keeps its sources in."""

    api: Api
    spec: RunSpec
    """Of the run: the pods have its image, account and settings."""
    notify: Callable[[str], None] = lambda _: None
    start_seconds: float = START_SECONDS

    @property
    def claim(self) -> str:
        return text(self.spec.settings, "cache", "claimName")

    def _run(self, pod: Object, config_map: Object, purpose: str, take: Callable[[str], None], *, writes: bool) -> None:
        CachePod(self.api, self.spec, self.notify, self.start_seconds).run(
            pod, config_map, purpose, take, writes=writes
        )

    def fill(self, console: Console) -> list[Filled]:
        """Fetch the sources that the run keeps in the cache, and return them.

        Raises:
            CacheError: with the exit code of the runner.
            ForbiddenError, UnreachableError
        """
        pod, settings = check_pod(self.spec, "fill")
        programs = _programs("features/cache_commands")
        settings["data"] = {**mapping(settings, "data"), **{_key(path): content for path, content in programs.items()}}
        spec, (container,) = pod["spec"], items(pod, "spec", "containers")
        (run,) = (volume["configMap"] for volume in items(spec, "volumes") if volume["name"] == "run")
        run["items"] = [*run["items"], *_items(programs)]
        for holder, key in ((spec, "volumes"), (container, "volumeMounts")):  # sources on claims are not looked at
            holder[key] = [one for one in items(holder, key) if one["name"] not in SOURCES]
        of_run = mapping(self.spec.pod_template, "containers", 0, "resources", "limits")
        container["resources"] = {"requests": _bounded(_REQUESTS, of_run), "limits": _bounded(_LIMITS, of_run)}
        container["command"] = ["python3", "-m", _PROGRAM, "fill"]
        spec["activeDeadlineSeconds"] = number(self.spec.settings, "run", "timeLimitSeconds") or LOOK_SECONDS
        report = FillReport(console, self.spec.settings)
        self._run(pod, settings, "fills the cache", report.take, writes=True)
        return list(report.filled.values())

    def entries(self) -> Volume:
        """Return what the volume has.

        Raises:
            CacheError, ForbiddenError, UnreachableError
        """
        found = self._look("list", {}, lambda _: None)
        last = found[-1]
        entries = tuple(map(_entry, found[:-1]))
        return Volume(entries, *(number(last, what) for what in ("free", "size", "removed", "unreadable")))

    def verify(self, chosen: Sequence[str], show: Callable[[Entry, bool], None]) -> None:
        """Read every file; `show` is given each entry before it is read (True), and with what is wrong with it.

        Raises:
            CacheError, ForbiddenError, UnreachableError
        """

        def take(found: Object) -> None:
            if "entry" in found:
                show(_entry(found), found.get("begins") is True)

        self._look("verify", {"names": list(chosen)}, take)

    def prune(
        self,
        chosen: Sequence[str],
        show: Callable[[Entry], None],
        *,
        unused_seconds: float | None = None,
        keep: int | None = None,
        dry_run: bool = False,
    ) -> int:
        """Remove entries that no run uses; `show` is given each that is chosen. Returns the bytes that are free then.

        Args:
            chosen: names or commits of entries. Without them, one of the next two says which are removed.
            show: `stays` of the entry says why it is not removed.
            unused_seconds: how long an entry stays after its last use.
            keep: how many entries of each source stay, the last used ones.
            dry_run: remove nothing.

        Raises:
            UsageError: nothing, or too much, says which are removed.
            CacheError, ForbiddenError, UnreachableError
        """
        if chosen and (unused_seconds is not None or keep is not None):
            raise UsageError(
                "cache prune: an age (--older-than) or a number to keep (--keep) chooses among all entries; leave it out, or name no entry"
            )
        if not chosen and unused_seconds is None and keep is None:
            raise UsageError(
                "cache prune: nothing says what to remove; name entries, or give an age (--older-than 30d) or a number to keep (--keep 1)"
            )
        options = {
            "names": list(chosen),
            "unused_seconds": unused_seconds or 0.0,
            "keep": keep or 0,
            "wanted": wanted(self.api, self.claim),
            "dry_run": dry_run,
        }
        found = self._look("prune", options, lambda one: show(_entry(one)) if "entry" in one else None)
        return number(found[-1], "free")

    def _look(self, action: str, options: Mapping[str, Any], take: Callable[[Object], None]) -> list[Object]:
        """Run an action that prints objects, give each to `take`, and return all."""
        pod, programs = self._pod(action, json.dumps({"root": _ROOT, **options}))
        found: list[Object] = []

        def read(line: str) -> None:
            if one := parsed(line) if line.startswith("{") else {}:
                found.append(one)
                take(one)

        purposes = {"list": "lists the cache", "verify": "verifies the cache", "prune": "prunes the cache"}
        self._run(pod, programs, purposes[action], read, writes=action == "prune")
        if not found or found[-1].get("done") != action:
            raise CacheError("the log of the pod was not read to its end; try again")
        if unknown := text(found[-1], "unknown"):
            raise CacheError(f"{unknown}; `trainchart cache list -o name` lists what it has", ExitCode.NOT_FOUND)
        return found

    def _pod(self, action: str, options: str) -> tuple[Object, Object]:
        """A pod that mounts the claim alone, and the ConfigMap with its programs."""
        command = ["python3", "-m", _PROGRAM, action, options]
        pod = helper_pod.pod(snapshot_of(self.spec.job, []), action, command)
        spec = pod["spec"]
        if not self.spec.account:
            spec["serviceAccountName"] = "default"  # the run's own does not exist
        programs = _programs(*_FOLDERS)
        name = text(pod, "metadata", "name")
        spec["activeDeadlineSeconds"] = LOOK_SECONDS
        spec["containers"][0].update(
            workingDir="/trainchart",
            resources={"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
            volumeMounts=[
                {"name": "run", "mountPath": "/trainchart", "readOnly": True},
                {"name": VOLUME, "mountPath": _ROOT},
            ],
        )
        spec["volumes"] = [
            {"name": "run", "configMap": {"name": name, "items": _items(programs)}},
            {"name": VOLUME, "persistentVolumeClaim": {"claimName": self.claim}},
        ]
        data = {_key(path): content for path, content in programs.items()}
        return pod, {"metadata": {"name": name, "labels": pod["metadata"]["labels"]}, "data": data}


def fetching_alone(values: Mapping[str, Any]) -> dict[str, Any]:
    """What replaces parts of the values of a run, so that a pod that fills the cache may write it, and has no Secret but those of
    its sources.
    """
    return {
        "cache": {"claimName": values["cache"]["claimName"]},
        "publish": {"type": "none"},
        "workspace": {"type": "newClaim"},  # which no pod mounts
        **{key: {} for key in ("mlflow", "tune", "secretEnv", "secretFiles", "owner")},
        "volumes": [],
        "holdAfterFailure": "",
    }


def check_values(spec: RunSpec, *, fills: bool) -> None:
    """Raises UsageError: the run has no cache, or nothing to keep in it."""
    found = sources(spec.settings)
    if fills and not any(source.get("cached") for source in found.values()):
        keys = " or ".join(f"{name}.cached" for name, source in found.items() if source.get("type") != "claim")
        what = f"set {keys}: true for what is to be kept" if keys else "it fetches no source"
        raise UsageError(f"cache fill: the run keeps nothing in a cache; {what}, and cache.claimName")
    if not text(spec.settings, "cache", "claimName"):
        raise UsageError(
            "cache.claimName is empty: the run has no cache; set it to a PersistentVolumeClaim, or name that by --claim"
        )


def wanted(api: Api, claim: str) -> list[Object]:
    """Return what runs of the namespace that have not finished need of a cache: for the pod that prunes it.

    Raises:
        ForbiddenError, UnreachableError
    """
    jobs, _ = api.objects(kinds.JOBS, selector=PART_OF)
    found: list[Object] = []
    for run in (snapshot_of(job, []) for job in jobs):
        settings = settings_of(api, run.name) if not run.has_finished else {}
        if text(settings, "cache", "claimName") != claim:
            continue
        for source in sources(settings).values():
            if source.get("cached"):
                revision = text(source, "revision")
                commit = revision if re.fullmatch("[0-9a-f]{40}", revision) else ""
                found.append(
                    {
                        "location": location(source),
                        "commit": commit,
                        "run": f"{run.namespace or api.namespace}/{run.name}",
                    }
                )
    return found


def _entry(found: Object) -> Entry:
    return Entry(
        name=text(found, "entry"),
        type=text(found, "type"),
        location=text(found, "location"),
        commit=text(found, "commit"),
        state=text(found, "state"),
        bytes=number(found, "bytes"),
        filled=_moment(found.get("filled")),
        used=_moment(found.get("used")),
        user=text(found, "user"),
        in_use=found.get("inUse"),
        problem=text(found, "problem"),
        unread=number(found, "unread"),
        stays=text(found, "stays"),
    )


def _moment(seconds: object) -> datetime | None:
    with contextlib.suppress(ValueError, OverflowError, OSError):  # a clock may have been anywhere
        return datetime.fromtimestamp(seconds, timezone.utc) if isinstance(seconds, int | float) else None
    return None


def _programs(*folders: str) -> dict[str, str]:
    """The in-pod programs of folders of the chart, by their paths below /trainchart."""
    files = LIB / "files"
    paths = [
        path for folder in folders for path in sorted((files / folder).iterdir()) if path.suffix in (".py", ".json")
    ]
    if "features/cache" in folders:  # the rest is a run's
        paths.append(files / "features" / "__init__.py")
    return {str(path.relative_to(files)): path.read_text(encoding="utf-8") for path in paths}


def _key(path: str) -> str:
    """The key of a ConfigMap, which cannot hold a slash, as the chart writes it."""
    return path.replace("/", ".")


def _items(programs: Iterable[str]) -> list[Object]:
    return [{"key": _key(path), "path": path} for path in programs]


def _bounded(wanted: Mapping[str, str], bounds: Mapping[str, Any]) -> dict[str, str]:
    """Quantities, and in place of each that passes its bound the bound."""
    there, most = amounts(wanted), amounts(bounds)
    return {name: str(bounds[name]) if most.get(name, there[name]) < there[name] else wanted[name] for name in wanted}
