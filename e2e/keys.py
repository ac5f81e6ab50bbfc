"""Keys of gpg that sign charts in tests, in a folder of their own; and what Helm verifies with."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def keys(*names: str, kind: str = "ed25519") -> Iterator[Path]:
    """A home of gpg with a secret key without a passphrase for each name; `NAME@example.com` selects it.

    The environment names it (GNUPGHOME) for as long as the block lasts.
    """
    # In a short path: gpg's agent listens on a socket there.
    with tempfile.TemporaryDirectory(prefix="gpg", dir="/tmp") as home:
        before = os.environ.get("GNUPGHOME")
        os.environ["GNUPGHOME"] = home
        try:
            for name in names:
                gpg("--passphrase", "", "--quick-generate-key", f"{name} <{name}@example.com>", kind, "sign", "never")
            yield Path(home)
        finally:
            subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True)
            if before is None:
                del os.environ["GNUPGHOME"]
            else:
                os.environ["GNUPGHOME"] = before


def gpg(*arguments: str | Path, text: str = "") -> str:
    command: Sequence[str] = ["gpg", "--batch", "--yes", *map(str, arguments)]
    return subprocess.run(command, input=text, check=True, capture_output=True, text=True).stdout
