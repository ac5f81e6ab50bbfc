#!/usr/bin/env python3
"""A `docker` for tests: it answers as the real one does, and runs the command of a container in this Python, where its mounts lie.

Below FAKE_DOCKER, `image` has the platform of the one image that there is, `info` the answer of `info`, and `says`, if it is
there, what every container prints before it exits with the code in `exits`. `calls` gets the arguments of every call, and
`settings-N.json` the settings of the Nth container. `left` has the containers that `ps` finds.
"""

from __future__ import annotations

import csv
import itertools
import json
import os
import shutil
import signal
import sys
from pathlib import Path

STATE = Path(os.environ["FAKE_DOCKER"])


def main(argv: list[str]) -> int:
    with (STATE / "calls").open("a") as calls:
        calls.write(json.dumps(argv) + "\n")
    if argv[0] == "info":
        print((STATE / "info").read_text())
        return 0
    if argv[:2] == ["image", "inspect"]:
        if not (STATE / "image").exists():
            print(f"Error: No such image: {argv[-1]}", file=sys.stderr)
            return 1
        print((STATE / "image").read_text())
    if argv[0] == "ps":
        print("\n".join((STATE / "left").read_text().split()) if (STATE / "left").exists() else "")
    if argv[0] == "create":
        (STATE / "created").write_text(json.dumps(argv))
        home = next(one["source"] for one in mounts(argv) if one["target"] == "/trainchart")
        number = len(list(STATE.glob("settings-*")))
        shutil.copy(Path(home, "settings.json"), STATE / f"settings-{number}.json")
    if argv[0] == "start" and (STATE / "says").exists():
        print((STATE / "says").read_text())
        return int((STATE / "exits").read_text())
    return start(json.loads((STATE / "created").read_text())) if argv[0] == "start" else 0


def mounts(argv: list[str]) -> list[dict[str, str]]:
    values = [value for key, value in itertools.pairwise(argv) if key == "--mount"]
    return [dict(field.partition("=")[::2] for field in next(csv.reader([value]))) for value in values]


def start(argv: list[str]) -> int:
    from trainchart.local import here
    from trainchart.local.pod import LocalPod, Mount

    options = list(itertools.pairwise(argv))
    pod = LocalPod(
        image="",
        command=("python3", *argv[argv.index("-m") :]),
        directory=next(value for key, value in options if key == "--workdir"),
        environment=dict(value.split("=", 1) for key, value in options if key == "--env"),
        user=0,
        group=0,
        shared_memory=0,
        mounts=tuple(Mount(Path(one["source"]), one["target"], "readonly" in one) for one in mounts(argv)),
        result=Path(),
    )

    def show(line: bytes) -> None:
        sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the real one passes it on to the container
    return here.run(pod, show)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
