"""The git credential helper: answers git from the mounted secret, so that the token is in no URL, argument, environment or file of git.

Git runs it as `python3 -I credential.py <settings.json> get`, so it imports nothing of the runner. It answers only for hosts
of the repositories in the settings and only over https (http where allowPlainHttp is set). `store` and `erase` do nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, Tuple
from urllib.parse import urlsplit


def read_secret(git: Dict[str, Any]) -> Tuple[str, str]:
    """User and token; a newline at the end, which `kubectl create secret --from-file` keeps, is no part of them."""
    folder = Path(git["credentials"])
    user, token = ((folder / git[key]).read_text(encoding="utf-8").rstrip("\r\n") for key in ("userKey", "tokenKey"))
    return user, token


def allowed(settings: Dict[str, Any], protocol: str, host: str) -> bool:
    if protocol != "https" and not (protocol == "http" and settings["git"]["allowPlainHttp"]):
        return False
    urls = [source["repository"] for source in settings["sources"].values() if source["type"] == "git"]
    if settings["publish"]["type"] == "git":
        urls.append(settings["publish"]["repository"])
    return any((parts.scheme, parts.netloc.lower()) == (protocol, host.lower()) for parts in map(urlsplit, urls))


def main() -> None:
    settings_path, operation = sys.argv[1:3]
    request = dict(line.rstrip("\n").split("=", 1) for line in sys.stdin if "=" in line)
    if operation != "get":
        return
    settings = json.loads(Path(settings_path).read_text(encoding="utf-8"))
    if settings["git"]["credentials"] and allowed(settings, request.get("protocol", ""), request.get("host", "")):
        user, token = read_secret(settings["git"])
        sys.stdout.write(f"username={user}\npassword={token}\n")


if __name__ == "__main__":
    main()
