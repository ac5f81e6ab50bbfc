"""`trainchart check-data`, in a container and in this Python."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.local.conftest import Engine, Ran
from trainchart.cli import check_data
from trainchart.cli import main as cli
from trainchart.errors import ExitCode

PARTS = [
    {"part": "train", "used": 125, "total": 128, "unit": "images", "leftOut": ["3.jpg: truncated"], "leftOutTotal": 3},
    {"part": "val", "used": 8, "total": 8, "unit": "images", "leftOut": [], "leftOutTotal": 0},
]
RESULT = {"status": "completed", "dataset": {"parts": PARTS}}
WARNING = b'trainchart time=2026-11-26T07:31:00Z event=warning reason="two\\u001b classes have no box"'


@pytest.fixture
def check(folders: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Check the folder of the data."""

    def run(*arguments: str, family: str = "custom") -> Ran:
        code = cli.main(["check-data", family, str(folders / "data"), *arguments])
        return Ran(code, *capfd.readouterr())

    return run


@pytest.mark.lab
def test_the_runner_ends_after_the_check(check: Callable[..., Ran], engine: Engine, folders: Path) -> None:
    ran = check("-f", str(folders / "run.yaml"), "--model", str(folders / "model"), "--verbose")
    assert (ran.code, ran.out) == (0, f"ok: {folders / 'data'} is a dataset for custom\n")
    assert "event=end stage=prepare" in ran.err
    assert "stage=train" not in ran.err
    assert engine.created[-3:] == ["-m", "runner", "--prepare"]


def test_a_refusal_has_the_runners_code_and_words(check: Callable[..., Ran], folders: Path) -> None:
    (folders / "model" / "train.py").rename(folders / "model" / "other.py")
    arguments = ["--here", "-f", str(folders / "run.yaml"), "--model", str(folders / "model")]
    arguments += ["--set-json", 'train.command=["./train.py"]']
    ran = check(*arguments)
    assert ran.code == 30
    assert ran.out.startswith("problem: train.command: file ")
    assert ran.out.endswith(
        "does not exist; correct train.command; relative paths start at " + ran.out.split()[-1] + "\n"
    )
    answer = json.loads(check(*arguments, "-o", "json").out)
    assert (answer["ok"], answer["code"], answer["stage"], answer["parts"]) == (False, 30, "prepare", [])


def test_what_the_trainer_uses_and_leaves_out_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    answer = {"family": "yolov5", "folder": "data", **check_data._answer(0, RESULT, [b"text", WARNING])}
    check_data._print(answer)
    assert capsys.readouterr().out.splitlines() == [
        "uses 125 of 128 images of train; left out: 3.jpg: truncated, and 2 more",
        "uses all 8 images of val",
        "warning: two\\x1b classes have no box",
        "ok: data is a dataset for yolov5",
    ]


def test_without_the_trainer_nothing_is_checked(
    check: Callable[..., Ran], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in ("ultralytics", "torch") else name)
    ran = check("--here", family="yolov8")
    assert ran.code == ExitCode.NOT_CHECKED
    assert ran.err.startswith("trainchart: not checked: needs ultralytics, torch in this Python (")
    (engine.state / "image").unlink()
    ran = check("--set", "image=registry.example.com/yolo:1", "-o", "json", family="yolov8")
    assert ran.code == ExitCode.NOT_CHECKED
    message = json.loads(ran.out)["error"]
    assert message.startswith("not checked: needs ultralytics, torch in this Python, or a container: image")
    assert message.endswith("docker pull registry.example.com/yolo:1")
    ran = check("--engine", "docker", "--set", "image=registry.example.com/yolo:1", family="yolov8")
    assert ran.code == ExitCode.NOT_FOUND


def test_a_wrong_family_or_folder_is_refused(check: Callable[..., Ran], folders: Path) -> None:
    assert "did you mean 'yolov5'?" in check(family="yolo5").err
    assert "--model: " in check("--here", "-f", str(folders / "run.yaml"), "--model", "nosuch").err
