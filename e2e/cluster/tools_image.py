"""The image of the tools, from the recipe in images/trainchart and a wheel of this checkout."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from . import docker
from .docker import Base
from .steps import HERE, digest, step, temporary_folder

ROOT = HERE.parents[1]
RECIPE = ROOT / "images" / "trainchart"
# What the wheel is made of.
SOURCES = ("LICENSE", "README.md", "MANIFEST.in", "pyproject.toml", "setup.py", "charts", "tools", "values/schema.json")
IGNORED = ("__pycache__", ".egg-info")
ADVICE = "Needs Debian's packages and PyPI; run the same command again."


def name() -> str:
    version = re.search(r'^__version__ = "(.+)"', (ROOT / "tools/trainchart/version.py").read_text(), re.MULTILINE)
    assert version, "tools/trainchart/version.py has no version"
    return f"trainchart/trainchart:{version[1]}"


def build(base: Base, helm: Base) -> str:
    """Builds the image unless it stands, with the helm program out of an image that has it; returns its name."""
    image = name()
    with step(f"build image {image}", ADVICE) as current:
        files = [file for source in (*SOURCES, "images/trainchart") for file in _files(ROOT / source)]
        content = (word for file in files for word in (str(file.relative_to(ROOT)), file.read_bytes()))
        key = digest(base.key, helm.key, *content)
        if docker.image_key(image) == key:
            current.cached()
            return image
        with temporary_folder() as work:
            # In a copy: setuptools would put into the wheel whatever an earlier build has left in the checkout.
            for file in files:
                place = work / "checkout" / file.relative_to(ROOT)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)
            recipe = work / "checkout" / RECIPE.relative_to(ROOT)
            wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(recipe)]
            current.run([*wheel, work / "checkout"])
            docker.build_image(current, image, recipe, key, [f"BASE={base.name}", f"HELM={helm.name}"])
    return image


def _files(source: Path) -> list[Path]:
    """A file, or the files below a folder, but those that a program has left there."""
    found = sorted(source.rglob("*")) if source.is_dir() else [source]
    return [file for file in found if file.is_file() and not any(word in str(file) for word in IGNORED)]
