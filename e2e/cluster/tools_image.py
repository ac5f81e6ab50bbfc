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
SOURCES = ("LICENSE", "README.md", "pyproject.toml", "charts", "deploy", "docs", "tools", "values/schema.json")
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
            context = shutil.copytree(recipe, work / recipe.name, ignore=shutil.ignore_patterns("*.whl"))
            wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(context)]
            current.run([*wheel, ROOT])
            docker.build_image(current, image, context, key, [f"{name}={base.name}" for name, base in bases.items()])
    return image


def _files(source: Path) -> list[Path]:
    """A file, or the files below a folder, but those that a program has left there."""
    found = sorted(source.rglob("*")) if source.is_dir() else [source]
    return [file for file in found if file.is_file() and "__pycache__" not in file.parts]
