"""Puts the git server into the cluster: its certificate authority, its configuration, its administrator."""

from __future__ import annotations

import base64
import json
import os
import secrets
from pathlib import Path
from string import Template

from e2e.cluster import docker, kind
from e2e.cluster.kind import KUBECTL
from e2e.cluster.steps import Step, StepError, digest, quiet, step, temporary_folder

from .client import ADMIN, FOLDER, HOST_KEY, GitServer, GitServerError, connect

HERE = Path(__file__).resolve().parent
NODE_PORT = 30300
NAMES = ("gitea.git.svc", "gitea.git.svc.cluster.local", "localhost")
ADVICE = f"`{' '.join(KUBECTL)} -n git describe pods` shows what it does."

CONFIGURATION = """\
APP_NAME = trainchart tests
RUN_MODE = prod
WORK_PATH = /var/lib/gitea

[server]
PROTOCOL = https
CERT_FILE = /etc/gitea/tls.crt
KEY_FILE = /etc/gitea/tls.key
DOMAIN = gitea.git.svc
ROOT_URL = https://gitea.git.svc:3000/
HTTP_PORT = 3000
START_SSH_SERVER = true
BUILTIN_SSH_SERVER_USER = git
SSH_LISTEN_PORT = 2222
SSH_SERVER_HOST_KEYS = /etc/gitea/ssh_host_key
OFFLINE_MODE = true
LFS_START_SERVER = true
LFS_JWT_SECRET = $lfs_jwt_secret

[database]
DB_TYPE = sqlite3
PATH = /var/lib/gitea/gitea.db

[repository]
ROOT = /var/lib/gitea/repositories
ENABLE_PUSH_CREATE_USER = true
DEFAULT_BRANCH = main

[lfs]
PATH = /var/lib/gitea/lfs

[git]
HOME_PATH = /var/lib/gitea/home

[service]
DISABLE_REGISTRATION = true

[security]
INSTALL_LOCK = true
SECRET_KEY = $secret_key
INTERNAL_TOKEN = $internal_token

[oauth2]
JWT_SECRET = $jwt_secret

[indexer]
ISSUE_INDEXER_TYPE = db

[actions]
ENABLED = false

[packages]
ENABLED = false

[log]
MODE = console
LEVEL = Info
"""


def ensure(image: str) -> GitServer:
    """A git server that answers under its address on the node and its name in the cluster."""
    with step("start the git server", ADVICE) as current:
        address = docker.node_address(kind.NODE)
        FOLDER.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make_authority(current)
        _make_certificate(current, address)
        password_file = _once("admin-password", secrets.token_urlsafe(18))
        secrets_file = _once("secrets.json", json.dumps(_new_secrets()))
        configuration = FOLDER / "app.ini"
        _write_private(configuration, Template(CONFIGURATION).substitute(json.loads(secrets_file.read_text())))
        _make_host_key(current)
        files = [configuration, FOLDER / "tls.crt", FOLDER / "tls.key", HOST_KEY]
        server = GitServer(
            url_inside="https://gitea.git.svc:3000",
            url_outside=f"https://{address}:{NODE_PORT}",
            ca_file=FOLDER / "ca.crt",
            admin_user=ADMIN,
            admin_password_file=password_file,
        )
        server.save()
        deployment = (HERE / "gitea.yaml").read_text()
        key = digest(image, docker.image_id(image) or "", deployment, *(file.read_bytes() for file in files))
        if kind.recall("gitea") == key and is_ready():
            current.cached()
            return server
        if kind.recall("gitea") != key:
            current.run([*KUBECTL, "apply", "-f", "-"], text=json.dumps(_namespace_and_secret(files)))
            filled = Template(deployment).substitute(image=image, key=key, data=kind.GITEA_DATA)
            current.run([*KUBECTL, "apply", "-f", "-"], text=filled)
            current.run([*KUBECTL, "-n", "git", "rollout", "status", "deployment/gitea", "--timeout", "180s"])
        current.wait("an answer of the git server", lambda: server.answers(), seconds=120)
        if not server.admin_can_sign_in():
            create = ["gitea", "admin", "user", "create", "--config", "/etc/gitea/app.ini", "--admin"]
            create += ["--username", ADMIN, "--password", password_file.read_text(), "--email", f"{ADMIN}@example.com"]
            create += ["--must-change-password=false"]
            # Not as a command of the step, whose log would show the password.
            quiet([*KUBECTL, "-n", "git", "exec", "deployment/gitea", "--", *create])
        if not server.admin_can_sign_in():
            raise current.failure("the git server's administrator cannot sign in")
        kind.remember(current, "gitea", key)
        return server


