"""Wrong values that people write get the sentence that `wrong_values.yaml` has, and one verdict from validate and both programs helm."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import rows
from tests.values.checks import ROOT
from trainchart.chart.paths import CHART
from trainchart.values.validate import Report, validate

WRONG: list[dict[str, Any]] = yaml.load(
    (Path(__file__).parent / "wrong_values.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader
)
NAMES = [f"{number} {wrong['values'][:50]!a}" for number, wrong in enumerate(WRONG, 1)]


def files(wrong: dict[str, Any], folder: Path) -> list[str]:
    """The files that the values lie over, and the values."""
    own = folder / "own.yaml"
    own.write_text(wrong["values"], encoding="utf-8")
    return [*(str(ROOT / f"values/{name}.yaml") for name in wrong.get("over", "yolov5").split()), str(own)]


def told(report: Report, severity: str) -> set[str]:
    return {f"{found.key}: {found.message}" for found in report.diagnostics if found.severity == severity}


@pytest.mark.parametrize("wrong", rows(WRONG, *WRONG[::4]), ids=NAMES)
def test_a_wrong_value_gets_its_verdict_and_its_sentence(tmp_path: Path, wrong: dict[str, Any]) -> None:
    paths = files(wrong, tmp_path)
    report = validate(paths)
    refused = wrong["verdict"] == "refused"
    assert report.valid is not refused
    expected = set(wrong["says"])
    if refused:
        assert told(report, "error") == expected
    else:
        assert told(report, "warning") - told(validate(paths[:-1]), "warning") == expected


def test_there_are_150_and_half_of_them_are_made_after_public_reports() -> None:
    public = [wrong for wrong in WRONG if wrong.get("source", "").startswith("https://")]
    assert len(WRONG) >= 150
    assert len(public) >= 75
    assert len({(wrong.get("over"), wrong["values"]) for wrong in WRONG}) == len(WRONG)


@pytest.mark.parametrize("wrong", WRONG, ids=NAMES)
def test_no_sentence_is_about_schemas_or_regular_expressions(wrong: dict[str, Any]) -> None:
    for sentence in wrong["says"]:
        assert not any(
            word in sentence for word in ("schema", "pattern", "regular expression", "anyOf", "^", "additionalProp")
        )


@pytest.mark.fuzz
@pytest.mark.parametrize("program", ["helm", "helm3"])
@pytest.mark.parametrize("wrong", WRONG, ids=NAMES)
def test_both_programs_give_the_same_verdict(
    tmp_path: Path, wrong: dict[str, Any], program: str, request: pytest.FixtureRequest
) -> None:
    flags = [flag for file in files(wrong, tmp_path) for flag in ("--values", file)]
    command = [request.getfixturevalue(program), "template", "run-42", str(CHART), "--namespace", "training", *flags]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (process.returncode != 0) == (wrong["verdict"] == "refused"), process.stderr
