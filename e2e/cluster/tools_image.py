"""Images with a wheel of this checkout: the tools (images/trainchart), and a notebook server's Python (e2e/images/notebook)."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from . import docker
from .docker import Base
from .steps import HERE, digest, step, temporary_folder

ROOT = HERE.parents[1]
RECIPE = ROOT / "images" / "trainchart"
NOTEBOOK_RECIPE = ROOT / "e2e" / "images" / "notebook"
NOTEBOOK = "trainchart/notebook:e2e"
# What the wheel is made of.
SOURCES = ("LICENSE", "README.md", "MANIFEST.in", "pyproject.toml", "setup.py", "charts", "tools", "values/schema.json")
IGNORED = ("__pycache__", ".egg-info")
ADVICE = "Needs Debian's packages and PyPI; run the same command again."


def name() -> str:
    version = re.search(r'^__version__ = "(.+)"', (ROOT / "tools/trainchart/version.py").read_text(), re.MULTILINE)
    assert version, "tools/trainchart/version.py has no version"
    return f"trainchart/trainchart:{version[1]}"


def build(base: Base, helm: Base) -> str:
    """Builds the image of the tools, with the helm program out of an image that has it; returns its name."""
    return _build(name(), RECIPE, {"BASE": base, "HELM": helm})


def build_notebook(base: Base) -> str:
    """Builds the image of a notebook, and returns its name."""
    return _build(NOTEBOOK, NOTEBOOK_RECIPE, {"BASE": base})


def _build(image: str, recipe: Path, bases: Mapping[str, Base]) -> str:
    """Builds an image from a recipe and a wheel, unless it stands."""
    with step(f"build image {image}", ADVICE) as current:
        files = [file for source in (*SOURCES, recipe.relative_to(ROOT)) for file in _files(ROOT / source)]
        content = (word for file in files for word in (str(file.relative_to(ROOT)), file.read_bytes()))
        key = digest(*(base.key for base in bases.values()), *content)
        if docker.image_key(image) == key:
            current.cached()
            return image
        with temporary_folder() as work:
            # In a copy: setuptools would put into the wheel whatever an earlier build has left in the checkout.
            for file in files:
                place = work / "checkout" / file.relative_to(ROOT)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place)
            copy = work / "checkout" / recipe.relative_to(ROOT)
            wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(copy)]
            current.run([*wheel, work / "checkout"])
            docker.build_image(current, image, copy, key, [f"{name}={base.name}" for name, base in bases.items()])
    return image


def _files(source: Path) -> list[Path]:
    """A file, or the files below a folder, but those that a program has left there."""
    found = sorted(source.rglob("*")) if source.is_dir() else [source]
    return [file for file in found if file.is_file() and not any(word in str(file) for word in IGNORED)]
