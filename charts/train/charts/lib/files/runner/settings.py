"""settings.json as typed, validated data. What is wrong is said with the key it stands at."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Dict, List, NoReturn, Tuple
from urllib.parse import urlsplit

from .errors import RunnerError

VERSION = 1
# What the runner itself writes in the run's folder; the chart's rules read the same list.
OWN_FOLDERS = frozenset(json.loads((Path(__file__).parent / "folders.json").read_text(encoding="utf-8"))["own"])
_BRANCH_ILLEGAL = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|^[-/.]|[/.]$|^@$|^HEAD$")


@dataclass(frozen=True)
class RunSettings:
    name: str
    time_limit_seconds: int


@dataclass(frozen=True)
class Family:
    name: str
    framework: str
    task: str
    launcher: str  # "torchrun" or "python"
    features: List[str] = field(default_factory=list)  # folders of features/ whose probes are the family's too
    libraries: List[str] = field(default_factory=list)  # what the image's Python must have
    # Sources that its trainer writes beside, with patterns of the files in them that it must have as copies.
    writes_beside: Dict[str, List[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkspaceSettings:
    path: str
    directory: str
    shared: bool
    size_bytes: int  # of an emptyDir; 0: as much as the disk has


@dataclass(frozen=True)
class GitCredentials:
    """What a repository is asked for with. It answers for the scheme, host and port of that repository alone."""

    folder: str  # where the Secret is mounted; "" for none
    secret: str  # its name; "" for none
    key: str  # of the values that names it, or could: git.secretName or that of the repository's own section

    def __str__(self) -> str:
        return f"{self.key} {self.secret}"


@dataclass(frozen=True)
class GitSettings:
    user_key: str
    token_key: str
    ca_bundle: str
    allow_plain_http: bool
    credentials: Dict[str, GitCredentials]  # by the section of the values that names the repository


@dataclass(frozen=True)
class Source:
    """Where model or dataset comes from; which of the keys have a meaning depends on the type."""

    type: str  # "git", "claim" or "s3"
    path: str  # where it lies in the run's folder
    cached: bool = False  # kept in the cache volume for later runs
    repository: str = ""  # git
    revision: str = ""
    claim: str = ""  # claim: its name, for people
    mount: str = ""  # where the pod has it
    endpoint: str = ""  # s3
    bucket: str = ""
    prefix: str = ""
    region: str = ""
    credentials: str = ""  # folder of the mounted secret; "" for none
    access_key_key: str = ""
    secret_key_key: str = ""
    secret_name: str = ""

    @property
    def location(self) -> str:
        """What it is, in one word for logs and the result."""
        if self.type == "s3":
            return f"{self.endpoint}/{self.bucket}/{self.prefix}".rstrip("/")
        return f"claim:{self.claim}" if self.type == "claim" else self.repository


@dataclass(frozen=True)
class Cache:
    path: str  # "" for none
    read_only: bool = False


@dataclass(frozen=True)
class Mlflow:
    tracking_uri: str  # "" for none
    experiment: str = ""
    credentials: str = ""  # folder of the mounted secret; "" for none
    token_key: str = ""
    user_key: str = ""
    password_key: str = ""
    secret_name: str = ""
    allow_plain_http: bool = False


@dataclass(frozen=True)
class Tune:
    trials: int  # 0: no search, one training
    metric: str = ""
    goal: str = "maximize"
    grace_period: int = 0  # epochs before a trial may be given up; 0: never
    failure_limit: int = 0
    seed: int = 0  # 0: another search every time
    space: Dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Accelerator:
    profile: str
    backend: str
    count: int


@dataclass(frozen=True)
class Topology:
    replicas: int
    processes: int
    service: str
    port: int
    join_seconds: int
    peer_grace_seconds: int

    @property
    def world_size(self) -> int:
        return self.replicas * self.processes


@dataclass(frozen=True)
class Publish:
    type: str  # "git" or "none"
    model_name: str
    max_batch_size: int
    repository: str = ""
    branch: str = ""
    patience_seconds: int = 0  # how long publish goes on trying


@dataclass(frozen=True)
class Settings:
    version: int
    run: RunSettings
    family: Family
    workspace: WorkspaceSettings
    git: GitSettings
    sources: Dict[str, Source]
    cache: Cache
    mlflow: Mlflow
    env: Dict[str, str]  # of the trainer's processes; neither the runner nor git has it
    image: str
    accelerator: Accelerator
    shared_memory_bytes: int
    topology: Topology
    train: Dict[str, Any]
    tune: Tune
    publish: Publish

    def source_path(self, name: str) -> str:
        """Where a source lies in the run's folder; a run without that source has an empty place for it."""
        return self.sources[name].path if name in self.sources else name

    def repositories(self) -> List[Tuple[str, str]]:
        """Every repository of the run with the values key that names it."""
        found = [
            (f"{name}.repository", source.repository) for name, source in self.sources.items() if source.type == "git"
        ]
        if self.publish.type == "git":
            found.append(("publish.repository", self.publish.repository))
        return found


