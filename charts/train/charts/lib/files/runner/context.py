"""What one pod knows about its run: settings, identity, folders. It is passed to the family's hooks."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from . import network
from .lease import Lease, SharedLease
from .settings import Settings
from .workspace import Workspace

COMMIT = re.compile(r"[0-9a-f]{40}")
_JOB_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


@dataclass(frozen=True)
class Pinned:
    """A source at one commit. `revision` is the requested one, or the branch of the remote's HEAD.

    For a source that is not git, `repository` is its location, and `commit` identifies its content (or is empty).
    """

    repository: str
    revision: str
    commit: str


@dataclass
class Context:
    settings: Settings
    home: Path  # /trainchart: settings.json, pod.json, runner/, family/
    rank: int  # of this pod among the replicas
    uid: str  # of the Volcano Job; identifies the run
    attempt: int  # Volcano's count of restarts, from 0
    own_ip: str
    sources: Dict[str, Pinned] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    stages: Dict[str, float] = field(default_factory=dict)  # seconds that each completed stage took
    master_ip: str = "127.0.0.1"  # of rank 0's pod
    resume_from: Optional[Path] = None  # the checkpoint that rank 0 chose for all ranks
    output_folder: str = "output"  # a trial of a search has its own
    # Of a trial: parameters that are not settings of the family.
    hyperparameters: Dict[str, Any] = field(default_factory=dict)
    search: Dict[str, Any] = field(default_factory=dict)  # the best trial, for the result
    reports: List[Path] = field(default_factory=list)  # more files for the artifacts, whatever the family's layout
    # The chosen checkpoint, for the result; empty for a new training.
    resumed: Dict[str, Any] = field(default_factory=dict)
    dataset_parts: List[Dict[str, Any]] = field(default_factory=list)  # which records the trainer uses, for the result
    described: Dict[str, Any] = field(default_factory=dict)  # `data` of the dataset probe's answer, for the hooks
    lease: Lease = field(default_factory=Lease)  # of the run's folder

    @classmethod
    def create(cls, settings: Settings, home: Path, environment: Mapping[str, str]) -> Context:
        group = environment.get("JOB_GROUP", "")
        uid = _JOB_UID.search(group)
        context = cls(
            settings=settings,
            home=home,
            rank=int(environment.get("VC_TASK_INDEX") or 0),
            uid=uid.group() if uid else group or settings.run.name,
            attempt=int(environment.get("JOB_ATTEMPT") or 0),
            own_ip=environment.get("POD_IP", ""),
        )
        if settings.workspace.shared:
            join_seconds, release = settings.pod.join_seconds, settings.run.name
            workspace = context.workspace
            context.lease = SharedLease(workspace, context.uid, context.attempt, release, context.rank, join_seconds)
        return context

    @property
    def environment(self) -> Dict[str, str]:
        """The trainer's environment: the pod's, and the values' `env`, which the runner and git do not get.

        With `caBundle`, OpenSSL and Python's requests, which brings authorities of its own, trust what the runner does.
        """
        joined = network.joined_bundle(self.settings.ca_file)
        trusted = {"SSL_CERT_FILE": joined, "REQUESTS_CA_BUNDLE": joined} if joined else {}
        return {**os.environ, **trusted, **self.settings.env}

    @property
    def workspace(self) -> Workspace:
        settings = self.settings
        return Workspace(Path(settings.pod.mounts["workspace"]) / settings.directory, settings.run.workspace_bytes)

    @property
    def kept(self) -> Optional[Path]:
        """The folder for this attempt's log and result; None if the workspace does not outlive its pods."""
        if not self.settings.workspace.shared:
            return None
        return self.folder / "logs" / self.uid / f"attempt-{self.attempt}"

    @property
    def train(self) -> Dict[str, Any]:
        return self.settings.train

    @property
    def folder(self) -> Path:
        """The run's folder in the workspace."""
        return self.workspace.root

    @property
    def view_targets(self) -> List[Path]:
        """The folders that the links in views of sources lead to."""
        settings = self.settings
        written = {name: one for name, one in settings.sources.items() if name in settings.run.family.writes_beside}
        mounts = [settings.mount(name) for name, source in written.items() if source.type == "claim"]
        cached = [settings.cache_folder for source in written.values() if source.cached and settings.cache_folder]
        return [Path(folder) for folder in {*mounts, *cached}]

    def check_folder(self) -> None:
        """Call it before writing to the folder. Raises RunnerError; see Workspace.check_location."""
        self.workspace.check_location(Path(self.settings.pod.mounts["workspace"]))

    @property
    def master(self) -> str:
        """The host name for the rendezvous of the ranks."""
        return self.settings.run.service if self.settings.replicas > 1 else "127.0.0.1"

    @property
    def world_size(self) -> int:
        return self.settings.world_size

    @property
    def model(self) -> Path:
        return self.source_path("model")

    @property
    def dataset(self) -> Path:
        return self.source_path("dataset")

    @property
    def output(self) -> Path:
        return self.workspace.root / self.output_folder

    @property
    def artifacts(self) -> Path:
        return self.workspace.root / "artifacts"

    def source_path(self, name: str) -> Path:
        """Where a source lies; for a source that the run does not have, a path where nothing is."""
        return self.workspace.root / self.settings.source_path(name)
