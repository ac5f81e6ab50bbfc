"""What the runs find in the cluster: a namespace that enforces Pod Security, the repositories, a Secret, a shared
volume, and the account that submits. What is missing is created and the rest is kept, so a second call takes
seconds.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from e2e.cases import CLAIM, Case, ssh
from e2e.cluster import docker, kind
from e2e.cluster.steps import CACHE, KUBECONFIG, Step, StepError, step
from e2e.fixtures.repositories import git
from e2e.gitserver.client import GitServer, GitServerError, connect
from e2e.kube import Kube, Object

ROOT = Path(__file__).resolve().parents[1]
NAMESPACE = "training"
TEAM = "team"
SECRET = "git-credentials"
CA_BUNDLE = "git-ca"
ACCOUNT = "submitter"
ADVICE = "`python3 -m e2e.cluster status` says whether cluster and git server stand."


@dataclass(frozen=True)
class World:
    """What a test or a run needs to know."""

    admin: Kube
    submitter: Kube  # the account of whoever calls helm, with the rights of deploy/submitter.yaml
    server: GitServer
    token: str  # of the user `team`, who owns all repositories
    private_key: str  # of the same user

    def configuration(self) -> list[tuple[str, str]]:
        """Git's configuration to reach the server from here, with the token."""
        secret = base64.b64encode(f"{TEAM}:{self.token}".encode()).decode()
        return _reach(self.server, secret)

    def clone_url(self, repository: str) -> str:
        return self.server.clone_url(TEAM, repository, inside=False)


def ensure(cases: Iterable[Case]) -> World:
    """The world with the repositories of these cases, in the cluster that `python3 -m e2e.cluster up` started."""
    cases = list(cases)
    admin = Kube(KUBECONFIG, NAMESPACE)
    server = connect()
    with step("scenario: namespace, shared volume, submitter", ADVICE):
        admin.apply(restricted_namespace(NAMESPACE), *volume(CLAIM, kind.SHARED), *_account())
        admin.kubectl("apply", "-f", str(ROOT / "deploy" / "submitter.yaml"))
        submitter = Kube(kubeconfig_of(admin, ACCOUNT), NAMESPACE)
    for case in cases:
        _require_image(case)
    wanted = {name: (make, case.image_name) for case in cases for name, make in case.sources.items()}
    sources = {name: make(image) for name, (make, image) in wanted.items()}
    with step("scenario: user, token and repositories on the git server", ADVICE) as current:
        _unless_there(lambda: server.create_user(TEAM))
        repositories = dict.fromkeys([*sources, *(name for case in cases for name in case.results)])
        for name in repositories:
            ensure_repository(server, name)
        token = _token(current, admin, server, next(iter(repositories)))
        private_key, stranger = _ssh_key(current, "team"), _ssh_key(current, "stranger")
        _unless_there(lambda: server.add_ssh_key(TEAM, private_key.with_suffix(".pub").read_text()))
        world = World(admin, submitter, server, token, private_key.read_text())
        _push_sources(current, world, sources)
        admin.apply(credentials(SECRET, token), ca_bundle(server))
        admin.apply(
            *(ssh_credentials(name, key, server) for name, key in ((ssh.SECRET, private_key), (ssh.STRANGER, stranger)))
        )
    return world


def ensure_repository(server: GitServer, name: str) -> None:
    _unless_there(lambda: server.create_repository(TEAM, name))


def _require_image(case: Case) -> None:
    if docker.image_id(case.image_name) is None:
        command = f"python3 -m e2e.cluster images {case.image}"
        raise StepError(f"there is no image {case.image_name} on this machine", f"`{command}` builds and loads it.")


def push(world: World, tree: Path, repository: str, refspec: str) -> None:
    """Git and LFS objects of a local repository, over whatever the server has."""
    url, configuration = world.clone_url(repository), world.configuration()
    git(tree, "lfs", "push", url, refspec.removeprefix("+").partition(":")[0], configuration=configuration)
    git(tree, "push", "--quiet", "--no-verify", url, refspec, configuration=configuration)


