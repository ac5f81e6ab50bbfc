"""`make release VERSION=0.2.0`: sets the version, closes the changelog's section, commits and tags. docs/releasing.md explains it."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION_FILE = "tools/trainchart/version.py"
CHANGELOG = "CHANGELOG.md"
UNRELEASED = "## Unreleased\n"


class ReleaseError(Exception):
    """Why nothing was released, in one line with the fix."""


def with_version(text: str, version: str) -> str:
    """The text of VERSION_FILE with another version; raises ReleaseError where it is not a later one."""
    current = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if not current:
        raise ReleaseError(f"{VERSION_FILE} has no line __version__ = ...; restore it")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ReleaseError(f"VERSION={version} is not a version; give three numbers, such as 1.2.3")
    if _numbers(version) <= _numbers(current[1]):
        raise ReleaseError(f"VERSION={version} is not later than {current[1]}; give a later one")
    return text.replace(current[0], f'__version__ = "{version}"')


def with_release(text: str, version: str, date: str) -> str:
    """The changelog with its unreleased section under the version, below a new empty one; raises ReleaseError."""
    _, found, rest = text.partition(UNRELEASED)
    if not found or not rest.partition("\n## ")[0].strip():
        raise ReleaseError(f'{CHANGELOG} has nothing under "Unreleased"; write what has changed')
    return text.replace(UNRELEASED, f"{UNRELEASED}\n## {version} - {date}\n", 1)


def release(root: Path, version: str, date: str) -> None:
    """Make the commit and its tag; raises ReleaseError, and then has changed nothing."""
    if git(root, "branch", "--show-current") != "main":
        raise ReleaseError("a release is made on the branch main; run: git switch main")
    if git(root, "status", "--porcelain"):
        raise ReleaseError("the checkout has changes; commit or stash them")
    if git(root, "tag", "--list", f"v{version}"):
        raise ReleaseError(f"the tag v{version} exists; give another VERSION")
    changed = {
        VERSION_FILE: with_version((root / VERSION_FILE).read_text(encoding="utf-8"), version),
        CHANGELOG: with_release((root / CHANGELOG).read_text(encoding="utf-8"), version, date),
    }
    for name, text in changed.items():
        (root / name).write_text(text, encoding="utf-8")
    # In a process of its own, which reads the new version.
    subprocess.run([sys.executable, "-m", "hack.generate"], cwd=root, check=True)
    git(root, "commit", "--quiet", "--all", "--message", f"release: {version}")
    git(root, "tag", "--annotate", f"v{version}", "--message", f"trainchart {version}")


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def main() -> int:
    version = sys.argv[1] if len(sys.argv) > 1 else ""
    try:
        release(ROOT, version, datetime.now(timezone.utc).date().isoformat())
    except ReleaseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
