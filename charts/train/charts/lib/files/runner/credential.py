"""The git credential helper: answers git from a mounted Secret, so that the token is in no URL, argument, environment or file of git.

Git runs it as `python3 -I -S credential.py <settings.json> <section> get`, so it imports nothing of the runner. `section` is
the one of the values whose repository git is asked for; only the scheme, host and port of that URL are answered, wherever a
redirect may lead. `store` and `erase` do nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, Optional, Tuple
from urllib.parse import urlsplit

DEFAULT_USER = "oauth2"  # for a token without a user: GitLab wants this one, GitHub and Gitea take any
_PORTS = {"https": 443, "http": 80}


class CredentialError(ValueError):
    """A key of a Secret that cannot be sent. The text never quotes what it holds."""


def read_key(folder: Path, key: str, ascii_only: bool = False) -> str:
    """What a Secret has under a key. A newline at the end, which `kubectl create secret --from-file` keeps, is no part of it.

    Raises:
        FileNotFoundError, CredentialError
    """
    try:
        text = (folder / key).read_bytes().decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise CredentialError(f"{key} is not UTF-8 text") from None  # its own error holds the bytes
    if not text:
        raise CredentialError(f"{key} is empty")
    if not text.isprintable():
        raise CredentialError(f"{key} holds a control character, such as a second line or a byte order mark")
    if ascii_only and not text.isascii():
        raise CredentialError(f"{key} holds characters other than ASCII")
    return text


def fault(folder: Path, key: str, ascii_only: bool = False) -> str:
    """Why what a Secret has under a key cannot be sent; nothing where it can."""
    try:
        read_key(folder, key, ascii_only)
    except (OSError, CredentialError) as error:
        return str(error)
    return ""


def read_git(folder: Path, user_key: str, token_key: str) -> Tuple[str, str]:
    """User and token; a Secret may have the token alone.

    Raises:
        FileNotFoundError, CredentialError
    """
    token = read_key(folder, token_key)
    try:
        return read_key(folder, user_key), token
    except FileNotFoundError:
        return DEFAULT_USER, token


def origin(url: str) -> Optional[Tuple[str, str, int]]:
    """Scheme, host and port of a URL; None where it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname and port else None


def repository(settings: Dict[str, Any], section: str) -> str:
    """The URL that a section of the values names; "" where it names none."""
    place = settings["publish"] if section == "publish" else settings["sources"].get(section, {})
    return str(place.get("repository", "")) if place.get("type") == "git" else ""


def answer(settings: Dict[str, Any], section: str, protocol: str, host: str) -> str:
    """What git is told: nothing where the Secret of the section is not for this server.

    Raises:
        OSError, CredentialError
    """
    git = settings["git"]
    folder = git["credentials"].get(section, {}).get("folder")
    asked = origin(f"{protocol}://{host}")
    if not folder or asked is None or asked != origin(repository(settings, section)):
        return ""
    if protocol != "https" and not git["allowPlainHttp"]:
        return ""
    user, token = read_git(Path(folder), git["userKey"], git["tokenKey"])
    return f"username={user}\npassword={token}\n"


def main() -> None:
    path, section, operation = sys.argv[1:4]
    request = dict(line.rstrip("\n").split("=", 1) for line in sys.stdin if "=" in line)
    if operation != "get":
        return
    settings = json.loads(Path(path).read_text(encoding="utf-8"))
    try:
        sys.stdout.write(answer(settings, section, request.get("protocol", ""), request.get("host", "")))
    except (OSError, CredentialError) as error:  # verify has read it; it was changed since
        sys.stderr.write(f"error: {settings['git']['credentials'][section]['key']}: {error}\n")


if __name__ == "__main__":
    main()