def _push_sources(current: Step, world: World, sources: Mapping[str, Path]) -> None:
    for name, tree in sources.items():
        commit = git(tree, "rev-parse", "HEAD")
        if world.server.branch_commit(TEAM, name, "main") == commit:
            continue
        current.note(f"pushing {name} {commit}")
        push(world, tree, name, "+main:refs/heads/main")


def _reach(server: GitServer, basic: str) -> list[tuple[str, str]]:
    return [
        ("http.sslCAInfo", str(server.ca_file)),
        ("http.extraHeader", f"Authorization: Basic {basic}"),
        ("http.proxy", ""),  # the server is on this machine
    ]


def _token(current: Step, admin: Kube, server: GitServer, repository: str) -> str:
    """The token in the Secret while the server takes it for the repository; a new one of the user `team` otherwise."""
    secret = admin.get("secret", SECRET)
    if secret:
        token = base64.b64decode(secret["data"]["GIT_TOKEN"]).decode()
        basic = base64.b64encode(f"{TEAM}:{token}".encode()).decode()
        try:
            git(
                ROOT, "ls-remote", server.clone_url(TEAM, repository, inside=False), configuration=_reach(server, basic)
            )
            return token
        except StepError:
            current.note("the server does not take the token of the Secret: making a new one")
    return server.create_token(TEAM)


def _ssh_key(current: Step, name: str) -> Path:
    """The file of a private key, made once; its public half lies beside it."""
    path = CACHE / "ssh" / name
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        current.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name} of the tests", "-f", path])
    return path


def _unless_there(create: Callable[[], object]) -> None:
    try:
        create()
    except GitServerError as error:
        if error.status not in (409, 422):
            raise


def restricted_namespace(name: str) -> Object:
    """A namespace that enforces Pod Security "restricted"."""
    labels = {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/enforce-version": "latest",
    }
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def volume(claim: str, folder: str) -> list[Object]:
    """A folder of the node, which any number of pods may mount: what a ReadWriteMany StorageClass would give."""
    name, size = f"trainchart-{claim}", {"storage": "5Gi"}
    fixed = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {
        **fixed,
        "capacity": size,
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": NAMESPACE, "name": claim},
        "hostPath": {"path": folder, "type": "Directory"},
    }
    return [
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": volume},
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": claim, "namespace": NAMESPACE},
            "spec": {**fixed, "volumeName": name, "resources": {"requests": size}},
        },
    ]


def _account() -> list[Object]:
    binding: Object = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "trainchart-submitter", "namespace": NAMESPACE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "trainchart-submitter"},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": NAMESPACE}],
    }
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, "namespace": NAMESPACE}},
        binding,
    ]


def kubeconfig_of(admin: Kube, account: str) -> Path:
    """A kubeconfig with a token of the account and nothing of the administrator's."""
    config = json.loads(admin.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    token = admin.kubectl("create", "token", account, "--duration", "24h").strip()
    cluster = config["clusters"][0]
    context = {"cluster": cluster["name"], "user": account, "namespace": admin.namespace}
    own = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [cluster],
        "users": [{"name": account, "user": {"token": token}}],
        "contexts": [{"name": account, "context": context}],
        "current-context": account,
    }
    path = CACHE / f"{account}.kubeconfig"
    scratch = path.with_suffix(".new")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        json.dump(own, handle)
    scratch.replace(path)
    return path


def credentials(name: str, token: str, namespace: str = NAMESPACE) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "stringData": {"GIT_USER": TEAM, "GIT_TOKEN": token},
    }


def ssh_credentials(name: str, key: Path, server: GitServer) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/ssh-auth",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "stringData": {"ssh-privatekey": key.read_text(), "known_hosts": server.known_hosts},
    }


def ca_bundle(server: GitServer, namespace: str = NAMESPACE) -> Object:
    """The ConfigMap with the CA that signed the git server's certificate."""
    metadata = {"name": CA_BUNDLE, "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {"ca.crt": server.ca_file.read_text()},
    }
