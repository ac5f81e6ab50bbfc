"""settings.json as typed, validated data: what the runner reads of the effective values, and what the chart adds to them.

A class has the keys that the runner reads, and no others: the rest of the values is for the chart alone.
"""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Dict, List, NoReturn, Tuple, Union
from urllib.parse import urlsplit

from .errors import RunnerError

VERSION = 2
# The chart has the same rules (templates/rules/_sources.tpl, _credentials.tpl), in its own dialect of regular expressions.
_REF_ILLEGAL = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|^[-/.]|[/.]$|^@$")
_BRANCH = re.compile(r"[A-Za-z0-9][-A-Za-z0-9._/]{0,199}")
_FOLDER = re.compile(r"(?=.{1,200}$)[A-Za-z0-9_][-A-Za-z0-9._]*(/[A-Za-z0-9_][-A-Za-z0-9._]*)*")
_PORT = r"[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_GROUPS = r"([0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4}){0,6})"
_ADDRESS = rf"\[([0-9A-Fa-f]{{1,4}}(:[0-9A-Fa-f]{{1,4}}){{7}}|{_GROUPS}?::{_GROUPS}?)\]"
_URL = re.compile(rf"https?://([\w.-]+|{_ADDRESS})(:({_PORT}))?(/|$)")
_SSH_SERVER = rf"[A-Za-z0-9_][A-Za-z0-9._+-]*@([A-Za-z0-9][A-Za-z0-9._-]*|{_ADDRESS})"
_SSH = re.compile(rf"(ssh://{_SSH_SERVER}(:({_PORT}))?/+|{_SSH_SERVER}:/*)~?[\w.@][\w.~%+=,@/()-]*")
_CONFIGURED_BY = {"git": "repository", "claim": "claim_name", "s3": "bucket"}


