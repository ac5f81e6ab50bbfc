"""Repositories over SSH: git and git-lfs start the image's OpenSSH with the private key and the host keys of the
repository's Secret, and with nothing else that the image or a user configures.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import pwd
import re
import shlex
import tempfile
from pathlib import Path
from typing import Dict, Iterator

from runner import process
from runner.context import Context
from runner.credential import origin
from runner.errors import RunnerError
from runner.remote import Remote
from runner.settings import GitCredentials, Settings
from runner.verify import SHARED_MEMORY, find_key

# Key and host keys are for one server: ssh finds neither for another one, wherever an .lfsconfig leads git-lfs.
_CONFIG = """\
Host {host}
  IdentityFile {key}
  UserKnownHostsFile {known_hosts}
Match all
  IdentityFile none
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile /dev/null
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  UpdateHostKeys no
  BatchMode yes
  PreferredAuthentications publickey
  ClearAllForwardings yes
  ConnectTimeout 30
  ServerAliveInterval 15
  ServerAliveCountMax 4
  LogLevel ERROR
"""
_PUBLIC = re.compile(rb"(ssh-|ecdsa-|sk-)\S+ |.*BEGIN (SSH2 |RSA )?PUBLIC KEY|.*BEGIN CERTIFICATE")
_NEW_KEY = "make a key without a passphrase for this server: ssh-keygen -t ed25519 -N '' -f KEY"
_WHOLE_FILE = "put the whole file of a private key of OpenSSH into the secret"


@contextlib.contextmanager
def environment(settings: Settings, remote: Remote) -> Iterator[Dict[str, str]]:
    """Yield the variables by which git and git-lfs start ssh for a repository.

    Raises:
        RunnerError: the Secret has no private key or no host keys.
    """
    with _files(settings, remote) as folder:
        command = ["ssh", "-F", str(folder / "config")]
        yield {"GIT_SSH_COMMAND": shlex.join(command), "GIT_SSH_VARIANT": "ssh"}


def check(context: Context) -> None:
    """Check that ssh can use what the Secrets hold. Raises RunnerError, which never quotes a value."""
    settings = context.settings
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        raise RunnerError(
            "verify-failed",
            f"/etc/passwd has no user {os.getuid()}, and ssh runs only for one that it has",
            "run as a user of the image, or add this one to its /etc/passwd",
        ) from None
    for section, url in settings.repositories_over_ssh().items():
        remote, credentials = Remote(section, url), settings.git_credentials(section)
        with _files(settings, remote) as folder, contextlib.suppress(FileNotFoundError):  # an image without ssh-keygen
            _check_key(settings, credentials, folder / "key")
            _check_known_hosts(settings, credentials, remote, folder / "known_hosts")


@contextlib.contextmanager
def _files(settings: Settings, remote: Remote) -> Iterator[Path]:
    """Yield a folder with ssh's configuration and copies of the private key and the host keys, in memory and readable to
    nobody else.

    ssh refuses a key that its user owns and others may read.
    """
    credentials, git = settings.git_credentials(remote.key), settings.git
    where = (credentials.key, credentials.secret, credentials.folder)
    key = find_key(*where, "git.privateKeyKey", git.private_key_key).read_bytes()
    known_hosts = find_key(*where, "git.knownHostsKey", git.known_hosts_key).read_bytes()
    with tempfile.TemporaryDirectory(prefix="trainchart-", dir=SHARED_MEMORY) as name:
        folder = Path(name)
        config = _CONFIG.format(host=_host(remote.url), key=folder / "key", known_hosts=folder / "known_hosts")
        try:
            for file, content in (
                ("key", _lines(key)),
                ("known_hosts", _lines(known_hosts)),
                ("config", config.encode()),
            ):
                (folder / file).touch(0o600)
                (folder / file).write_bytes(content)
        except OSError as error:
            reason = f"{SHARED_MEMORY} has no room for what ssh reads: {error}"
            raise RunnerError("prepare-no-space", reason, "raise sharedMemory") from error
        yield folder


def _lines(content: bytes) -> bytes:
    """Return a text as ssh can read it: without the line ends of Windows and the UTF-16 or byte order mark that `>` of
    PowerShell writes, and with the last line end, which web consoles drop.
    """
    with contextlib.suppress(UnicodeDecodeError):
        text = content.decode(
            "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        )
        content = text.encode()
    return content.replace(b"\r", b"").strip() + b"\n"


def _host(url: str) -> str:
    """Return the host of a URL as git passes it to ssh."""
    found = re.search(r"@(?:\[([^]]*)\]|([^:/]*))", url)
    return (found.group(1) or found.group(2)) if found else ""


def _check_key(settings: Settings, credentials: GitCredentials, key: Path) -> None:
    content, fix = key.read_bytes(), _WHOLE_FILE
    if b"PuTTY-User-Key-File" in content:
        problem, fix = "is in PuTTY's format", "convert it: puttygen KEY.ppk -O private-openssh -o KEY"
    elif _PUBLIC.match(content):
        problem, fix = (
            "is a public key",
            "put the private key there, from the file without .pub; the server has the public one",
        )
    elif b"PRIVATE KEY-----" not in content:
        problem = "is not a private key"
    else:
        done = _keygen("-y", "-P", "", "-f", str(key))
        kind = done.output.partition(" ")[0]
        if kind and not kind.startswith(("ssh-dss", "sk-")):
            return
        problem = f"is damaged or not whole ({' '.join(done.tail[-1:]).rpartition(': ')[2]})"
        if kind:
            problem, fix = f"is of type {kind}, which no server gets from a run", _NEW_KEY
        elif "passphrase" in problem:
            problem, fix = "is protected by a passphrase, which nobody can enter in a run", _NEW_KEY
    raise RunnerError("verify-failed", f"{credentials}: key {settings.git.private_key_key} {problem}", fix)


def _check_known_hosts(settings: Settings, credentials: GitCredentials, remote: Remote, known_hosts: Path) -> None:
    _, host, port = origin(remote.url) or ("", "", 0)
    name = settings.git.known_hosts_key
    # ssh takes a key that is listed without a port for that of all ports.
    names = [host] if port == 22 else [f"[{host}]:{port}", host]
    if all(_keygen("-F", one, "-f", str(known_hosts)).code != 0 for one in names):
        raise RunnerError(
            "verify-failed",
            f"{credentials}: key {name} has no host key of {host}, port {port}, for {remote.key}.repository",
            f"add the lines that `ssh-keyscan -p {port} {host}` prints, and compare them with what its owner publishes",
        )


def _keygen(*arguments: str) -> process.Finished:
    return process.run(["ssh-keygen", *arguments], Path("/"), dict(os.environ), capture=True, quiet=True)
