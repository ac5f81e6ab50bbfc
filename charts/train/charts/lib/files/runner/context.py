"""What one pod knows of its run: settings, identity, folders. The family's hooks get it too."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from .lease import Lease, SharedLease
from .settings import Settings
from .workspace import Workspace

COMMIT = re.compile(r"[0-9a-f]{40}")
_JOB_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


@dataclass(frozen=True)
class Pinned:
    """A source at one commit. `revision` is what was asked for, or the branch that the remote's HEAD names.

    A source that is not git has its location as `repository`, and what identifies its content as `commit` (or nothing).
    """

    repository: str
    revision: str
    commit: str


@dataclass
class Context:
    settings: Settings
    home: Path  # /trainchart: settings.json, runner/, family/
    rank: int  # of the pod among the replicas
    uid: str  # of the Volcano Job: the run's identity
    attempt: int  # 0 at first; Volcano's count of restarts
    own_ip: str
    sources: Dict[str, Pinned] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    stages: Dict[str, float] = field(default_factory=dict)  # seconds of each stage that ended
    master_ip: str = "127.0.0.1"  # of rank 0's pod
    resume_from: Optional[Path] = None  # the checkpoint that rank 0 chose for all ranks
    output_folder: str = "output"  # a trial of a search has its own
    hyperparameters: Dict[str, Any] = field(default_factory=dict)  # of a trial: what is no setting of the family's
    search: Dict[str, Any] = field(default_factory=dict)  # the best trial, for the result
    reports: List[Path] = field(default_factory=list)  # files that go to the artifacts, whatever the family's layout is
    resumed: Dict[str, Any] = field(default_factory=dict)  # the same for the result; empty for a new training
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
            join_seconds, release = settings.topology.join_seconds, settings.run.name
            workspace = context.workspace
            context.lease = SharedLease(workspace, context.uid, context.attempt, release, context.rank, join_seconds)
        return context

    @property
    def environment(self) -> Dict[str, str]:
        """The pod's environment with what the values add to it for the trainer; the runner and git keep to the pod's."""
        return {**os.environ, **self.settings.env}

    @property
    def workspace(self) -> Workspace:
        workspace = self.settings.workspace
        return Workspace(Path(workspace.path) / workspace.directory, workspace.size_bytes)

    @property
    def kept(self) -> Optional[Path]:
        """What stays of this attempt, log and result, where the workspace outlives its pods."""
        if not self.settings.workspace.shared:
            return None
        return self.folder / "logs" / self.uid / f"attempt-{self.attempt}"

    @property
    def train(self) -> Dict[str, Any]:
        return self.settings.train

    @property
    def folder(self) -> Path:
        """The run's own, in the workspace."""
        return self.workspace.root

    @property
    def views_lead_to(self) -> List[Path]:
        """Where the files are that views of sources have links to."""
        beside = [
            self.settings.sources[name] for name in self.settings.family.writes_beside if name in self.settings.sources
        ]
        mounts = [source.mount for source in beside if source.type == "claim"]
        cached = [self.settings.cache.path for source in beside if source.cached and self.settings.cache.path]
        return [Path(folder) for folder in {*mounts, *cached}]

    def check_folder(self) -> None:
        """Before anything is written in it; see Workspace."""
        self.workspace.check_place(Path(self.settings.workspace.path))

    @property
    def master(self) -> str:
        """The name at which ranks meet."""
        return self.settings.topology.service if self.settings.topology.replicas > 1 else "127.0.0.1"

    @property
    def world_size(self) -> int:
        return self.settings.topology.world_size

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
        """Where a source is checked out; a run without that source has an empty place for it."""
        return self.workspace.root / self.settings.source_path(name)
