"""A newcomer's first two minutes, timed: `python -m bench.newcomer`.

The first commands of the README, as they stand there, in an empty folder with the wheel of this checkout. Pip takes the other packages from where
this machine's configuration says. Fails where a command ends or prints otherwise than the README shows.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
_COMMANDS, _OUTPUT = re.findall(
    r"^```(?:sh|text)\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
)[:2]
COMMANDS = re.sub(r" *# .*$", "", _COMMANDS, flags=re.MULTILINE).splitlines()
OUTPUT = _OUTPUT.splitlines()
"""What the commands print after pip's: on both streams, in this order."""
LIMIT = 120
"""Seconds of all commands together."""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(ROOT)]
        subprocess.run(build, check=True)
        # One shell, as the second command changes its environment; it tells when each command has ended, and how.
        script = "".join(f'{line}\necho "ended $? $EPOCHREALTIME" >&3\n' for line in COMMANDS)
        began = time.time()
        with Path(folder, "ended").open("w") as ended, Path(folder, "printed").open("w+") as printed:
            shell = ["bash", "-c", f"exec 3>&{ended.fileno()}\n{script}"]
            subprocess.run(shell, cwd=folder, stdout=printed, stderr=printed, pass_fds=[ended.fileno()], check=False)
        ends = [line.split()[1:] for line in Path(folder, "ended").read_text().splitlines()]
        said = Path(folder, "printed").read_text().splitlines()
    times = [float(end) for _, end in ends]
    for line, (code, _), start, end in zip(COMMANDS, ends, [began, *times], times, strict=False):
        print(f"{end - start:6.1f} s  exit code {code}  {line}")
    print(f"{times[-1] - began:6.1f} s  in all")
    as_shown = said[-len(OUTPUT) :] == OUTPUT
    if not as_shown:
        print("\nnot as the README shows it:", *said, sep="\n")
    return 0 if as_shown and times[-1] - began < LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
