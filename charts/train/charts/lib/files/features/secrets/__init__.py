"""`secretEnv` and `secretFiles`: keys of Secrets for the trainer and its export, which the log does not show.

The chart mounts them in one folder, as env/<variable> and files/<path in HOME>.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict

from runner import log
from runner.context import Context
from runner.errors import RunnerError
from runner.settings import SecretKey


def check(context: Context) -> None:
    """Check that every key exists, and can be what it is for. Raises RunnerError, which never quotes a value."""
    folder, settings = _folder(context), context.settings
    for name, secret in settings.secret_env.items():
        log.hide(_read_variable(f"secretEnv.{name}", secret, folder / "env" / name))
    for path, secret in settings.secret_files.items():
        log.hide(_read(f"secretFiles.{path}", secret, folder / "files" / path).decode("utf-8", "ignore"))


def give(context: Context) -> Dict[str, str]:
    """Return the variables, as their Secrets are now, and link the files in HOME. Raises RunnerError."""
    check(context)
    folder, settings = _folder(context), context.settings
    for path in settings.secret_files:
        link = Path(os.environ["HOME"]) / path
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(folder / "files" / path)
    return {
        name: _read_variable(f"secretEnv.{name}", secret, folder / "env" / name)
        for name, secret in settings.secret_env.items()
    }


def _folder(context: Context) -> Path:
    return Path(context.settings.pod.mounts["secrets"]) / "program"


def _read(where: str, secret: SecretKey, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise RunnerError(
            "verify-failed",
            f"{where}: the secret {secret.secret_name} does not exist, or has no key {secret.key}",
            f"create the secret, add the key to it, or correct {where}",
        ) from None


def _read_variable(where: str, secret: SecretKey, file: Path) -> str:
    """Return the value, without the newline at its end that `kubectl create secret --from-file` keeps."""
    content = _read(where, secret, file)
    try:
        text = content.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not text or "\x00" in text:
        raise RunnerError(
            "verify-failed",
            f"{where}: key {secret.key} of the secret {secret.secret_name} is empty, or not UTF-8 text",
            f"put text into the key, or correct {where}",
        )
    return text
