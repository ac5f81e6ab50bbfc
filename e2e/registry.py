"""An OCI registry on this machine: the one of the CNCF, with TLS by the CA of the git server and a password, or with neither."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.steps import BIN
from e2e.gitserver.client import FOLDER

USER, PASSWORD = "publisher", "only-for-tests"
_HASH = "$2b$04$axHEut9WIHASXr66h6dEwub0yhBBTPZgxVgKxlKVyetaPgUKe78UG"
"""Of the password, by bcrypt: the registry takes no other."""
CA_FILE = FOLDER / "ca.crt"


@dataclass(frozen=True)
class Registry:
    address: str
    folder: Path
    """Where it keeps what was pushed."""

    def chart(self, name: str) -> str:
        return f"oci://{self.address}/{name}"

    def blob(self, digest: str) -> Path:
        """The file of a manifest or a layer."""
        kind, _, value = digest.partition(":")
        return self.folder / "docker/registry/v2/blobs" / kind / value[:2] / value / "data"


@contextmanager
def registry(folder: Path, *, secured: bool = True) -> Iterator[Registry]:
    """Runs for as long as the block lasts, on a port of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    configuration: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": "only-for-tests"},
    }
    if secured:
        (folder / "htpasswd").write_text(f"{USER}:{_HASH}\n")
        configuration["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
        tls = {"certificate": str(FOLDER / "tls.crt"), "key": str(FOLDER / "tls.key")}
        configuration["http"] = {"addr": f"127.0.0.1:{port}", "secret": "only-for-tests", "tls": tls}
    (folder / "config.yml").write_text(json.dumps(configuration))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([BIN / "registry", "serve", folder / "config.yml"], stdout=log, stderr=log)
    try:
        _wait(port, process, folder / "log")
        yield Registry(f"localhost:{port}", folder / "data")
    finally:
        process.terminate()
        process.wait(timeout=10)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    process.kill()
    raise RuntimeError(f"the registry does not answer: {log.read_text()}")
