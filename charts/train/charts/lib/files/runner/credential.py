"""The git credential helper: answers git from a mounted Secret, so that no URL, argument, environment or file of git
has the token.

Git runs it as `python3 -I -S credential.py <settings.json> <section> <folder> <LFS folder> get`, so it imports nothing
of the runner. `section` is the section of the values that names the repository, and `folder` is where its Secret is
mounted ("" for none), `LFS folder` that of its lfs.secretName; requests for another scheme, host or port than their URLs'
get no answer, wherever a redirect leads. `store` and `erase` do nothing.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Dict, Optional, Tuple
from urllib.parse import urlsplit

DEFAULT_USER = "oauth2"  # for a token without a user: GitLab requires this name, GitHub and Gitea accept any
_PORTS = {"https": 443, "http": 80, "ssh": 22}
_SCP = re.compile(r"([^/@:]+@(?:\[[^]]*\]|[^/@:]+)):(?!//)")  # git@host:path


class CredentialError(ValueError):
    """A key of a Secret that cannot be sent. The message never quotes its value."""


def read_key(folder: Path, key: str, ascii_only: bool = False) -> str:
    """Return the value of a key of a mounted Secret, without the newline at its end that `kubectl create secret
    --from-file` keeps.

    Raises:
        FileNotFoundError, CredentialError
    """
    try:
        text = (folder / key).read_bytes().decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise CredentialError(f"{key} is not UTF-8 text") from None  # the original error holds the bytes
    if not text:
        raise CredentialError(f"{key} is empty")
    if not text.isprintable():
        raise CredentialError(f"{key} holds a control character, such as a second line or a byte order mark")
    if ascii_only and not text.isascii():
        raise CredentialError(f"{key} holds characters other than ASCII")
    return text


def find_problem(folder: Path, key: str, ascii_only: bool = False) -> str:
    """Return why a key of a Secret cannot be sent, or "" if it can."""
    try:
        read_key(folder, key, ascii_only)
    except (OSError, CredentialError) as error:
        return str(error)
    return ""


def read_git(folder: Path, user_key: str, token_key: str) -> Tuple[str, str]:
    """Return user and token; a Secret may have only the token.

    Raises:
        FileNotFoundError, CredentialError
    """
    token = read_key(folder, token_key)
    try:
        return read_key(folder, user_key), token
    except FileNotFoundError:
        return DEFAULT_USER, token


def origin(url: str) -> Optional[Tuple[str, str, int]]:
    """Return scheme, host and port of a URL; None if it has no host or port."""
    try:
        parts = urlsplit(_SCP.sub(r"ssh://\1/", url, 1) if _SCP.match(url) else url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port) if parts.hostname and port else None


def repository(settings: Dict[str, Any], section: str) -> str:
    """Return the repository URL of a section of the values, or "" if it has none."""
    place = settings[section] if section in ("model", "dataset", "publish") else {}
    return str(place.get("repository", "")) if place.get("type") == "git" else ""


def answer(settings: Dict[str, Any], section: str, folder: str, lfs_folder: str, protocol: str, host: str) -> str:
    """Return the answer for git: "" if none of the section's Secrets is for this server.

    Raises:
        OSError, CredentialError
    """
    git = settings["git"]
    requested = origin(f"{protocol}://{host}")
    if requested is not None and requested != origin(repository(settings, section)):
        lfs = settings.get(section, {}).get("lfs", {}).get("url", "")
        folder = lfs_folder if requested == origin(lfs) else ""
    if not folder or requested is None:
        return ""
    if protocol != "https" and not git["allowPlainHttp"]:
        return ""
    user, token = read_git(Path(folder), git["userKey"], git["tokenKey"])
    return f"username={user}\npassword={token}\n"


def main() -> None:
    path, section, folder, lfs_folder, operation = sys.argv[1:6]
    request = dict(line.rstrip("\n").split("=", 1) for line in sys.stdin if "=" in line)
    if operation != "get":
        return
    settings = json.loads(Path(path).read_text(encoding="utf-8"))
    try:
        asked = request.get("protocol", ""), request.get("host", "")
        sys.stdout.write(answer(settings, section, folder, lfs_folder, *asked))
    except (OSError, CredentialError) as error:  # verify has read it, so it has changed since
        sys.stderr.write(f"error: {settings['run']['credentials'][section]}.secretName: {error}\n")


if __name__ == "__main__":
    main()
