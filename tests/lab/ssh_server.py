"""A real sshd in front of the repositories of `git_server`, with a gate as git servers have one: it runs git and
git-lfs-authenticate for the keys that it knows, and nothing else.
"""

from __future__ import annotations

import contextlib
import getpass
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .git_server import TOKEN, USER, Server

GATE = Path(__file__).with_name("ssh_gate.py")


@dataclass
class SshServer:
    """`folder` has its keys: `host`, and by their rights `write`, `read` and `none`; `stranger` may not log in."""

    folder: Path
    port: int
    log: Path

    def url(self, name: str) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}/{name}"

    def known_hosts(self, *hosts: str, key: str = "host") -> str:
        """Lines of known_hosts, as ssh-keyscan prints them."""
        public = " ".join((self.folder / f"{key}.pub").read_text().split()[:2])
        return "".join(f"[{host}]:{self.port} {public}\n" for host in hosts or ("127.0.0.1",))


def make_key(path: Path, *options: str) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests", *options, "-f", path], check=True)
    return path


@contextlib.contextmanager
def serving(base: Path, server: Server) -> Iterator[SshServer]:
    """The server until the end of the block; without an sshd on this machine the test is skipped."""
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if not sshd:
        pytest.skip("no sshd: install openssh-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in ("host", "other-host", "write", "read", "none", "stranger"):
        make_key(base / name)
    gate = f"{sys.executable} {GATE} {server.folder} {server.url} {USER}:{TOKEN}"
    (base / "authorized_keys").write_text(
        "".join(
            f'restrict,command="{gate} {right}" {(base / f"{right}.pub").read_text()}'
            for right in ("write", "read", "none")
        )
    )
    options = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": base / "host",
        "AuthorizedKeysFile": base / "authorized_keys",
        "AcceptEnv": "GIT_PROTOCOL",
        "StrictModes": "no",
        "UsePAM": "no",
        "PidFile": "none",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "LogLevel": "VERBOSE",
    }
    (base / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in options.items()))
    Path("/run/sshd").mkdir(exist_ok=True)  # root's sshd asks for it
    with (base / "log").open("w") as log:
        process = subprocess.Popen([sshd, "-D", "-e", "-f", base / "sshd_config"], stdout=log, stderr=log)
    try:
        until = time.monotonic() + 20
        while "Server listening" not in (base / "log").read_text():
            assert process.poll() is None, (base / "log").read_text()
            assert time.monotonic() < until, "sshd did not start"
            time.sleep(0.02)
        yield SshServer(base, port, base / "log")
    finally:
        process.kill()
        process.wait()
