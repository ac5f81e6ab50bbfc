"""The page of a run, by its text; how it looks in a browser is tests/browser's to say."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools import records
from trainchart.cli.main import main
from trainchart.report import page as report
from trainchart.report.curve import curve, curves
from trainchart.report.page import page
from trainchart.report.scale import MAX_POINTS, PER_CHART, axis, finite, groups, thin, tick
from trainchart.run.record import Record
from trainchart.units import duration, size

NUMBERS = st.floats() | st.sampled_from([0.0, 1.0, 1e-320, 1e308, -1e308, math.nan, math.inf])
DATA = records.DATA / "run-42"


class Words(HTMLParser):
    """The words of a page, and its tags with their attributes. A tag that is not closed is told."""

    VOID = ("meta", "path", "link", "br", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("style", "title", "desc"):
            self.words.append(data)


def read(record: Record) -> Words:
    return Words(page(record))


# the page


def test_the_page_of_a_real_run_has_what_people_ask_for() -> None:
    words = read(records.real())
    for expected in (
        *("run-42", "completed", "namespace training", "24 November 2026, 17:11", "22 s"),
        *("Scores", "Losses", "Learning rate", "metrics/mAP_0.5", "0.00762"),
        *("verify", "prepare", "train", "7.9 s", "export", "8.6 s", "publish"),
        *("https://gitea.git.svc:3000/team/shapes.git", "4385dd1fcbbb", "sft-20261124-171204", "90f1bd62b2d5"),
        *("trainchart/train-cpu-yolo:8.4.190", "1/model.pt", "7.3 MB", "6 files"),
        *("batchSize", "imageSize", "timeLimit 20m", "sharedMemory 256Mi"),
    ):
        assert expected in words.text, expected
    for noise in ("GIT_TOKEN", "peerGraceSeconds", "trackingUri", "failureLimit", "ca.crt"):
        assert noise not in words.text, noise


@pytest.mark.parametrize("run", records.RUNS)
def test_the_page_asks_no_network_and_runs_no_script(run: str) -> None:
    words = read(records.made(records.RUNS[run]))
    assert {tag for tag, _ in words.tags}.isdisjoint({"script", "link", "img", "iframe", "object", "form", "base"})
    for _, attributes in words.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
        assert str(attributes.get("href") or "https://").startswith(("https://", "http://"))
    assert (
        "meta",
        {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'"},
    ) in words.tags
    assert "url(" not in page(records.made(records.RUNS[run]))


def test_names_that_are_code_are_words() -> None:
    words = read(records.made(records.strange, name="<b>run</b>", namespace="<i>"))
    assert "<script>alert(1)</script>" in words.text
    assert "</style><script>alert(2)</script>\ufffd[31m" in words.text
    assert "<b>run</b>" in words.text


def test_the_template_marks_no_text_as_safe() -> None:
    """What it prints is escaped without exception: attributes are quoted, and nothing stands in a script or a style."""
    template = Path(report.__file__).with_name("page.html.j2").read_text(encoding="utf-8")
    assert not re.search(r"\bsafe\b|\bautoescape\b|\bMarkup\b", template)
    assert not re.search(r"=\s*\{\{", template)
    style = template.partition("<style>")[2].partition("</style>")[0]
    assert style.split() == ["{%", "include", '"style.css"', "%}"]


def test_a_link_leads_to_the_web_or_nowhere() -> None:
    sources = {"model": {"repository": "javascript:alert(1)", "commit": "c" * 40}}
    words = read(records.made(records.empty, result={"sources": sources}))
    assert "javascript:alert(1)" in words.text
    assert "a" not in [tag for tag, _ in words.tags]


def test_a_failure_stands_with_its_reason_and_its_fix() -> None:
    words = read(records.made(records.failed))
    assert (
        'prepare-failed in stage prepare (exit code 30) no branch "v7" <b> What to do: name one that is there'
        in words.text
    )
    assert "prepare failed" in words.text
    assert "Curves" not in words.text


def test_a_failure_that_only_the_result_tells_stands_there_too() -> None:
    failure = {"stage": "train", "code": 42, "name": "train-out-of-memory", "reason": "killed", "fix": "more memory"}
    record = records.made(lambda tell: tell("start", stage="train"), result={"status": "failed", "failure": failure})
    assert record.status == "failed"
    assert "train-out-of-memory in stage train (exit code 42) killed What to do: more memory" in read(record).text


def test_a_run_that_was_resumed_says_after_which_epoch() -> None:
    words = read(records.made(records.resumed))
    assert "attempts 2 resumed after epoch 12" in words.text
    assert "prepare skipped: done before" in words.text
    assert "resumed" in [attributes.get("class") for tag, attributes in words.tags if tag == "path"]


def test_the_trials_of_a_search_stand_in_a_table() -> None:
    told = {"search": {"trial": 5, "value": 0.53, "trials": 9, "failed": 1}}
    words = read(records.made(records.search, settings={"tune": {"metric": "score", "trials": 9}}, result=told))
    assert "Curves of trial 5, the best, by epoch" in words.text
    assert "3 failed out of memory 0.04" in words.text
    assert "Best of 9 trials, 1 of which failed: trial 5. This log has 6 of them" in words.text


def test_two_thousand_epochs_of_twenty_metrics_are_less_than_a_megabyte() -> None:
    text = page(records.made(records.huge))
    assert len(text.encode()) < 300_000
    assert "Of 2,000 epochs each curve shows at most 400 points" in text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KNOWN = st.sampled_from(
    [
        "status",
        "failure",
        "sources",
        "files",
        "stages",
        "search",
        "metrics",
        "resumed",
        "attempt",
        "train",
        "tune",
        "mlflow",
        "image",
        "family",
    ]
)


@pytest.mark.lab
@settings(deadline=None, max_examples=60)
@given(st.dictionaries(KNOWN, JSON), st.dictionaries(KNOWN, JSON))
def test_whatever_the_files_hold_a_page_is_made(result: dict[str, object], known: dict[str, object]) -> None:
    read(records.made(records.failed, result=result, settings=known)).text.encode()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.dictionaries(st.text(max_size=9).map(lambda name: f"{name}loss"), NUMBERS, max_size=4), max_size=5))
def test_whatever_the_metrics_are_a_page_and_a_curve_are_made(rows: list[dict[str, float]]) -> None:
    record = records.made(records.empty)
    record.progress.metrics += [{**row, "epoch": epoch} for epoch, row in enumerate(rows, 1)]
    text = page(record)
    Words(text)
    assert not re.search(r' d="[^"]*(nan|inf)', text)
    curves(record.progress.metrics, width=80, encoding="utf-8").encode("utf-8", "surrogatepass")


def test_curves_that_lie_on_one_another_say_so() -> None:
    def write(tell: records.Tell) -> None:
        for epoch in (1, 2):
            tell("metrics", epoch=epoch, lr0=0.1 / epoch, lr1=0.1 / epoch, lr2=0.2)

    text = read(records.made(write)).text
    assert "lr1 same as lr0" in text
    assert text.count("same as") == 1


# which curves, which points, which axis


def test_curves_that_belong_together_share_a_chart() -> None:
    names = ["train/box_loss", "val/box_loss", "metrics/recall", "x/lr0", "grad_norm", "metrics/mAP50(B)", "seconds"]
    found = groups([{"epoch": epoch, **dict.fromkeys(names, 0.5)} for epoch in (1, 2)])
    assert {group.title: list(group.curves) for group in found} == {
        "Scores": ["metrics/recall", "metrics/mAP50(B)"],
        "Losses": ["train/box_loss", "val/box_loss"],
        "Learning rate": ["x/lr0"],
        "grad_norm": ["grad_norm"],
        "seconds": ["seconds"],
    }


def test_a_curve_that_would_lie_flat_has_a_chart_of_its_own() -> None:
    found = groups([{"epoch": 1, "loss": 0.4, "perplexity": 900.0}])
    assert [list(group.curves) for group in found] == [["perplexity"], ["loss"]]


def test_scores_of_one_scale_stay_together_however_small() -> None:
    assert len(groups([{"epoch": 1, "mAP": 0.0001, "recall": 0.9}])) == 1


def test_more_than_eight_curves_are_several_charts_and_twins_stay_together() -> None:
    names = [f"{split}/{name}_loss" for split in ("train", "val") for name in "abcdef"]
    found = groups([{"epoch": 1, **dict.fromkeys(names, 1.0)}])
    assert [group.title for group in found] == ["Losses (1 of 2)", "Losses (2 of 2)"]
    assert list(found[0].curves) == [f"{split}/{name}_loss" for name in "abcd" for split in ("train", "val")]
    assert max(len(group.curves) for group in found) <= PER_CHART


@given(st.lists(NUMBERS, min_size=1, max_size=3000))
@settings(deadline=None, max_examples=50)
def test_thinning_keeps_the_ends_and_every_peak(values: list[float]) -> None:
    points = list(enumerate(values))
    kept = thin([(float(x), y) for x, y in points])
    assert len(kept) <= max(MAX_POINTS, 3)
    assert [x for x, _ in kept] == sorted({x for x, _ in kept})
    real = [y for _, y in finite((float(x), y) for x, y in points)]
    drawn = [y for _, y in finite(kept)]
    if real:
        assert (min(drawn), max(drawn)) == (min(real), max(real))


@given(st.lists(st.floats(-1e299, 1e299), min_size=1, max_size=5))
def test_an_axis_holds_what_is_drawn_on_it(values: list[float]) -> None:
    ticks = axis(values)
    assert ticks == sorted(set(ticks))
    assert 2 <= len(ticks) <= 8
    assert len({tick(value, ticks[1] - ticks[0]) for value in ticks}) == len(ticks)
    room = (ticks[-1] - ticks[0]) * 1e-6
    assert ticks[0] <= min(values) + room
    assert max(values) - room <= ticks[-1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.82], ["0", "0.25", "0.50", "0.75", "1.00"]),
        ([3.1, 3.9], ["3.0", "3.2", "3.4", "3.6", "3.8", "4.0"]),
        ([0.5, 0.5], ["0.450", "0.475", "0.500", "0.525", "0.550"]),
        ([0.0001, 0.0001515], ["1e-4", "1.2e-4", "1.4e-4", "1.6e-4"]),
        ([0.0, 4e6], ["0", "1e6", "2e6", "3e6", "4e6"]),
        ([0.0, 12_000.0], ["0", "5000", "10000", "15000"]),
    ],
)
def test_an_axis_has_round_numbers(values: list[float], expected: list[str]) -> None:
    ticks = axis(values)
    assert [tick(value, ticks[1] - ticks[0]) for value in ticks] == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0.0 s"),
        (7.94, "7.9 s"),
        (59.4, "59 s"),
        (59.9, "60 s"),
        (134, "2 min 14 s"),
        (3599.7, "1 h"),
        (11100, "3 h 5 min"),
        (187_200, "2 d 4 h"),
        (4e7, "462 d 23 h"),
    ],
)
def test_seconds_are_read_by_people(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (240, "240 B"),
        (1695, "1.7 kB"),
        (7337098, "7.3 MB"),
        (268e6, "268 MB"),
        (999.6e6, "1.0 GB"),
        (4e15, "4000.0 TB"),
    ],
)
def test_bytes_are_read_by_people(count: float, expected: str) -> None:
    assert size(count) == expected


# the curve in a terminal


def test_a_curve_is_text_with_its_ends() -> None:
    points = [(float(epoch), epoch / 10) for epoch in range(1, 11)]
    assert curve("accuracy", points, width=40, encoding="ascii", height=4) == (
        "accuracy\n"
        "  1 |                        .....''' 1\n"
        "    |                ....:'''\n"
        "    |        ...:''''\n"
        "0.1 |...'''''\n"
        "    +--------------------------------\n"
        "     1                             10"
    )


def test_a_curve_has_dots_where_the_terminal_has_them() -> None:
    points = [(1.0, 0.0), (2.0, math.nan), (3.0, 1.0), (4.0, 0.5)]
    drawn = curve("loss", points, width=60, encoding="utf-8")
    assert [line for line in drawn.splitlines() if len(line) > 60] == []
    assert re.search("[\u2801-\u28ff]", drawn)
    assert drawn.splitlines()[1].startswith("1 \u2502")


def test_a_curve_without_numbers_says_so() -> None:
    assert curve("loss", [(1.0, math.nan)], width=60, encoding="ascii") == "loss: no number that could be drawn"


def test_a_run_is_drawn_by_its_score_and_its_loss() -> None:
    drawn = curves(records.made(records.resumed).progress.metrics, width=80, encoding="ascii")
    assert [part.splitlines()[0] for part in drawn.split("\n\n")] == ["accuracy", "val/loss"]
    assert curves([], width=80, encoding="ascii") == ""
    assert curves([{"epoch": 1, "loss": 1.0}], width=80, encoding="ascii") == ""


# the command


def test_a_page_is_made_from_files_that_were_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "run.html"
    files = ["--log", f"{DATA}/run.log", "--result", f"{DATA}/result.json", "--settings", f"{DATA}/settings.json"]
    assert main(["report", "run-42", "-n", "training", *files, "--write", str(output)]) == 0
    assert capsys.readouterr() == ("", "")
    assert output.read_text(encoding="utf-8") == page(records.real())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--log", "/none.log"], "/none.log: does not exist"),
        (["--log", "/"], "/: is a directory; name a file in it"),
        (
            ["--log", f"{DATA}/run.log", "--result", f"{DATA}/run.log"],
            f"{DATA}/run.log is not JSON; name the file as the run wrote it",
        ),
        (
            ["--result", "r.json"],
            "report: --result and --settings need --log; add --log FILE, or omit them to read the cluster",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_a_sentence(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "run-42", *arguments, "--write", str(tmp_path / "run.html")]) == 2
    assert capsys.readouterr().err == f"trainchart: {expected}\n"


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "run-42", "--log", f"{DATA}/run.log", "--write", str(tmp_path)]) == 2
    assert "cannot be written: Is a directory; name another file by --write" in capsys.readouterr().err


def test_json_that_is_no_object_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.json").write_text(json.dumps([1]))
    assert main(["report", "r", "--log", f"{DATA}/run.log", "--result", str(tmp_path / "r.json"), "--write", "x"]) == 2
    assert "does not hold a JSON object" in capsys.readouterr().err


def test_a_file_that_is_there_is_replaced_only_by_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "run.html"
    page.write_text("kept")
    arguments = ["report", "run-42", "--log", f"{DATA}/run.log", "--write", str(page)]
    assert main(arguments) == 2
    assert page.read_text() == "kept"
    assert capsys.readouterr().err == f"trainchart: {page} exists; add --force to replace it, or name another file\n"
    assert main([*arguments, "--force"]) == 0
    assert page.read_text() != "kept"