def is_ready() -> bool:
    try:
        return connect().admin_can_sign_in()
    except (GitServerError, StepError):
        return False


def _new_secrets() -> dict[str, str]:
    def key() -> str:
        return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")

    return {name: key() for name in ("lfs_jwt_secret", "secret_key", "internal_token", "jwt_secret")}


def _once(name: str, text: str) -> Path:
    """The file of that name, made with `text` where it lacks."""
    path = FOLDER / name
    if not path.exists():
        _write_private(path, text)
    return path


def _write_private(path: Path, text: str) -> None:
    partial = path.with_suffix(path.suffix + ".new")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)
    partial.replace(path)


def _make_host_key(current: Step) -> None:
    if not HOST_KEY.exists():
        with temporary_folder() as work:
            new = work / HOST_KEY.name
            current.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "trainchart tests", "-f", new])
            new.with_suffix(".pub").replace(HOST_KEY.with_suffix(".pub"))
            new.replace(HOST_KEY)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _make_authority(current: Step) -> None:
    if (FOLDER / "ca.crt").exists():
        return
    with temporary_folder() as work:
        command = ["openssl", "req", "-x509", *_NEW_KEY, "-days", "3650", "-subj", "/CN=trainchart tests"]
        command += ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        current.run([*command, "-keyout", work / "ca.key", "-out", work / "ca.crt"])
        (work / "ca.key").replace(FOLDER / "ca.key")
        (work / "ca.crt").replace(FOLDER / "ca.crt")


def _make_certificate(current: Step, address: str) -> None:
    """A certificate for the server's names and the node's address; a new one where the address changed."""
    alternatives = ",".join([*(f"DNS:{name}" for name in NAMES), "IP:127.0.0.1", f"IP:{address}"])
    noted = FOLDER / "tls.names"
    if noted.exists() and noted.read_text() == alternatives:
        return
    with temporary_folder() as work:
        (work / "extensions").write_text(
            f"subjectAltName={alternatives}\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
            "basicConstraints=critical,CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        request = ["openssl", "req", "-new", *_NEW_KEY, "-subj", f"/CN={NAMES[0]}"]
        current.run([*request, "-keyout", work / "tls.key", "-out", work / "tls.csr"])
        sign = ["openssl", "x509", "-req", "-days", "3650", "-set_serial", str(secrets.randbits(120))]
        authority: list[str | Path] = [
            "-CA",
            FOLDER / "ca.crt",
            "-CAkey",
            FOLDER / "ca.key",
            "-extfile",
            work / "extensions",
        ]
        current.run([*sign, *authority, "-in", work / "tls.csr", "-out", work / "tls.crt"])
        noted.unlink(missing_ok=True)
        (work / "tls.key").replace(FOLDER / "tls.key")
        (work / "tls.crt").replace(FOLDER / "tls.crt")
        noted.write_text(alternatives)


def _namespace_and_secret(files: list[Path]) -> dict[str, object]:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "gitea", "namespace": "git"},
        "data": {file.name: base64.b64encode(file.read_bytes()).decode() for file in files},
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "git"}}
    return {"apiVersion": "v1", "kind": "List", "items": [namespace, secret]}
