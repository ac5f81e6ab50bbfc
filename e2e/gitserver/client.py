"""A client of the test cluster's git server: users, tokens, repositories, branches, files and LFS objects."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from e2e.cluster.steps import CACHE

FOLDER = CACHE / "gitserver"
ADMIN = "admin-of-tests"
SSH_PORT, SSH_NODE_PORT = 2222, 30322
HOST_KEY = FOLDER / "ssh_host_key"  # by which ssh clients know the server
TIMEOUT_SECONDS = 30
READ_ATTEMPTS = 10


class GitServerError(Exception):
    """What the server refused, or that it could not be reached; `status` is its HTTP status, or 0."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class User:
    """An account; git takes its name with its password or a token."""

    name: str
    password: str


@dataclass(frozen=True)
class GitServer:
    """The server and its administrator, in whose name every call here is made."""

    url_inside: str  # for pods
    url_outside: str  # for this host
    ca_file: Path
    admin_user: str
    admin_password_file: Path

    def save(self) -> None:
        record = {name: str(value) for name, value in asdict(self).items()}
        (FOLDER / "server.json").write_text(json.dumps(record, indent=2))

    # Users and tokens

    def create_user(self, name: str) -> User:
        user = User(name, secrets.token_urlsafe(18))
        account = {"username": name, "password": user.password, "email": f"{name}@example.com"}
        self._api("POST", "/admin/users", {**account, "must_change_password": False})
        return user

    def create_token(self, user: str, *, write: bool = True, name: str | None = None) -> str:
        """A token of `user` that reads, or reads and writes, repositories and nothing else."""
        scope = "write:repository" if write else "read:repository"
        request = {"name": name or f"token-{secrets.token_hex(4)}", "scopes": [scope]}
        return str(self._api("POST", f"/users/{user}/tokens", request)["sha1"])

    # Repositories

    def create_repository(self, owner: str, name: str, *, private: bool = True) -> None:
        """An empty repository; `main` is to be its default branch."""
        self._api("POST", f"/admin/users/{owner}/repos", {"name": name, "private": private, "default_branch": "main"})

    def delete_repository(self, owner: str, name: str) -> None:
        self._api("DELETE", f"/repos/{owner}/{name}", missing_ok=True)

    def clone_url(self, owner: str, name: str, *, inside: bool, ssh: bool = False) -> str:
        if ssh:
            return f"ssh://git@{':'.join(self._ssh_address(inside))}/{owner}/{name}.git"
        return f"{self.url_inside if inside else self.url_outside}/{owner}/{name}.git"

    def _ssh_address(self, inside: bool) -> tuple[str, str]:
        host = urllib.parse.urlsplit(self.url_inside if inside else self.url_outside).hostname
        return str(host), str(SSH_PORT if inside else SSH_NODE_PORT)

    def add_ssh_key(self, user: str, public_key: str) -> None:
        """Let whoever has the private key act as `user` over ssh."""
        self._api("POST", f"/admin/users/{user}/keys", {"title": f"key-{secrets.token_hex(4)}", "key": public_key})

    def add_deploy_key(self, owner: str, name: str, public_key: str, *, write: bool = False) -> None:
        """Let whoever has the private key read, or also write, this repository over ssh."""
        request = {"title": f"key-{secrets.token_hex(4)}", "key": public_key, "read_only": not write}
        self._api("POST", f"/repos/{owner}/{name}/keys", request)

    @property
    def known_hosts(self) -> str:
        """The server's host key as a known_hosts file names it, for pods and for this host."""
        names = ",".join("[{}]:{}".format(*self._ssh_address(inside)) for inside in (True, False))
        return f"{names} {HOST_KEY.with_suffix('.pub').read_text()}"

    # Branches

    def protect_branch(self, owner: str, name: str, branch: str, *, pushers: Sequence[str] = ()) -> None:
        """Lets only `pushers` push to the branch: nobody, unless some are named."""
        rule: dict[str, object] = {"rule_name": branch, "enable_push": bool(pushers)}
        if pushers:
            rule |= {"enable_push_whitelist": True, "push_whitelist_usernames": list(pushers)}
        self._api("POST", f"/repos/{owner}/{name}/branch_protections", rule)

    def branch_commit(self, owner: str, name: str, branch: str) -> str | None:
        """The commit a branch points to, or None where there is no such branch."""
        found = self._api("GET", f"/repos/{owner}/{name}/branches/{_quote(branch)}", missing_ok=True)
        return str(found["commit"]["id"]) if found else None

    def branches(self, owner: str, name: str) -> list[str]:
        return sorted(branch["name"] for branch in self._api("GET", f"/repos/{owner}/{name}/branches?limit=50"))

    def commit_message(self, owner: str, name: str, commit: str) -> str:
        return str(self._api("GET", f"/repos/{owner}/{name}/git/commits/{commit}")["commit"]["message"])

    def create_branch(self, owner: str, name: str, branch: str, commit: str) -> None:
        request = {"new_branch_name": branch, "old_ref_name": commit}
        self._api("POST", f"/repos/{owner}/{name}/branches", request)

    def unprotect_branch(self, owner: str, name: str, branch: str) -> None:
        self._api("DELETE", f"/repos/{owner}/{name}/branch_protections/{_quote(branch)}", missing_ok=True)

    def delete_branch(self, owner: str, name: str, branch: str) -> None:
        self._api("DELETE", f"/repos/{owner}/{name}/branches/{_quote(branch)}", missing_ok=True)

    # Files and LFS objects

    def list_files(self, owner: str, name: str, ref: str) -> list[str]:
        commit = self.branch_commit(owner, name, ref) or ref
        tree = self._api("GET", f"/repos/{owner}/{name}/git/trees/{commit}?recursive=true&per_page=1000")
        return sorted(entry["path"] for entry in tree["tree"] if entry["type"] == "blob")

    def read_file(self, owner: str, name: str, path: str, ref: str, *, lfs: bool = False) -> bytes:
        """A file as git holds it: for an LFS file its pointer, or with `lfs` its content."""
        kind = "media" if lfs else "raw"
        query = urllib.parse.urlencode({"ref": ref})
        return self._request("GET", f"/api/v1/repos/{owner}/{name}/{kind}/{urllib.parse.quote(path)}?{query}")

    def has_lfs_object(self, owner: str, name: str, oid: str, size: int) -> bool:
        """Whether the server would let an LFS client download the object from this repository."""
        body = {"operation": "download", "transfers": ["basic"], "objects": [{"oid": oid, "size": size}]}
        lfs = "application/vnd.git-lfs+json"
        reply = json.loads(self._request("POST", f"/{owner}/{name}.git/info/lfs/objects/batch", body, content_type=lfs))
        return "download" in reply["objects"][0].get("actions", {})

    # The server itself

    def answers(self) -> bool:
        try:
            self._request("GET", "/api/healthz")
        except GitServerError:
            return False
        return True

    def admin_can_sign_in(self) -> bool:
        try:
            return bool(self._api("GET", "/user")["is_admin"])
        except GitServerError:
            return False

    def _api(self, method: str, path: str, body: object = None, *, missing_ok: bool = False) -> Any:
        for attempt in range(READ_ATTEMPTS):
            try:
                reply = self._request(method, f"/api/v1{path}", body)
                break
            except GitServerError as error:
                if missing_ok and error.status == 404:
                    return None
                # For a moment after its first push the server takes a repository for empty, and its branch calls fail.
                if method != "GET" or error.status != 500 or attempt == READ_ATTEMPTS - 1:
                    raise
                time.sleep(0.5)
        return json.loads(reply) if reply else None

    def _request(self, method: str, path: str, body: object = None, *, content_type: str = "application/json") -> bytes:
        request = urllib.request.Request(self.url_outside + path, method=method)
        sign_in = f"{self.admin_user}:{self.admin_password_file.read_text()}"
        request.add_header("Authorization", "Basic " + base64.b64encode(sign_in.encode()).decode())
        request.add_header("Accept", content_type if content_type != "application/json" else "*/*")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", content_type)
        trusted = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(self.ca_file)))
        # No proxy: the node is on this machine, whatever the environment says about the world.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), trusted)
        try:
            with opener.open(request, timeout=TIMEOUT_SECONDS) as reply:
                return bytes(reply.read())
        except urllib.error.HTTPError as error:
            detail = error.read(300).decode(errors="replace")
            raise GitServerError(f"{method} {path}: {error.code} {detail}", error.code) from error
        except OSError as error:
            raise GitServerError(f"{method} {path}: {error}") from error


def connect() -> GitServer:
    """The server that `python3 -m e2e.cluster up` started."""
    try:
        record = json.loads((FOLDER / "server.json").read_text())
    except OSError as error:
        raise GitServerError("the git server is not running; `python3 -m e2e.cluster up` starts one") from error
    for name in ("ca_file", "admin_password_file"):
        record[name] = Path(record[name])
    return GitServer(**record)


def _quote(name: str) -> str:
    return urllib.parse.quote(name, safe="/")