def load(path: Path) -> Settings:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunnerError(
            "settings-invalid", f"{path} cannot be read: {error}", "install the chart again; the ConfigMap is not whole"
        ) from error
    settings: Settings = _decode(Settings, data, "")
    _validate(settings)
    return settings


def _decode(kind: Any, data: Any, key: str) -> Any:
    """`data` as `kind`: a dataclass, Dict[str, X] or a plain type. Closed: unknown and missing keys are errors."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        _expect(isinstance(data, dict), key, "must be an object")
        hints = typing.get_type_hints(kind)
        fields = {_camel(field.name): field for field in dataclasses.fields(kind)}
        required = {
            name
            for name, field in fields.items()
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        }
        prefix = f"{key}." if key else ""
        for name in sorted(required - set(data)):
            _invalid(prefix + name, "is missing")
        for name in sorted(set(data) - set(fields)):
            _invalid(prefix + name, "is not known to this runner")
        return kind(
            **{fields[name].name: _decode(hints[fields[name].name], data[name], prefix + name) for name in data}
        )
    if typing.get_origin(kind) is dict:
        _expect(isinstance(data, dict), key, "must be an object")
        return {name: _decode(typing.get_args(kind)[1], value, f"{key}.{name}") for name, value in data.items()}
    if typing.get_origin(kind) is list:
        _expect(isinstance(data, list), key, "must be a list")
        return [_decode(typing.get_args(kind)[0], value, f"{key}[{index}]") for index, value in enumerate(data)]
    if kind is not Any:
        # bool is a subclass of int: compare the types themselves. Helm writes large integers as 2.592e+06.
        if kind is int and type(data) is float and data.is_integer():
            return int(data)
        _expect(type(data) is kind, key, f"must be of type {kind.__name__}")
    return data


def _validate(settings: Settings) -> None:
    _expect(settings.version == VERSION, "version", f"must be {VERSION}")
    _expect(settings.family.launcher in ("python", "torchrun"), "family.launcher", "must be python or torchrun")
    _expect(settings.tune.goal in ("maximize", "minimize"), "tune.goal", "must be maximize or minimize")
    _expect(settings.publish.type in ("git", "none"), "publish.type", "must be git or none")
    for key, number in (("replicas", settings.topology.replicas), ("processes", settings.topology.processes)):
        _expect(number >= 1, f"topology.{key}", "must be at least 1")
    _expect(0 < settings.topology.port < 65535, "topology.port", "must be between 1 and 65534")
    _expect(Path(settings.workspace.path).is_absolute(), "workspace.path", "must be an absolute path")
    _expect(_is_inside(settings.workspace.directory), "workspace.directory", "must be a relative path without '..'")
    for name, source in settings.sources.items():
        _expect(source.type in ("git", "claim", "s3"), f"sources.{name}.type", "must be git, claim or s3")
        _expect(
            not re.search(r"^-|[\x00-\x20]", source.revision),
            f"{name}.revision",
            "must be a branch, a tag or a full commit",
        )
    _check_folders(settings)
    for key, url in settings.repositories():
        _check_url(key, url, settings.git.allow_plain_http, "git.allowPlainHttp")
        _expect(bool(urlsplit(url).path.strip("/")), key, "must name a repository")
        section = key.partition(".")[0]
        _expect(section in settings.git.credentials, f"git.credentials.{section}", "is missing")
    for name, source in settings.sources.items():
        if source.type == "s3":  # signed requests do not carry the key
            _check_url(f"{name}.endpoint", source.endpoint, True, "")
    mlflow = settings.mlflow
    if mlflow.tracking_uri:
        plain = mlflow.allow_plain_http or not mlflow.credentials
        _check_url("mlflow.trackingUri", mlflow.tracking_uri, plain, "mlflow.allowPlainHttp")
    branch = settings.publish.branch
    _expect(not branch or not _BRANCH_ILLEGAL.search(branch), "publish.branch", "is not a branch name that git accepts")
    # The server keeps each part as a file name, and beside it a lock with `.lock` behind.
    longest = max(len(part.encode("utf-8", "replace")) for part in branch.split("/"))
    _expect(longest <= 250, "publish.branch", "has a part of more than 250 bytes, which no git server can keep")


def _check_url(key: str, url: str, allow_plain_http: bool, allowed_by: str) -> None:
    """The URL itself never appears in a message: it may hold a password."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (raises ValueError when it is not a number)
    except ValueError:
        _invalid(key, "is not a URL")
    _expect("@" not in parts.netloc, key, "must not hold a user or password; they come from a Secret")
    _expect(not re.search(r"[?#]", url), key, "must not hold a query or fragment; a token comes from a Secret")
    _expect(not re.search(r"[\x00-\x20]", url), key, "must not hold blanks")
    _expect(
        parts.scheme == "https" or (parts.scheme == "http" and allow_plain_http),
        key,
        "must start with https://" + (f" (http:// only with {allowed_by})" if allowed_by else " or http://"),
    )
    _expect(bool(parts.hostname), key, "must name a host")


