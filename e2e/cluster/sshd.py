"""sshd, for the tests against a real one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .docker import install_packages
from .steps import step

PACKAGES = {"sshd": ["openssh-server"]}


def ensure() -> None:
    """Installs sshd if it is missing, but not where a service manager would start it for everybody: there the tests that
    need it are skipped.
    """
    with step("install sshd") as current:
        may_install = os.geteuid() == 0 and not Path("/run/systemd/system").exists()
        if all(map(shutil.which, PACKAGES)) or not may_install:
            current.cached()
        else:
            install_packages(current, PACKAGES)