@dataclass(frozen=True)
class Family:
    framework: str
    task: str
    launcher: str  # "torchrun" or "python"
    model_path: str = "model"  # where the model lies in the run's folder
    features: List[str] = field(default_factory=list)  # folders of features/ whose probes are the family's too
    libraries: List[str] = field(default_factory=list)  # what the image's Python must have
    # Sources that its trainer writes beside, with patterns of the files in them that it must have as copies.
    writes_beside: Dict[str, List[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """What the chart has worked out, and the values alone do not say."""

    version: int  # of settings.json
    name: str  # of the release
    namespace: str
    service: str  # leads to the pod of rank 0
    backend: str  # what a framework calls the accelerator
    processes: int  # of a pod
    time_limit_seconds: int
    hold_seconds: int  # how long the pods stay after a failure
    patience_seconds: int  # how long publish retries
    shared_memory_bytes: int
    workspace_bytes: int  # of an emptyDir; 0: as much as the disk has
    rdma: bool  # whether it requests a device for RDMA
    family: Family
    credentials: Dict[str, str]  # section with a repository -> the section whose secretName answers for it


@dataclass(frozen=True)
class Pod:
    """pod.json: what the chart and the runner agree upon, for all runs alike."""

    mounts: Dict[str, str]  # of `sources` and `secrets` a folder for each section
    port: int  # of the trainer's rendezvous; rank 0 answers the runners on the next one
    join_seconds: int
    peer_grace_seconds: int
    own_folders: List[str]  # what the runner itself writes in the run's folder


@dataclass(frozen=True)
class Accelerator:
    profile: str
    count: int = 0


@dataclass(frozen=True)
class Workspace:
    type: str
    directory: str = ""

    @property
    def shared(self) -> bool:
        """Whether it is one for all pods, and outlives them."""
        return self.type not in ("emptyDir", "ephemeral")


@dataclass(frozen=True)
class CaBundle:
    config_map_name: str = ""


@dataclass(frozen=True)
class Git:
    user_key: str
    token_key: str
    private_key_key: str
    known_hosts_key: str
    stall_seconds: int  # after which a git that neither prints nor reads nor writes anything is stopped
    allow_plain_http: bool
    secret_name: str = ""


@dataclass(frozen=True)
class Lfs:
    """Another server for a repository's LFS data."""

    url: str = ""
    secret_name: str = ""


@dataclass(frozen=True)
class _Place:
    """What a source and the place of the result have in common; which of the keys have a meaning depends on the type."""

    type: str
    lfs: Lfs
    region: str
    access_key_key: str
    secret_key_key: str
    session_token_key: str
    addressing: str
    workload_identity: bool


@dataclass(frozen=True)
class Source(_Place):
    """Where model or dataset comes from."""

    cached: bool  # kept in the cache volume for later runs
    submodules: bool
    repository: str = ""  # git
    revision: str = ""
    claim_name: str = ""  # claim
    endpoint: str = ""  # s3
    bucket: str = ""
    prefix: str = ""
    secret_name: str = ""

    @property
    def location(self) -> str:
        """What it is, in one word for logs and the result."""
        if self.type == "s3":
            return _folder_of_bucket(self)
        return f"claim:{self.claim_name}" if self.type == "claim" else self.repository


@dataclass(frozen=True)
class Dataset(Source):
    path: str = "dataset"  # where it lies in the run's folder
    max_broken: int = 0  # records that the trainer may leave out because they are damaged or invalid


@dataclass(frozen=True)
class Cache:
    read_only: bool
    claim_name: str = ""


@dataclass(frozen=True)
class SecretKey:
    secret_name: str
    key: str


@dataclass(frozen=True)
class Mlflow:
    allow_plain_http: bool
    tracking_uri: str = ""
    experiment: str = ""
    secret_name: str = ""
    token_key: str = ""
    user_key: str = ""
    password_key: str = ""


@dataclass(frozen=True)
class Tune:
    trials: int  # 0: no search, one training
    goal: str
    failure_limit: int
    seed: int  # 0: another search every time
    space: Dict[str, Any]
    metric: str = ""
    grace_period: int = 0  # epochs before a trial may be given up; 0: never


@dataclass(frozen=True)
class Publish(_Place):
    max_batch_size: int
    repository: str = ""  # git
    branch: str = ""
    endpoint: str = ""  # s3
    bucket: str = ""
    prefix: str = ""
    folder: str = ""
    model_name: str = ""
    secret_name: str = ""

    @property
    def location(self) -> str:
        """What holds the result, beside those of other runs."""
        return _folder_of_bucket(self) if self.type == "s3" else self.repository


def _folder_of_bucket(place: Union[Source, Publish]) -> str:
    return "/".join([place.endpoint.rstrip("/"), place.bucket, place.prefix.strip("/")]).rstrip("/")


@dataclass(frozen=True)
class GitCredentials:
    """What a repository is asked for with. It answers for the scheme, host and port of that repository alone."""

    folder: str  # where the Secret is mounted; "" for none
    secret: str  # its name; "" for none
    key: str  # of the values that names it, or could: git.secretName or that of the repository's own section

    def __str__(self) -> str:
        return f"{self.key} {self.secret}"


@dataclass(frozen=True)
class Settings:
    """The effective values of a run, what the chart adds to them (`run`), and the constants of its pod.

    An empty value is left out of the file, and has its default here.
    """

    run: Run
    pod: Pod
    family: str
    image: str
    replicas: int
    retries: int
    accelerator: Accelerator
    workspace: Workspace
    git: Git
    ca_bundle: CaBundle
    model: Source
    dataset: Dataset
    cache: Cache
    train: Dict[str, Any]
    tune: Tune
    publish: Publish
    mlflow: Mlflow
    env: Dict[str, str]  # of the trainer's processes; neither the runner nor git has it
    secret_env: Dict[str, SecretKey]
    secret_files: Dict[str, SecretKey]  # by their paths in HOME

    @property
    def world_size(self) -> int:
        return self.replicas * self.run.processes

    @property
    def directory(self) -> str:
        """The run's folder in the workspace."""
        return self.workspace.directory or self.run.name

    @property
    def sources(self) -> Dict[str, Source]:
        """Those of model and dataset that the run has: the key of the source's type is configured."""
        sections: Dict[str, Source] = {"model": self.model, "dataset": self.dataset}
        return {name: one for name, one in sections.items() if getattr(one, _CONFIGURED_BY[one.type])}

    @property
    def stores(self) -> Dict[str, Union[Source, Publish]]:
        """What of the run is in an object store, by the section of the values."""
        sections: Dict[str, Union[Source, Publish]] = {**self.sources, "publish": self.publish}
        return {name: place for name, place in sections.items() if place.type == "s3"}

    def source_path(self, name: str) -> str:
        """Where a source lies in the run's folder; a run without that source has an empty place for it."""
        paths = {"model": self.run.family.model_path, "dataset": self.dataset.path}
        return paths[name] if name in self.sources else name

    def mount(self, source: str) -> str:
        """Where the pod has the claim of a source."""
        return f"{self.pod.mounts['sources']}/{source}"

    @property
    def cache_folder(self) -> str:
        """Where the pod has the cache; "" for none."""
        return self.pod.mounts["cache"] if self.cache.claim_name else ""

    @property
    def ca_file(self) -> str:
        """The file of the values' CA certificates; "" for none."""
        return f"{self.pod.mounts['secrets']}/ca/ca.crt" if self.ca_bundle.config_map_name else ""

    def secret_folder(self, section: str) -> str:
        """Where the Secret that a section names is mounted, one file per key; "" for none."""
        return f"{self.pod.mounts['secrets']}/{section}" if getattr(self, section).secret_name else ""

    @property
    def has_secrets(self) -> bool:
        """Whether trainer and exporter get any of their own."""
        return bool(self.secret_env or self.secret_files)

    def git_credentials(self, section: str) -> GitCredentials:
        """Those of the repository of a section."""
        by = self.run.credentials[section]
        return GitCredentials(self.secret_folder(by), getattr(self, by).secret_name, f"{by}.secretName")

    def lfs(self, section: str) -> Lfs:
        """The other LFS server of the repository of a section."""
        found: Lfs = getattr(self, section).lfs
        return found

    def lfs_credentials(self, section: str) -> GitCredentials:
        """Those for the other LFS server of the repository of a section, and for nothing else."""
        secret = self.lfs(section).secret_name
        folder = f"{self.pod.mounts['secrets']}/{section}-lfs" if secret else ""
        return GitCredentials(folder, secret, f"{section}.lfs.secretName")

    def repositories(self) -> Dict[str, str]:
        """Every git repository of the run, by the section of the values that names it."""
        found = {name: source.repository for name, source in self.sources.items() if source.type == "git"}
        if self.publish.type == "git":
            found["publish"] = self.publish.repository
        return found

    def repositories_over_ssh(self) -> Dict[str, str]:
        return {section: url for section, url in self.repositories().items() if is_ssh(url)}

    @property
    def model_name(self) -> str:
        """What the result is called: as its repository, where the values do not say."""
        last = re.split("[/:]", (self.publish.repository or self.run.name).rstrip("/"))[-1]
        return self.publish.model_name or (last[:-4] if last.endswith(".git") else last)


def load(home: Path) -> Settings:
    """What settings.json and pod.json in the runner's folder say.

    Raises:
        RunnerError: they cannot be read, or no run can be made of them.
    """
    data, pod = _read(home / "settings.json"), _read(home / "pod.json")
    _expect(isinstance(data, dict) and "pod" not in data, "", "must be an object of values")
    settings: Settings = _decode(Settings, {**data, "pod": pod}, "")
    _validate(settings)
    return settings


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunnerError(
            "settings-invalid", f"{path} cannot be read: {error}", "install the chart again; the ConfigMap is not whole"
        ) from error


def _decode(kind: Any, data: Any, key: str) -> Any:
    """Return `data` as `kind`: a dataclass, Dict[str, X] or a plain type. A missing key is an error, another one is ignored."""
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
        known = [name for name in fields if name in data]
        return kind(
            **{fields[name].name: _decode(hints[fields[name].name], data[name], prefix + name) for name in known}
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
    run = settings.run
    _expect(run.version == VERSION, "run.version", f"must be {VERSION}")
    _expect(run.family.launcher in ("python", "torchrun"), "run.family.launcher", "must be python or torchrun")
    _expect(settings.tune.goal in ("maximize", "minimize"), "tune.goal", "must be maximize or minimize")
    _expect(settings.publish.type in ("git", "s3", "none"), "publish.type", "must be git, s3 or none")
    _expect(settings.replicas >= 1, "replicas", "must be at least 1")
    _expect(run.processes >= 1, "run.processes", "must be at least 1")
    _expect(0 < settings.pod.port < 65535, "pod.port", "must be between 1 and 65534")
    for key, folder in settings.pod.mounts.items():
        _expect(PurePosixPath(folder).is_absolute(), f"pod.mounts.{key}", "must be an absolute path")
    _expect(_is_inside(settings.directory), "workspace.directory", "must be a relative path without '..'")
    for name, source in (("model", settings.model), ("dataset", settings.dataset)):
        _expect(source.type in _CONFIGURED_BY, f"{name}.type", "must be git, claim or s3")
        valid = not _REF_ILLEGAL.search(source.revision)
        _expect(valid, f"{name}.revision", "must be a branch, a tag or a full commit")
    _check_folders(settings)
    for section, url in settings.repositories().items():
        if not is_ssh(url):
            _check_url(f"{section}.repository", url, settings.git.allow_plain_http, "git.allowPlainHttp")
            _expect(bool(urlsplit(url).path.strip("/")), f"{section}.repository", "must name a repository")
        _expect(section in run.credentials, f"run.credentials.{section}", "is missing")
        by = run.credentials[section]
        _expect(by in ("git", section), f"run.credentials.{section}", f"must be git or {section}")
        lfs = settings.lfs(section)
        if lfs.url:
            _check_url(f"{section}.lfs.url", lfs.url, settings.git.allow_plain_http, "git.allowPlainHttp")
        named = bool(settings.git_credentials(section).folder)
        _expect(named or not is_ssh(url), f"{by}.secretName", f"is empty, and {section}.repository needs a private key")
    for name, store in settings.stores.items():
        _check_url(f"{name}.endpoint", store.endpoint, True, "")  # signed requests do not carry the key
        _expect(urlsplit(store.endpoint).path in ("", "/"), f"{name}.endpoint", "must not hold a path")
        _expect(bool(store.bucket), f"{name}.bucket", "is missing")
    prefix, folder = settings.publish.prefix.strip("/"), settings.publish.folder
    valid = not prefix or not re.search(
        r"(^|/)[.]{0,2}(/|$)|[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]", prefix
    )
    _expect(valid, "publish.prefix", "must be a folder, without '..' and empty parts")
    valid = not folder or bool(_FOLDER.fullmatch(folder))
    _expect(valid, "publish.folder", "must be a folder of A-Z, a-z, 0-9, '-', '_', '.' and '/'")
    mlflow = settings.mlflow
    if mlflow.tracking_uri:
        allowed = mlflow.allow_plain_http or not mlflow.secret_name
        _check_url("mlflow.trackingUri", mlflow.tracking_uri, allowed, "mlflow.allowPlainHttp")
    branch = settings.publish.branch
    valid = bool(_BRANCH.fullmatch(branch)) and not _REF_ILLEGAL.search(branch) and branch != "HEAD"
    _expect(
        not branch or valid,
        "publish.branch",
        "is not a branch name that git accepts, of A-Z, a-z, 0-9, '-', '_', '.' and '/'",
    )


def is_ssh(url: str) -> bool:
    """Whether a URL is that of a repository over SSH: ssh://user@host[:port]/path, or user@host:path."""
    return bool(_SSH.fullmatch(url))


def _check_url(key: str, url: str, allow_plain_http: bool, allowed_by: str) -> None:
    """The URL itself never appears in a message: it may hold a password."""
    authority = re.sub("^[^/]*//([^/]*).*", r"\1", url, flags=re.DOTALL)
    hidden = "@" in authority or re.search(r"//[^/]*/.*:.*@", url)
    _expect(not hidden, key, "must not hold a user or password; they come from a Secret")
    _expect(not re.search(r"[?#]", url), key, "must not hold a query or fragment; a token comes from a Secret")
    _expect(not re.search(r"[\s\x00-\x20]", url), key, "must not hold blanks")
    _expect(
        url.startswith("https://") or (url.startswith("http://") and allow_plain_http),
        key,
        "must start with https://" + (f" (http:// only with {allowed_by})" if allowed_by else " or http://"),
    )
    _expect(bool(_URL.match(url)), key, "is not a URL: it must name a host, and its port be from 1 to 65535")


def _check_folders(settings: Settings) -> None:
    """Each source in a folder of its own, apart from what the runner itself writes. Some file systems know no case."""
    places = {name: settings.source_path(name) for name in sorted({"model", "dataset", *settings.sources})}
    taken: Dict[str, Tuple[str, ...]] = {}
    for name, path in places.items():
        _expect(_is_inside(path), f"{name}.path", "must be a relative path without '..'")
        parts = tuple(part.lower() for part in PurePosixPath(path).parts)
        own = settings.pod.own_folders
        _expect(parts[0] not in own, f"{name}.path", f"{path!r} is in {parts[0]}, which the run itself writes")
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
