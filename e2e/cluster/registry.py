"""What the tests of published charts need: gpg, which signs them, and an OCI registry."""

from __future__ import annotations

import os
import shutil

from .docker import install_packages
from .from_source.go_modules import build, drop_build_cache
from .from_source.programs import REGISTRY_MODULE
from .steps import step

PACKAGES = {"gpg": ["gpg", "gpg-agent"]}
ADVICE = "Install GnuPG yourself, so that `gpg` is on PATH, or run this as root on Debian."


def ensure() -> None:
    """Builds the registry, and installs gpg, where they are missing."""
    ensure_gpg()
    build(REGISTRY_MODULE)
    drop_build_cache()


def ensure_gpg() -> None:
    with step("install gpg", ADVICE) as current:
        if all(map(shutil.which, PACKAGES)):
            current.cached()
            return
        if os.geteuid() != 0:
            raise current.failure("gpg is not installed, and only root can install it")
        install_packages(current, PACKAGES)
