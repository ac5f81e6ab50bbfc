"""Repositories over SSH: a whole run, what keeps the key from other servers, and how it fails."""

from __future__ import annotations

import os
import re
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from features import ssh
from runner import checkout, verify
from runner.context import Context, Pinned
from runner.errors import RunnerError
from runner.git import Git
from runner.remote import Remote

from .git_server import Server, git, push
from .ssh_server import SshServer, make_key, serving
from .test_git_server import attempt
from .test_repositories import POINTER

pytestmark = pytest.mark.lab


@pytest.fixture(scope="session")
def ssh_server(lfs_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with serving(tmp_path_factory.mktemp("ssh"), lfs_server) as found:
        yield found


@pytest.fixture
def ssh_secret(secret: Path, ssh_server: SshServer) -> Path:
    """The Secret of a run, with a key that may write."""
    for name in ("GIT_USER", "GIT_TOKEN"):
        (secret / name).unlink()
    (secret / "ssh-privatekey").write_bytes((ssh_server.folder / "write").read_bytes())
    (secret / "known_hosts").write_text(ssh_server.known_hosts())
    return secret


@pytest.fixture
def make_run(
    server: Server, ssh_server: SshServer, ssh_secret: Path, tmp_path: Path, make_context: Callable[..., Context]
) -> Callable[..., Context]:
    """A run whose three repositories are reached over SSH."""

    def make(**changes: Any) -> Context:
        urls = {}
        for name in ("model", "data", "out"):
            server.repository(f"{tmp_path.name}-{name}.git")
            urls[name] = ssh_server.url(f"{tmp_path.name}-{name}.git")
        push(server, f"{tmp_path.name}-model.git", {"train.py": "pass"})
        push(server, f"{tmp_path.name}-data.git", {"big.bin": "data " * 4000}, lfs="*.bin")
        sources = {
            name: {"type": "git", "repository": url, "revision": "main", "path": name}
            for name, url in (("model", urls["model"]), ("dataset", urls["data"]))
        }
        return make_context(
            {"sources": sources, "publish.repository": urls["out"], "publish.branch": "result", **changes}
        )

    return make


def test_a_run_over_ssh_with_lfs_gets_its_sources_and_pushes_its_result(
    make_run: Callable[..., Context], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_run()
    server.signed_objects = True
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.setattr("features.ssh.SHARED_MEMORY", str(memory))
    verify.check_tools(context)
    verify.check_secrets(context)
    attempt(context)
    result = server.folder / f"{tmp_path.name}-out.git"
    assert "model.pt" in git("ls-tree", "--name-only", "result", cwd=result)
    assert not list(memory.iterdir())  # no copy of the key is left


@dataclass(frozen=True)
class Fault:
    """A row: what is wrong, and what is said of it by the first look at the model."""

    name: str
    words: tuple[str, ...]
    key: str = "write"
    known_hosts: Callable[[SshServer], str] = lambda ssh: ssh.known_hosts()
    url: Callable[[str, SshServer, Server], str] = lambda url, ssh, server: url
    code: str = "prepare-failed"


FAULTS = [
    Fault("an unknown host", ("host key is not in git.secretName git-credentials", "ssh-keyscan"), known_hosts=lambda ssh: ssh.known_hosts("h")),
    Fault("a host with another key", ("host key is not the one", "somebody may be between"), known_hosts=lambda ssh: ssh.known_hosts(key="other-host")),
    Fault("a key that the server does not know", ("the server refused the key of git.secretName git-credentials", "Permission denied (publickey", "deploy key"), key="stranger"),
    Fault("a key of another repository", ("the repository does not exist, or the credentials have no access", "Repository not found"), key="none"),
    Fault("a repository that does not exist", ("the repository does not exist",), url=lambda url, ssh, server: ssh.url("lost.git")),
    Fault("a port that is closed", ("cannot be reached", "Connection refused"), url=lambda url, ssh, server: url.replace(f":{ssh.port}", ":9"), code="prepare-unreachable"),
    Fault("a host that has no address", ("cannot be resolved",), url=lambda url, ssh, server: url.replace("127.0.0.1", "lost.invalid"), code="prepare-unreachable"),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_how_ssh_fails_is_said_in_words(
    fault: Fault,
    server: Server,
    ssh_server: SshServer,
    ssh_secret: Path,
    make_context: Callable[..., Context],
    tmp_path: Path,
) -> None:
    server.repository(f"{tmp_path.name}.git")
    push(server, f"{tmp_path.name}.git", {"train.py": "pass"})
    (ssh_secret / "ssh-privatekey").write_bytes((ssh_server.folder / fault.key).read_bytes())
    (ssh_secret / "known_hosts").write_text(fault.known_hosts(ssh_server))
    url = fault.url(ssh_server.url(f"{tmp_path.name}.git"), ssh_server, server)
    context = make_context({"sources": {"model": {"repository": url}}, "publish": {"type": "none"}})
    with pytest.raises(RunnerError) as caught:
        Git(context).resolve(Remote("model", url), "main", tmp_path)
    said = f"{caught.value.reason}; {caught.value.fix}"
    assert caught.value.exit.name == fault.code, said
    for words in fault.words:
        assert words in said
    assert "PRIVATE KEY" not in said


class _Alert(socketserver.BaseRequestHandler):
    """Answers as a TLS server does to what is no TLS."""

    def handle(self) -> None:
        self.request.sendall(b"\x15\x03\x01\x00\x02\x02\x16")


def test_a_port_of_another_kind_of_server_is_told(
    ssh_server: SshServer, ssh_secret: Path, make_context: Callable[..., Context], tmp_path: Path
) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), _Alert) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        url = ssh_server.url("x.git").replace(f":{ssh_server.port}", f":{other.server_address[1]}")
        context = make_context({"sources": {"model": {"repository": url}}, "publish": {"type": "none"}})
        with pytest.raises(RunnerError, match="the port is not one of an SSH server"):
            Git(context).resolve(Remote("model", url), "main", tmp_path)
        other.shutdown()


def test_a_key_that_may_only_read_is_told_before_the_training(
    make_run: Callable[..., Context], ssh_server: SshServer, ssh_secret: Path
) -> None:
    (ssh_secret / "ssh-privatekey").write_bytes((ssh_server.folder / "read").read_bytes())
    with pytest.raises(RunnerError, match=r"access denied.*read only") as caught:
        attempt(make_run())
    assert caught.value.exit.name == "publish-refused"
    assert "write to" in caught.value.fix


def test_an_lfsconfig_cannot_lead_the_key_to_another_host(
    server: Server, ssh_server: SshServer, ssh_secret: Path, make_context: Callable[..., Context], tmp_path: Path
) -> None:
    """Although the host is one of known_hosts, as those of all big servers may be."""
    name = f"{tmp_path.name}.git"
    server.repository(name)
    elsewhere = ssh_server.url(name).replace("127.0.0.1", "localhost")
    (ssh_secret / "known_hosts").write_text(ssh_server.known_hosts("127.0.0.1", "localhost"))
    commit = push(server, name, {".lfsconfig": f"[lfs]\n\turl = {elsewhere}\n", "a.pt": POINTER})
    url = ssh_server.url(name)
    context = make_context({"sources": {"model": {"repository": url}}, "publish": {"type": "none"}})
    fetched = Pinned(url, "main", commit)
    with pytest.raises(
        RunnerError, match=r"host key .*\(localhost, reached by .* the repository's .lfsconfig\)"
    ) as caught:
        checkout.fetch(Git(context), "model", fetched, context.source_path("model"), context.workspace.room)
    assert "for LFS data on another server set model.lfs.url" in caught.value.fix


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_windows_does_to_files_is_no_fault_of_a_key_or_of_known_hosts(
    encoding: str, make_run: Callable[..., Context], ssh_server: SshServer, ssh_secret: Path, tmp_path: Path
) -> None:
    """Its line ends, none at the end, and what `>` of PowerShell writes."""
    for name in ("ssh-privatekey", "known_hosts"):
        text = (ssh_secret / name).read_text().strip().replace("\n", "\r\n")
        (ssh_secret / name).write_bytes(text.encode(encoding))
    context = make_run()
    verify.check_secrets(context)
    remote = Remote("model", context.settings.model.repository)
    assert Git(context).resolve(remote, "main", tmp_path).commit


LISTED: dict[str, Callable[[int, str], str]] = {
    "without its port": lambda port, key: f"127.0.0.1 {key}\n",
    "in a list": lambda port, key: f"git.example.com,[127.0.0.1]:{port} {key}\n",
    "by a pattern": lambda port, key: f"[127.0.0.*]:{port} {key}\n",
    "beside an authority": lambda port, key: f"@cert-authority *.example.com {key}\n[127.0.0.1]:{port} {key}\n",
    "below a damaged line": lambda port, key: f"damaged\n\n# a remark\n[127.0.0.1]:{port}\t{key} a remark\n",
}


@pytest.mark.parametrize("case", LISTED)
def test_a_host_key_that_ssh_finds_is_found_in_verify(
    case: str, make_run: Callable[..., Context], ssh_server: SshServer, ssh_secret: Path, tmp_path: Path
) -> None:
    key = " ".join((ssh_server.folder / "host.pub").read_text().split()[:2])
    (ssh_secret / "known_hosts").write_text(LISTED[case](ssh_server.port, key))
    context = make_run()
    verify.check_secrets(context)
    remote = Remote("model", context.settings.model.repository)
    assert Git(context).resolve(remote, "main", tmp_path).commit


def test_a_session_that_the_server_drops_is_opened_again(
    make_run: Callable[..., Context], server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    context = make_run()
    remote = Remote("model", context.settings.model.repository)
    drop = server.folder / "drop"
    drop.touch()
    assert Git(context).resolve(remote, "main", tmp_path).commit
    assert not drop.exists()
    said = capsys.readouterr().out
    assert "event=retry" in said
    assert "closed by remote host" in said


KEYS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "the public half": (lambda key: b"ssh-ed25519 AAAAC3Nz tests\n", "is a public key; put the private key there"),
    "PuTTY's format": (lambda key: b"PuTTY-User-Key-File-3: ssh-ed25519\n", "is in PuTTY's format; convert it: puttygen"),
    "a token": (lambda key: b"glpat-canary\n", "is not a private key; put the whole file"),
    "half of a key": (lambda key: key[: len(key) // 2], r"is damaged or not whole \(.*; put the whole file"),
    "a key in one line": (lambda key: key.replace(b"\n", b" "), r"is damaged or not whole \(.*; put the whole file"),
}  # fmt: skip


@pytest.mark.parametrize("case", KEYS)
def test_what_is_no_private_key_is_said_in_verify(
    case: str, make_run: Callable[..., Context], ssh_server: SshServer, ssh_secret: Path
) -> None:
    change, words = KEYS[case]
    (ssh_secret / "ssh-privatekey").write_bytes(change((ssh_server.folder / "write").read_bytes()))
    with pytest.raises(RunnerError) as caught:
        verify.check_secrets(make_run())
    said = f"{caught.value.reason}; {caught.value.fix}"
    assert re.match(f"git.secretName git-credentials: key ssh-privatekey {words}", said), said


def test_a_key_of_a_type_that_servers_take_from_nobody_is_said_in_verify(
    make_run: Callable[..., Context], ssh_secret: Path, tmp_path: Path
) -> None:
    try:
        (ssh_secret / "ssh-privatekey").write_bytes(make_key(tmp_path / "dsa", "-t", "dsa").read_bytes())
    except subprocess.CalledProcessError:
        pytest.skip("this ssh-keygen makes no keys of DSA any more")
    with pytest.raises(RunnerError, match="is of type ssh-dss, which no server gets from a run") as caught:
        verify.check_secrets(make_run())
    assert "ssh-keygen -t ed25519" in caught.value.fix


def test_a_passphrase_and_a_lacking_host_key_are_said_in_verify(
    make_run: Callable[..., Context], ssh_server: SshServer, ssh_secret: Path, tmp_path: Path
) -> None:
    context = make_run()
    (ssh_secret / "known_hosts").write_text(ssh_server.known_hosts("git.example.com"))
    with pytest.raises(RunnerError, match=r"key known_hosts has no host key of 127.0.0.1, port \d+, for model.reposi"):
        verify.check_secrets(context)
    (ssh_secret / "known_hosts").unlink()
    with pytest.raises(RunnerError, match=r"git.knownHostsKey: the secret git-credentials has no key known_hosts"):
        verify.check_secrets(context)
    (ssh_secret / "known_hosts").write_text(ssh_server.known_hosts())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", ssh_secret / "known_hosts"], check=True, capture_output=True)
    verify.check_secrets(context)  # names that are hashed are found too
    (ssh_secret / "ssh-privatekey").write_bytes(make_key(tmp_path / "locked", "-N", "sesame").read_bytes())
    with pytest.raises(RunnerError, match="is protected by a passphrase, which nobody can enter in a run"):
        verify.check_secrets(context)


def test_shared_memory_that_the_trainer_has_filled_is_told(
    make_run: Callable[..., Context], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", memory], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    monkeypatch.setattr(ssh, "SHARED_MEMORY", str(memory))
    context = make_run()
    try:
        (memory / "torch_1").write_bytes(b"x" * 4096)
        with pytest.raises(RunnerError, match="has no room for what ssh reads") as caught:
            Git(context).resolve(Remote("model", context.settings.model.repository), "main", tmp_path)
        assert (caught.value.exit.name, caught.value.fix) == ("prepare-no-space", "raise sharedMemory")
        assert [path.name for path in memory.iterdir()] == ["torch_1"]
    finally:
        subprocess.run(["umount", "-l", memory], check=True)


def test_an_image_without_ssh_is_told_in_verify(
    make_run: Callable[..., Context], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_run()
    for program in ("git", "git-lfs"):
        found = subprocess.run(["which", program], capture_output=True, text=True, check=True).stdout.strip()
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / program).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    words = "ssh is not in the image, and model.repository, dataset.repository, publish.repository needs it"
    with pytest.raises(RunnerError, match=words):
        verify.check_tools(context)
    assert os.environ["PATH"] == str(tmp_path / "bin")
