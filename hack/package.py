"""What is handed out, into one folder: the charts as Helm packs them, the wheel, and the sdist. `make package` calls it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHARTS = (ROOT / "charts/train", ROOT / "charts/platform")
EPOCH = 1767225600
"""The time that packed files get where nothing else is asked for (SOURCE_DATE_EPOCH): the same bytes on every machine."""


def package_chart(folder: Path, *, helm: str = "helm", chart: Path = CHARTS[0]) -> Path:
    """A chart as `helm package` (of Helm 4, which keeps the times of files) makes it; the same chart gives the same bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        staged = Path(shutil.copytree(chart, Path(scratch, chart.name)))
        epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or EPOCH)
        for path in staged.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (epoch, epoch))
        command = [helm, "package", str(staged), "--destination", str(folder)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Path(said.strip().rpartition(": ")[2])


def package_python(folder: Path, *, root: Path = ROOT) -> list[Path]:
    """The wheel and the sdist of the tools; the same files give the same bytes."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder.resolve())]
    environment = {"SOURCE_DATE_EPOCH": str(EPOCH), **os.environ}
    before = set(folder.iterdir())
    subprocess.run(command, check=True, cwd=root, capture_output=True, text=True, env=environment)
    return sorted(set(folder.iterdir()) - before)


def main() -> int:
    folder = ROOT / "dist"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in (*(package_chart(folder, chart=chart) for chart in CHARTS), *package_python(folder)):
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size >> 10} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
