"""What is read of a run's log: every line of the runner, and nothing of what other programs print."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import log
from trainchart.run.events import Event, Failure, Progress, parse
from trainchart.run.metrics import Kind, headline, kind

# Names of metrics come from programs: spaces, `=`, quotes. One line holds them all, so that they have no line break, and
# no `=` whose right side looks like a value.
KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")), max_size=12).filter(
    lambda key: "=" not in key and key not in ("time", "event")
)
VALUES = st.text() | st.floats() | st.integers() | st.booleans() | st.none()


def told(event: str, **fields: Any) -> str:
    """The line that the runner writes."""
    written: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "line", written.append)
        log.event(event, **fields)
    return written[0]


def progress(*lines: str) -> Progress:
    read = Progress()
    for line in lines:
        read.feed(line + "\n")
    return read


@given(st.sampled_from(["metrics", "already-published", "end"]), st.dictionaries(KEYS, VALUES))
def test_whatever_the_runner_writes_is_read_back(name: str, fields: dict[str, Any]) -> None:
    line = told(name, **fields)
    event = parse(line)
    assert event is not None
    assert event.name == name
    assert list(event.fields) == [key for key, value in fields.items() if value is not None]
    for key, text in event.fields.items():
        value = fields[key]
        if isinstance(value, bool):
            assert text == str(value).lower()
        elif isinstance(value, float):
            assert float(text) == pytest.approx(value, rel=1e-5, nan_ok=True)
        else:
            assert text == str(value)


@given(st.text(st.characters(exclude_categories=())))
def test_no_line_is_too_strange(text: str) -> None:
    read = Progress()
    read.feed(text)
    read.feed("trainchart time=2026-11-24T17:11:43Z event=" + text)
    for name in ("run", "start", "end", "skip", "cache", "metrics", "checkpoint", "resume", "trial", "best", "failed"):
        read.feed(f"trainchart time=2026-11-24T17:11:43Z event={name} " + text)
        read.feed(told(name, **dict.fromkeys(("number", "epoch", "trial", "value", "parameters", "seconds"), text)))
    assert read.summary().strip()


@given(st.integers(0, 200))
def test_of_half_a_line_what_is_whole_counts(length: int) -> None:
    line = told("failed", stage="train", code=40, name="train-failed", reason='it said "no = never"', fix="x" * 99)
    event = parse(line[:length])
    whole = parse(line)
    assert whole is not None
    if event is not None and event.name == whole.name:
        assert [key for key in event.fields if key not in whole.fields] == []
        assert event.fields.get("reason", whole.fields["reason"]) == whole.fields["reason"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Epoch 1/3: 100%",
        " trainchart time=2026-11-24T17:11:43Z event=start",
        "trainchart: error: no such file",
        "trainchart time=2026-11-24T17:11:43Z",
        'he said "trainchart time=2026-11-24T17:11:43Z event=start stage=train"',
    ],
)
def test_other_lines_are_none(line: str) -> None:
    assert parse(line) is None


@pytest.mark.parametrize("head", ["", "[pod/run-42-train-0/train] ", "2026-11-24T17:11:43.123456789Z "])
def test_a_log_that_kubectl_wrote_is_read_too(head: str) -> None:
    assert parse(head + "trainchart time=2026-11-24T17:11:43Z event=start stage=train\r\n") == Event(
        "2026-11-24T17:11:43Z", "start", {"stage": "train"}
    )


def test_progress_of_a_training() -> None:
    read = progress(
        told("run", run="run-42", uid="u", attempt=0, rank=0, replicas=2),
        told("start", stage="verify"),
        told("end", stage="verify", seconds=2.2),
        told("start", stage="prepare"),
        told("skip", stage="prepare", seconds=0.0),
        told("start", stage="train"),
        "Epoch 1 of 3",
        told("metrics", epoch=1, epochs=10, **{"train/box_loss": 0.4, "metrics/mAP_0.5": 0.25, "note": "text"}),
        told("checkpoint", path="train/weights/last.pt", bytes=42),
        told("warning", reason="the disk is slow"),
        told("metrics", epoch=3, epochs=10, **{"train/box_loss": 0.3, "metrics/mAP_0.5": 0.61}),
    )
    assert (read.run, read.attempt, read.replicas) == ("run-42", 0, 2)
    assert (read.stage, read.stages, read.skipped) == ("train", {"verify": 2.2}, ["prepare"])
    assert (read.epoch, read.epochs) == (3, 10)
    assert read.metrics == [
        {"epoch": 1, "train/box_loss": 0.4, "metrics/mAP_0.5": 0.25},
        {"epoch": 3, "train/box_loss": 0.3, "metrics/mAP_0.5": 0.61},
    ]
    assert read.warnings == ["the disk is slow"]
    assert read.summary() == "train, epoch 3 of 10, metrics/mAP_0.5 0.61"


def test_an_epoch_that_is_told_again_after_a_resume_counts_as_last_told() -> None:
    first = [told("start", stage="train"), *(told("metrics", epoch=epoch, loss=epoch / 10) for epoch in (1, 2, 3))]
    again = [
        told("run", run="run-42", attempt=1),
        told("start", stage="train"),
        told("resume", checkpoint="last.pt", epoch=1, finished=False),
    ]
    read = progress(*first, *again)
    assert read.resumed == {"checkpoint": "last.pt", "epoch": "1", "finished": "false"}
    assert read.summary() == "train, epoch 1, loss 0.1"
    read.feed(told("metrics", epoch=2, loss=9.0))
    assert [row["loss"] for row in read.metrics] == [0.1, 9.0, 0.3]
    assert (read.attempt, read.epoch, read.summary()) == (1, 2, "train, epoch 2, loss 9")


def test_a_training_that_starts_from_scratch_has_nothing_of_the_one_before() -> None:
    attempt = [told("start", stage="train"), told("metrics", epoch=5, loss=1.0), told("checkpoint", path="a", bytes=1)]
    read = progress(*attempt, told("run", attempt=1), told("start", stage="train"), told("metrics", epoch=1, loss=2.0))
    assert read.metrics == [{"epoch": 1, "loss": 2.0}]


def test_numbers_that_are_none_stay_what_they_are() -> None:
    read = progress(told("start", stage="train"), told("metrics", epoch=1, loss=math.nan, other=-math.inf))
    assert math.isnan(read.metrics[0]["loss"])
    assert read.metrics[0]["other"] == -math.inf
    assert read.summary() == "train, epoch 1, loss nan"


def test_a_failure_is_told_with_its_fix() -> None:
    read = progress(
        told("start", stage="prepare"),
        told("failed", stage="prepare", code=30, name="prepare-failed", reason="no branch x", fix="correct it"),
    )
    assert read.failed == Failure("prepare", 30, "prepare-failed", "no branch x", "correct it")
    assert read.summary() == "failed in prepare: prepare-failed (30): no branch x"
    read.feed(told("run", run="run-42", attempt=1))
    assert read.failed is None
    assert read.summary() == "no stage yet"


def test_a_failure_before_any_stage_has_none() -> None:
    assert progress(told("failed", code=10, name="settings-invalid", reason="no run.name", fix="")).summary() == (
        "failed: settings-invalid (10): no run.name"
    )


def test_a_completed_run_knows_its_branch() -> None:
    read = progress(
        told("metrics", epoch=2, epochs=2, accuracy=0.9, **{"val loss": 0.1}),
        told("start", stage="publish"),
        told("completed", repository="https://git.example.com/a.git", branch="sft-1", commit="c" * 40),
    )
    assert read.completed
    assert read.published["branch"] == "sft-1"
    assert read.summary() == "completed, epoch 2 of 2, accuracy 0.9"


def test_trials_of_a_search() -> None:
    lines = [
        told("start", stage="train"),
        told("trial", number=0, state="begins", parameters='{"lr0": 0.01}'),
        told("metrics", epoch=1, epochs=2, score=0.5),
        told("metrics", epoch=2, epochs=2, score=0.6),
        told("trial", number=0, state="complete", value=0.6),
        told("trial", number=1, state="begins", parameters='{"lr0": 0.1}'),
        told("metrics", epoch=1, epochs=2, score=0.1),
    ]
    read = progress(*lines)
    assert read.summary() == "train, trial 1, epoch 1 of 2"
    assert [(trial.number, trial.state, trial.value, trial.parameters) for trial in read.trials] == [
        (0, "complete", 0.6, {"lr0": 0.01}),
        (1, "begins", None, {"lr0": 0.1}),
    ]
    assert [len(trial.metrics) for trial in read.trials] == [2, 1]

    read.feed(told("trial", number=1, state="failed", reason="CUDA out of memory"))
    read.feed(told("best", trial=0, value=0.6, parameters='{"lr0": 0.01}'))
    assert read.best is read.trials[0]
    assert read.trials[1].reason == "CUDA out of memory"
    assert [row["score"] for row in read.metrics] == [0.5, 0.6]
    assert read.summary() == "train, 2 trials, best is trial 0 with 0.6"


def test_the_best_trial_may_have_run_in_another_pod() -> None:
    read = progress(told("best", trial=7, value=0.7, parameters='{"lr0": 0.2}'))
    assert read.best is not None
    assert (read.best.number, read.best.parameters, read.best.metrics) == (7, {"lr0": 0.2}, [])


def test_bytes_of_an_object_store_are_progress() -> None:
    read = progress(told("start", stage="prepare"), told("cache", source="dataset", total=100, cached=25, available=9))
    assert read.summary() == "prepare, 25 B of 100 B fetched"
    read.feed(told("cache", source="dataset", hit=True, commit="c"))
    assert read.fetched == (25, 100)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("train/box_loss", Kind.LOSS),
        ("eval_loss", Kind.LOSS),
        ("valLoss", Kind.LOSS),
        ("metrics/mAP_0.5:0.95", Kind.SCORE),
        ("metrics/mAP50(B)", Kind.SCORE),
        ("top1", Kind.SCORE),
        ("eval_mean_token_accuracy", Kind.SCORE),
        ("x/lr0", Kind.RATE),
        ("lr/pg1", Kind.RATE),
        ("learning_rate", Kind.RATE),
        ("grad_norm", Kind.OTHER),
        ("glossary", Kind.OTHER),
        ("", Kind.OTHER),
    ],
)
def test_what_a_metric_is_follows_from_its_words(name: str, expected: Kind) -> None:
    assert kind(name) is expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["epoch", "loss", "metrics/recall", "metrics/mAP_0.5:0.95", "metrics/mAP_0.5", "lr0"], "metrics/mAP_0.5"),
        (["epoch", "train_loss", "eval_loss", "lr"], "eval_loss"),
        (["epoch", "lr"], None),
        (["epoch", "seconds", "grad_norm"], "grad_norm"),
    ],
)
def test_one_metric_stands_for_the_run(names: list[str], expected: str | None) -> None:
    assert headline(names) == expected
