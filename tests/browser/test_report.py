"""The page of a run in a real browser: its curves are to be seen, on wide and narrow screens, in light and in dark."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tools import records
from trainchart.report.page import page
from trainchart.run.record import Record

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HARNESS = Path(__file__).parent / "harness.html"
RUNS = ["real", *records.RUNS]
PHONE, DESK = 375, 1200

pytestmark = pytest.mark.browser


def record(run: str) -> Record:
    if run == "real":
        return records.real()
    return records.made(records.RUNS[run], settings=records.real().settings)


def browse(folder: Path, *arguments: str, dark: bool = False) -> subprocess.CompletedProcess[str]:
    """Chromium with a profile of its own, which is gone with the folder."""
    assert CHROMIUM, "there is no chromium: run make browser"
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    options = ["--allow-file-access-from-files", "--enable-logging=stderr", "--hide-scrollbars", *scheme]
    return subprocess.run([*command, *options, *arguments], capture_output=True, text=True, timeout=120, check=True)


def look(folder: Path, run: str, width: int, *, dark: bool = False) -> dict[str, Any]:
    """What is to be seen of a run's page. The browser may have nothing to complain of."""
    (folder / "page.html").write_text(page(record(run)), encoding="utf-8")
    shutil.copy(HARNESS, folder)
    done = browse(
        folder, "--dump-dom", "--virtual-time-budget=10000", f"file://{folder}/harness.html#{width}", dark=dark
    )
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    found = re.search("FOUND(.*)END", done.stdout)
    assert found, done.stderr
    seen: dict[str, Any] = json.loads(html.unescape(found[1]))
    return seen


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("run", RUNS)
def test_every_curve_is_to_be_seen(run: str, width: int, tmp_path: Path) -> None:
    seen = look(tmp_path, run, width)
    assert seen["title"].startswith("run-42: ")
    assert (seen["scripts"], seen["images"]) == (0, 0)
    assert seen["scrolls"] <= seen["width"], "nothing is wider than the screen"
    curves = {curve["of"] for chart in seen["charts"] for curve in chart["curves"]}
    assert curves == EXPECTED[run](record(run))
    for chart in seen["charts"]:
        plot = chart["plot"]
        assert plot["width"] > 200
        assert plot["height"] > 150
        for curve in chart["curves"]:
            assert curve["colour"].startswith("rgb")
            if not curve["of"].startswith("trial "):
                assert curve["length"] > 100
                assert curve["width"] > 0.9 * plot["width"]
            assert plot["x"] - 2 <= curve["x"]
            assert curve["x"] + curve["width"] <= plot["x"] + plot["width"] + 2
            assert plot["y"] - 2 <= curve["y"]
            assert curve["y"] + curve["height"] <= plot["y"] + plot["height"] + 2


def drawn(run: Record) -> set[str]:
    return {name for row in run.progress.metrics for name in row if name != "epoch"}


EXPECTED: dict[str, Callable[[Record], set[str]]] = {
    "real": drawn,
    "resumed": drawn,
    "huge": drawn,
    "failed": lambda run: set(),
    "empty": lambda run: set(),
    "strange": lambda run: {"loss"},  # of the others there is no number to draw
    "search": lambda run: {
        *drawn(run),
        *(f"trial {trial.number}: {trial.value:.3g}" for trial in run.progress.trials if trial.value is not None),
    },
}


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_labels_stand_beside_each_other(width: int, tmp_path: Path) -> None:
    for chart in look(tmp_path, "huge", width)["charts"] + look(tmp_path, "real", width)["charts"]:
        labels = chart["labels"]
        assert len(labels) >= 3
        for label in labels:
            assert label["x"] >= 0
            assert label["x"] + label["width"] <= width
        for place, label in enumerate(labels):
            for other in labels[place + 1 :]:
                apart = (
                    label["x"] + label["width"] <= other["x"]
                    or other["x"] + other["width"] <= label["x"]
                    or label["y"] + label["height"] <= other["y"]
                    or other["y"] + other["height"] <= label["y"]
                )
                assert apart, f"{chart['title']}: {label['text']} and {other['text']}"


def test_the_page_is_dark_where_the_system_is(tmp_path: Path) -> None:
    light, dark = (look(tmp_path, "real", DESK, dark=dark) for dark in (False, True))
    assert brightness(light["background"]) > 0.9 > 0.3 > brightness(light["ink"])
    assert brightness(dark["background"]) < 0.2 < 0.7 < brightness(dark["ink"])
    for seen in (light, dark):
        for chart in seen["charts"]:
            for curve in chart["curves"]:
                assert contrast(curve["colour"], seen["background"]) >= 3, curve


def test_two_thousand_epochs_make_a_page_of_moderate_size(tmp_path: Path) -> None:
    seen = look(tmp_path, "huge", DESK)
    assert (tmp_path / "page.html").stat().st_size < 1_000_000
    assert seen["elements"] < 5000


@pytest.mark.parametrize("run", ["real", "failed"])
def test_a_picture_of_the_page_can_be_taken_and_printed(run: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page(record(run)), encoding="utf-8")
    address = f"file://{tmp_path}/page.html"
    browse(tmp_path, f"--screenshot={tmp_path}/page.png", "--window-size=1200,2400", address)
    browse(tmp_path, f"--print-to-pdf={tmp_path}/page.pdf", "--no-pdf-header-footer", address)
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "page.png").stat().st_size > 20_000  # an empty page has a tenth of it
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def channels(colour: str) -> list[float]:
    return [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]


def brightness(colour: str) -> float:
    """Relative luminance, as WCAG defines it."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels(colour)]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    bright, dark = sorted((brightness(one), brightness(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)
