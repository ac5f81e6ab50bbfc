"""A trainer's image as an oracle: one container that answers requests about folders of data."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.matrix import ROOT

FILES = ROOT / "charts" / "train" / "charts" / "lib" / "files"
ORACLES = Path(__file__).parent / "oracles"
COUNTS: dict[str, list[int]] = {}
"""By trainer, the folders that were tried and those on which both agreed; printed at the end."""


@dataclass
class Verdict:
    """What both said of a folder; whatever the oracle puts into its answer."""

    probe: dict[str, Any]
    reader: dict[str, Any]


@dataclass
class Trainer:
    """Asks the oracle of one trainer, and counts."""

    name: str
    process: subprocess.Popen[str]
    cases: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def ask(self, make: Callable[[Path], object], **request: Any) -> Verdict:
        """Return the verdicts on the folder that `make` fills. Fails where the oracle itself fails."""
        folder = self.cases / f"case-{next(self._numbers)}"
        folder.mkdir()
        try:
            make(folder)
            answer = self._send({"folder": folder.name, **request})
        finally:
            shutil.rmtree(folder)
        assert "error" not in answer, answer["error"]
        COUNTS.setdefault(self.name, [0, 0])[0] += 1
        return Verdict(answer["probe"], answer["reader"])

    def agreed(self) -> None:
        """Count the last folder as one on which both agreed: called after the assertions."""
        COUNTS[self.name][1] += 1

    def _send(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the container of {self.name} ended with exit code {self.process.wait(60)}"
        answer: dict[str, Any] = json.loads(line)
        return answer


def image_of(family: str) -> str:
    """The image that the end-to-end test of a family uses. Skips the test where Docker does not have it."""
    image = str(yaml.safe_load((ROOT / "e2e" / "values" / f"{family}.yaml").read_text(encoding="utf-8"))["image"])
    if (
        not shutil.which("docker")
        or subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode
    ):
        pytest.skip(f"Docker has no image {image}: make e2e-all FAMILY={family} builds it")
    return image


@contextlib.contextmanager
def trainer(
    family: str,
    oracle: str,
    *,
    name: str = "",
    mounts: Mapping[Path, str] | None = None,
    arguments: tuple[str, ...] = (),
) -> Iterator[Trainer]:
    """Start `oracles/<oracle>.py` in the image that the end-to-end test of a family uses, with the family's in-pod files
    as in a pod, and no network. Skips the test where Docker does not have the image.
    """
    image = image_of(family)
    # Of the user of the container, who may be another than that of the tests.
    cases = Path(tempfile.mkdtemp(prefix="trainchart-cases-"))
    cases.chmod(0o755)
    places = {
        FILES / "runner": "/trainchart/runner",
        FILES / "features": "/trainchart/features",
        FILES / "families" / family: "/trainchart/family",
        ORACLES: "/oracles",
        cases: "/cases",
        **(mounts or {}),
    }
    user = f"{os.getuid() or 1000}:{os.getgid() or 1000}"
    process = subprocess.Popen(
        [
            *("docker", "run", "--rm", "--interactive", "--network", "none", "--read-only", "--tmpfs", "/tmp:exec"),
            *("--user", user, "--env", "HOME=/tmp/home", "--cap-drop", "ALL"),
            *(part for source, target in places.items() for part in ("--volume", f"{source}:{target}:ro")),
            *(image, "python3", "-W", "ignore", f"/oracles/{oracle}.py", *arguments),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        ready = process.stdout.readline()
        assert ready, process.stderr.read()[-2000:]
        # What the libraries print from here on is of no interest, and must not fill the pipe.
        with subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL) as drain:
            yield Trainer(name or family, process, cases)
            process.stdin.close()
            process.wait(60)
            drain.wait(60)
    finally:
        process.kill()
        shutil.rmtree(cases, ignore_errors=True)