def _check_folders(settings: Settings) -> None:
    """Each source in a folder of its own, apart from what the runner itself writes. Some file systems know no case."""
    places = {name: settings.source_path(name) for name in sorted({"model", "dataset", *settings.sources})}
    taken: Dict[str, Tuple[str, ...]] = {}
    for name, path in places.items():
        _expect(_is_inside(path), f"{name}.path", "must be a relative path without '..'")
        parts = tuple(part.lower() for part in PurePosixPath(path).parts)
        _expect(parts[0] not in OWN_FOLDERS, f"{name}.path", f"{path!r} is in {parts[0]}, which the run itself writes")
        _expect(".git" not in parts, f"{name}.path", f"{path!r} has a part .git, which git would take for a repository")
        for other, there in taken.items():
            shorter = min(len(parts), len(there))
            apart = parts[:shorter] != there[:shorter]
            _expect(apart, f"{name}.path", f"{path!r} and {other}.path {places[other]!r} overlap")
        taken[name] = parts


def _is_inside(path: str) -> bool:
    pure = PurePosixPath(path)
    return bool(pure.parts) and not pure.is_absolute() and ".." not in pure.parts and "\x00" not in path


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _expect(condition: bool, key: str, problem: str) -> None:
    if not condition:
        _invalid(key, problem)


def _invalid(key: str, problem: str) -> NoReturn:
    raise RunnerError(
        "settings-invalid",
        f"{key or 'settings.json'} {problem}",
        f"correct {key or 'the settings'} in the values file and install again",
    )
