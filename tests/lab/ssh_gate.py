"""The command that sshd runs for every key: `ssh_gate.py REPOSITORIES LFS_SERVER USER:PASSWORD RIGHT`."""

from __future__ import annotations

import base64
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path


def main(folder: str, lfs: str, password: str, right: str) -> int:
    """Return the exit code."""
    program, name, *operation = [*shlex.split(os.environ.get("SSH_ORIGINAL_COMMAND", "")), "", ""]
    repository = Path(folder, name.strip("/"))
    drop = Path(folder, "drop")
    if drop.exists():  # the next session is lost, as where a server restarts
        drop.unlink()
        os.kill(os.getppid(), signal.SIGKILL)
    if program not in ("git-upload-pack", "git-receive-pack", "git-lfs-authenticate"):
        sys.stderr.write(f"{program}: not found\n")
        return 127
    if right == "none" or not repository.is_dir():
        sys.stderr.write("ERROR: Repository not found.\n")  # GitHub's words
        return 1
    if right == "read" and (program == "git-receive-pack" or operation[:1] == ["upload"]):
        sys.stderr.write("ERROR: The key you are authenticating with has been marked as read only.\n")
        return 1
    if program == "git-lfs-authenticate":
        header = {"Authorization": "Basic " + base64.b64encode(password.encode()).decode()}
        sys.stdout.write(json.dumps({"href": f"{lfs}/{name.strip('/')}/info/lfs", "header": header, "expires_in": 60}))
        return 0
    return subprocess.run([program, repository], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))
