"""Stage verify: checks what the run needs from its image and pod, before anything is downloaded."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any, Dict, List

from . import credential, log, network, process
from .context import Context
from .errors import RunnerError
from .family import Family
from .workspace import NO_LOCKS, no_locks

OLDEST_GIT = (2, 31)  # configuration through GIT_CONFIG_COUNT
SHARED_MEMORY = "/dev/shm"  # noqa: S108


def verify(context: Context, family: Family) -> None:
    """Check all requirements. Raises RunnerError for the first that is not met."""
    check_tools(context)
    check_programs(family)
    check_mounts(context)
    check_workspace(context)
    check_shared_memory(context)
    run = context.settings.run
    if run.rdma:
        from features import rdma

        rdma.check()
    argument: Dict[str, Any] = {"backend": run.backend, "count": context.settings.accelerator.count}
    if run.family.libraries:
        argument["libraries"] = run.family.libraries
    found = family.probe("device", argument, "verify-failed")
    if found.get("devices"):
        log.event("devices", backend=run.backend, found=", ".join(map(str, found["devices"])))
    if context.settings.tune.trials:
        from features import tune

        tune.check(context)


def check_tools(context: Context) -> None:
    """Check git and git-lfs, which only runs with repositories need."""
    users = ", ".join(f"{section}.repository" for section in context.settings.repositories())
    if not users:
        return
    version = re.search(r"(\d+)\.(\d+)", _version(["git", "--version"], "git", users))
    if not version or (int(version.group(1)), int(version.group(2))) < OLDEST_GIT:
        raise RunnerError(
            "verify-failed",
            f"git in the image is older than {OLDEST_GIT[0]}.{OLDEST_GIT[1]}",
            "use an image with a newer git",
        )
    _version(["git-lfs", "version"], "git-lfs", users)
    over_ssh = ", ".join(f"{section}.repository" for section in context.settings.repositories_over_ssh())
    if over_ssh:
        _version(["ssh", "-V"], "ssh", over_ssh)


def check_programs(family: Family) -> None:
    """Check that the trainer's PATH has the programs, other than Python, that the family starts."""
    wanted = family.call("tools", "verify-failed") if family.has("tools") else {}
    for program, key in wanted.items():
        if not program or shutil.which(program, path=family.environment().get("PATH", os.defpath)) is None:
            raise RunnerError(
                "verify-failed",
                f"{key}: the image has no program {json.dumps(program)}",
                f"use an image that has it, or correct {key}",
            )


def check_mounts(context: Context) -> None:
    if context.settings.ca_file:
        network.check_bundle(context.settings.ca_file)
    check_secrets(context)


def check_secrets(context: Context) -> None:
    """Check that every key that the run reads from mounted Secrets exists and can be sent, and hide it from the log, alone
    and with its user, as headers of requests have them. No message shows a value.
    """
    settings = context.settings
    git, mlflow = settings.git, settings.mlflow
    over_ssh = settings.repositories_over_ssh()
    if over_ssh:
        from features import ssh

        ssh.check(context)
    asked = [settings.git_credentials(section) for section in settings.repositories() if section not in over_ssh]
    asked += [settings.lfs_credentials(section) for section in settings.repositories()]
    for found in asked:
        if found.folder:
            _check_secret(found.key, found.secret, found.folder, {"git.tokenKey": git.token_key})
            if (Path(found.folder) / git.user_key).exists():  # optional
                _check_secret(found.key, found.secret, found.folder, {"git.userKey": git.user_key})
            log.hide(":".join(credential.read_git(Path(found.folder), git.user_key, git.token_key)))
    for name, store in settings.stores.items():
        if store.secret_name:
            keys = {f"{name}.accessKeyKey": store.access_key_key, f"{name}.secretKeyKey": store.secret_key_key}
            folder = settings.secret_folder(name)
            if (Path(folder) / store.session_token_key).exists():  # optional
                keys[f"{name}.sessionTokenKey"] = store.session_token_key
            _check_secret(f"{name}.secretName", store.secret_name, folder, keys, ascii_only=True)
    if settings.has_secrets:
        from features import secrets

        secrets.check(context)
    if mlflow.tracking_uri and mlflow.secret_name:
        basic = {"mlflow.userKey": mlflow.user_key, "mlflow.passwordKey": mlflow.password_key}
        keys = {"mlflow.tokenKey": mlflow.token_key} if mlflow.token_key else basic
        folder = settings.secret_folder("mlflow")
        _check_secret("mlflow.secretName", mlflow.secret_name, folder, keys, ascii_only=bool(mlflow.token_key))
        if not mlflow.token_key:
            log.hide(":".join(credential.read_key(Path(folder), key) for key in basic.values()))


def find_key(where: str, secret: str, folder: str, value: str, key: str) -> Path:
    """Return the file of a key of a mounted Secret. `value` names the key in the values, `where` the Secret.

    Raises:
        RunnerError: it does not exist.
    """
    file = Path(folder) / key
    if not file.exists():
        # The mount is optional, and the names that begin with dots are the kubelet's.
        if any(not entry.name.startswith("..") for entry in Path(folder).iterdir()):
            problem, fix = "has no key", "add the key to the secret"
        else:
            problem, fix = "does not exist, or has no key", "create the secret, add the key to it"
        raise RunnerError(
            "verify-failed",
            f"{value}: the secret {secret} {problem} {key}",
            f"{fix}, or correct {value}; {where} names the secret",
        )
    return file


def _check_secret(where: str, secret: str, folder: str, keys: Dict[str, str], ascii_only: bool = False) -> None:
    for value, key in keys.items():
        find_key(where, secret, folder, value, key)
        problem = credential.find_problem(Path(folder), key, ascii_only)
        if problem:
            raise RunnerError(
                "verify-failed",
                f"{where} {secret}: {problem}",
                f"put a valid value for {value} into the secret, as one line",
            )
        if not value.endswith((".userKey", ".accessKeyKey")):  # these are names
            log.hide(credential.read_key(Path(folder), key))


def check_workspace(context: Context) -> None:
    try:
        context.workspace.create()
        with tempfile.TemporaryFile(dir=str(context.workspace.state)) as file:
            check_locks(context.workspace.state, file)
    except OSError as error:
        raise RunnerError(
            "verify-failed",
            f"the workspace {context.workspace.root} is not writable: {error}",
            "allow the pod's user or fsGroup to write to the claim",
        ) from error


def check_locks(folder: Path, file: IO[bytes]) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise no_locks("verify-failed", folder, error) from error
        raise


def check_shared_memory(context: Context) -> None:
    wanted, stats = context.settings.run.shared_memory_bytes, os.statvfs(SHARED_MEMORY)
    size = stats.f_blocks * stats.f_frsize
    if size < wanted:
        raise RunnerError(
            "verify-failed",
            f"{SHARED_MEMORY} has {size} bytes, and sharedMemory requests {wanted}",
            "lower sharedMemory, or raise the memory limit",
        )


def _version(argv: List[str], tool: str, users: str) -> str:
    fix = f"use an image with {tool}, or a run without repositories"
    try:
        done = process.run(argv, Path("/"), dict(os.environ), capture=True)
    except OSError as error:
        raise RunnerError("verify-failed", f"{tool} is not in the image, and {users} needs it: {error}", fix) from error
    killed = done.killed(f"{tool} --version")
    if killed:
        raise killed
    if done.code != 0:
        reason = f"{tool} in the image does not run, and {users} needs it: {' '.join(done.tail[-1:])}"
        raise RunnerError("verify-failed", reason, fix)
    return done.output
