"""Wheel and sdist of this checkout, and a place in which pip installs the wheel without a network."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from hack.package import package_python
from tests.chart.matrix import ROOT


def checkout(folder: Path) -> Path:
    """A copy of what git tracks, and of what is new: with what is not committed yet."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


def build(factory: pytest.TempPathFactory) -> Path:
    """The folder with wheel and sdist."""
    folder = factory.mktemp("built")
    package_python(folder)
    return folder


def wheel(folder: Path) -> Path:
    (found,) = folder.glob("*.whl")
    return found


def requirements(folder: Path) -> Path:
    """What this Python has of packages, but trainchart: with it as PYTHONPATH, pip finds them installed."""
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "trainchart" not in entry.name and entry.suffix != ".pth":
            (folder / entry.name).symlink_to(entry)
    return folder
