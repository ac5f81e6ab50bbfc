"""Chromium, for the tests of pages in a browser."""

from __future__ import annotations

import os
import shutil

from .docker import install_packages
from .steps import step

# Without a font a page shows no text.
PACKAGES = {"chromium": ["chromium", "fonts-liberation"]}
ADVICE = "Install Chromium yourself, so that `chromium` is on PATH, or run this as root on Debian."


def ensure() -> None:
    """Installs the browser if it is missing."""
    with step("install chromium", ADVICE) as current:
        if all(map(shutil.which, PACKAGES)):
            current.cached()
            return
        if os.geteuid() != 0:
            raise current.failure("chromium is not installed, and only root can install it")
        install_packages(current, PACKAGES)
