"""One verdict: `trainchart validate`, Helm's library and both helm programs agree on made-up values, rule by rule.

Every rule is met from both sides, in values that also differ in much that no rule cares for; a further part are valid values
with anything changed to anything. `make fuzz` has 10,000 cases, and 500 are the default here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.chart.rules import RULES, Rule
from tests.values.test_parity import mutated, refusal
from trainchart.chart.paths import CHART, LIB
from trainchart.chart.render import render
from trainchart.errors import RenderError
from trainchart.files import Tree, overlay
from trainchart.values.models.families import FAMILIES
from trainchart.values.validate import Report, validate

pytestmark = pytest.mark.fuzz

CASES = int(os.environ.get("FUZZ_CASES", "500"))
SIDES = ("broken", "kept")
PER_SIDE = max(2, CASES * 7 // 10 // (len(RULES) * len(SIDES)))
MUTATIONS = CASES - PER_SIDE * len(RULES) * len(SIDES)
# Programs are fifty times slower than their library, so they see some cases of every side of every rule, and of the mutations.
PROGRAMS_PER_SIDE = 4 if CASES >= 10_000 else 1
PROGRAMS_ON_MUTATIONS = 250 if CASES >= 10_000 else 15

INDIFFERENT: list[Tree] = [
    {"queue": "research"},
    {"priorityClassName": "high"},
    {"retries": 3},
    {"timeLimit": "90m"},
    {"imagePullPolicy": "Always"},
    {"imagePullSecrets": ["registry"]},
    {"env": {"HTTPS_PROXY": "http://proxy:3128", "EMPTY": ""}},
    {"tolerations": [{"key": "gpu", "operator": "Exists"}]},
    {"affinity": {"nodeAffinity": {}}},
    {"securityContext": {"runAsUser": 4242, "fsGroup": None}},
    {"serviceAccount": {"name": "trainer"}},
    {"networkPolicy": {"enabled": True, "egress": [{"ports": [{"port": 443}]}]}},
    {"model": {"revision": "refs/tags/v7.0"}},
    {"publish": {"branch": "candidates/first", "modelName": "first", "maxBatchSize": 16}},
    {"train": {"epochs": 300, "workers": 8, "arguments": ["--optimizer", "AdamW"]}},
    {"train": {"imageSize": "", "weights": None}},
    {"git": {"userKey": "user", "tokenKey": None}, "caBundle": {"configMapName": "ca"}, "proxy": {"noProxy": ".a"}},
    {"workspace": {"size": "1.5Ti", "storageClassName": "", "keep": True}},
]

indifferent = st.lists(st.sampled_from(INDIFFERENT), max_size=4, unique_by=json.dumps)
cheap = settings(
    deadline=None,
    derandomize=CASES < 10_000,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_gets_one_verdict_from_both_its_sides(
    tmp_path: Path, helm: str, helm3: str, rule: Rule, side: str
) -> None:
    seen = count()

    @settings(cheap, max_examples=PER_SIDE)
    @given(changes=indifferent)
    def judged_alike(changes: list[Tree]) -> None:
        values = rule.base
        known = FAMILIES[values["family"]].model_fields
        # Settings of one family are no other's.
        changes = [change for change in changes if known.keys() >= change.get("train", {}).keys()]
        for change in [*changes, rule.broken if side == "broken" else rule.kept]:
            values = overlay(values, change)
        programs = [helm, helm3] if next(seen) < PROGRAMS_PER_SIDE else []
        report = agreed(tmp_path, values, programs)
        keys = [diagnostic.key for diagnostic in report.diagnostics if diagnostic.severity == "error"]
        assert keys == ([rule.key] if side == "broken" else []), report.diagnostics

    judged_alike()


def test_anything_changed_to_anything_gets_one_verdict(tmp_path: Path, helm: str, helm3: str) -> None:
    verdicts: list[bool] = []

    @settings(cheap, max_examples=MUTATIONS)
    @given(values=mutated())
    def judged_alike(values: Tree) -> None:
        report = agreed(tmp_path, values, [helm, helm3] if len(verdicts) < PROGRAMS_ON_MUTATIONS else [])
        verdicts.append(report.valid)
        assert all(diagnostic.key for diagnostic in report.diagnostics), report.diagnostics

    judged_alike()
    valid = (sum(verdicts) + PER_SIDE * len(RULES)) / (len(verdicts) + PER_SIDE * len(RULES) * len(SIDES))
    assert 0.3 < valid < 0.7, "with the cases of the rules, of which one side is valid"


@pytest.mark.parametrize("group", re.findall(r'"(\w+)"', (LIB / "templates/rules/_all.tpl").read_text()))
def test_rules_that_are_taken_out_are_missed(tmp_path: Path, group: str) -> None:
    """What the first test would see of a chart that forgot a group of rules: broken values that are let through."""
    chart = tmp_path / "train"
    shutil.copytree(CHART, chart)
    check = chart / "charts/lib/templates/rules/_all.tpl"
    check.write_text(check.read_text(encoding="utf-8").replace(f'"{group}"', '"none"'), encoding="utf-8")
    (chart / "charts/lib/templates/rules/_none.tpl").write_text(
        '{{ define "train.rules.none" }}[]{{ end }}', encoding="utf-8"
    )
    name = "r" * 51 if group == "names" else "run-42"

    def let_through(rule: Rule) -> bool:
        try:
            return bool(
                render(overlay(rule.base, rule.broken if group != "names" else rule.kept), name=name, chart=chart)
            )
        except RenderError:
            return False

    assert any(map(let_through, RULES.values()))


def agreed(folder: Path, values: Tree, programs: list[str]) -> Report:
    """The report of `trainchart validate`, after everybody else has said the same."""
    file = folder / "values.yaml"
    file.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    report = validate([str(file)])
    assert report.valid == (refusal(values) is None), (report.diagnostics, refusal(values))
    for program in programs:
        command = [program, "template", "run-42", str(CHART), "--namespace", "training", "--values", str(file)]
        process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert report.valid == (process.returncode == 0), (program, report.diagnostics, process.stderr)
    return report
