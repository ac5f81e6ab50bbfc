"""Renews the requirements.txt of the image recipes from their requirements.in, with the hashes of every file: `make image-pins`.

Needs uv. The first line of a requirements.in has the options for it; images/uv.toml those that all share.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = "# uv: "


def inputs() -> list[Path]:
    """The lists of what the images want: images/*/requirements*.in and those of the end-to-end tests."""
    return sorted(path for folder in ("images", "e2e/images") for path in ROOT.glob(f"{folder}/*/requirements*.in"))


def options(path: Path) -> list[str]:
    """What uv is told for this list. Raises ValueError where its first line does not say."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    if not first.startswith(OPTIONS):
        raise ValueError(f"{path.relative_to(ROOT)}: the first line does not begin with {OPTIONS!r}")
    return shlex.split(first.removeprefix(OPTIONS))


def main() -> int:
    for path in inputs():
        shared = ["--quiet", "--upgrade", "--config-file", str(ROOT / "images/uv.toml")]
        command = ["uv", "pip", "compile", *shared, *options(path), "-o", str(path.with_suffix(".txt")), str(path)]
        subprocess.run(command, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
