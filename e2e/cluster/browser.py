"""Chromium, for the tests that look at pages."""

from __future__ import annotations

import os
import shutil

from .docker import install_packages
from .steps import step

# Without a font a page has no words.
PACKAGES = {"chromium": ["chromium", "fonts-liberation"]}
ADVICE = "Install Chromium yourself, so that `chromium` is on PATH, or run this as root on Debian."


def ensure() -> None:
    """Installs the browser where it lacks."""
    with step("install chromium", ADVICE) as current:
        if all(map(shutil.which, PACKAGES)):
            current.cached()
            return
        if os.geteuid() != 0:
            raise current.failure("there is no chromium, and only root can install it")
        install_packages(current, PACKAGES)
