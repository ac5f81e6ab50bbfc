"""mypy over the families' programs: `make lint` calls it after mypy has seen everything else.

Each family has modules of the same names, so each is looked at by itself, as the runner uses it: the hooks are modules of a package
called `family`, and the other files are programs whose folder is on the path.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FAMILIES = ROOT / "charts" / "train" / "charts" / "lib" / "files" / "families"


def mypy(family: Path, path: Path, *what: str) -> bool:
    """Whether mypy has nothing to say of these modules or files."""
    cache = ROOT / ".mypy_cache" / "families" / family.name
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(cache), "--no-error-summary", *what]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "MYPYPATH": str(path)}, check=False).returncode == 0


def main() -> int:
    passed = []
    for family in sorted(path.parent for path in FAMILIES.glob("*/hooks.py")):
        programs = [str(path) for path in sorted(family.glob("*.py")) if path.name != "hooks.py"]
        passed.append(mypy(family, family, *programs))
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "family").symlink_to(family)
            passed.append(mypy(family, Path(folder), "--module", "family.hooks"))
    return 0 if passed and all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
