"""The cluster's node, which is a container of this host."""

from __future__ import annotations

import subprocess

from e2e.cluster import kind
from e2e.kube import CommandError


def in_node(*command: str, text: str | None = None) -> str:
    """Runs a command in the cluster's node."""
    done = subprocess.run(
        ["docker", "exec", "-i", kind.NODE, *command],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        raise CommandError(command, done.returncode, done.stdout + done.stderr)
    return done.stdout
