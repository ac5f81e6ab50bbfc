"""The SDK of Kubeflow Pipelines in an environment of its own: its pins are not those of requirements.txt."""

from __future__ import annotations

import shutil
import sys

from .steps import CACHE, HERE, digest, step

REQUIREMENTS = HERE.parent / "kubeflow" / "requirements.txt"
ENVIRONMENT = CACHE / "kubeflow"
PYTHON = ENVIRONMENT / "bin" / "python"
ADVICE = "Needs PyPI; run the same command again."


def ensure() -> None:
    """Installs the SDK, unless its pins are there."""
    with step("install the SDK of Kubeflow Pipelines", ADVICE) as current:
        mark, key = ENVIRONMENT / "ready", digest(REQUIREMENTS.read_bytes(), sys.version)
        if mark.exists() and mark.read_text() == key:
            current.cached()
            return
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        current.run([sys.executable, "-m", "venv", ENVIRONMENT])
        install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r"]
        current.run([PYTHON, *install, REQUIREMENTS])
        mark.write_text(key)
