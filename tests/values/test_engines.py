"""Helm's code in this process and both `helm` programs say the same of any values: verdict, lines and words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chart.matrix import ADMITTED
from tests.chart.rules import RULES
from tests.conftest import rows
from tests.values.checks import YOLOV5
from tests.values.test_parity import CHOSEN
from trainchart.chart.engine import Engine, HelmError
from trainchart.chart.engines import engine, use, use_program
from trainchart.chart.helm_library import HelmLibrary
from trainchart.chart.helm_program import HelmProgram
from trainchart.chart.paths import CHART
from trainchart.errors import RenderError, UsageError
from trainchart.files import Tree, overlay
from trainchart.values.validate import Report, validate

LIBRARY = HelmLibrary()

# What only the way to a program could change: characters, keys, numbers, depth.
HOSTILE = {
    "keys that are not texts": "yes: 1\nno: 2\n1e3: 3\n~: 4\n0o7: 5\n2001-01-01: 6\n中: 7",
    "the same key in two notations": "env: {'true': a, yes: b}",
    "a key longer than YAML's simple keys": f"? {'a' * 3000}\n: 1",
    "control characters": 'env: {A: "\\x01\\x7f\\x85\\u2028\\ufeff\\ufffe"}',
    "characters beyond 16 bits": "image: '\U0001f600'",
    "what looks like the answer of a program": "image: 'output: e30='\nError: error converting YAML",
    "a document named after an error": "Error: error converting YAML",
    "templates": "image: '{{ fail \"x\" }}'\nqueue: '{{'",
    "numbers that no machine has": "train: {epochs: 1e400, batchSize: 12345678901234567890123, seed: 9007199254740993}",
    "many levels": f"env: {'[' * 90}{']' * 90}",
    "a text of two lines that ends without a line break": "image: >\n  a\n  b",
}
CASES = {**CHOSEN, **HOSTILE}
QUICK = ("two rules broken", "an unknown key", "a merged map", "not YAML", "lib", *HOSTILE)


@pytest.fixture(params=["helm", "helm3"])
def other(request: pytest.FixtureRequest) -> HelmProgram:
    """The engine that runs a program."""
    return HelmProgram(request.getfixturevalue(request.param))


def by(chosen: Engine, ask: Callable[[], Report]) -> Report:
    use(chosen)
    return ask()


def without_nulls(tree: Tree) -> Tree:
    """Helm 3 keeps a null over a default where Helm 4 has neither; both mean "not configured" (docs/decisions/0006)."""
    return {
        key: without_nulls(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value is not None
    }


@pytest.mark.lab
@pytest.mark.parametrize("case", rows(CASES, *QUICK))
def test_both_find_the_same(tmp_path: Path, other: HelmProgram, case: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(CASES[case], encoding="utf-8")

    def ask() -> Report:
        return validate([str(YOLOV5), str(own)])

    assert by(other, ask) == by(LIBRARY, ask)


@pytest.mark.lab
@pytest.mark.parametrize("name", rows(RULES, *list(RULES)[::40]))
def test_both_report_the_same_broken_rules(tmp_path: Path, other: HelmProgram, name: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(json.dumps(overlay(RULES[name].base, RULES[name].broken), ensure_ascii=False), encoding="utf-8")

    def ask() -> Report:
        return validate([str(own)])

    report = by(other, ask)
    assert report == by(LIBRARY, ask)
    assert not report.valid


@pytest.mark.lab
@pytest.mark.parametrize("name", ["A B", "a" * 60, '"', "\u202e", "{{ x }}"])
def test_both_judge_a_release_s_name_by_the_chart_s_rule(other: HelmProgram, name: str) -> None:
    def ask() -> Report:
        return validate([str(YOLOV5)], name=name)

    assert by(other, ask) == by(LIBRARY, ask)


@pytest.mark.parametrize("number", rows(range(0, len(ADMITTED), 25), 0))
def test_both_render_the_same_texts_of_the_same_values(other: HelmProgram, number: int) -> None:
    values = ADMITTED[number].values
    assert without_nulls(other.merge(values, CHART)) == without_nulls(LIBRARY.merge(values, CHART))
    texts = other.render(values, CHART, name="run-42", namespace="training")
    assert texts == LIBRARY.render(values, CHART, name="run-42", namespace="training")
    assert texts["NOTES.txt"]


@pytest.mark.lab
def test_a_template_that_is_no_yaml_and_one_that_fails_are_reported_alike(tmp_path: Path, other: HelmProgram) -> None:
    templates = {
        "one.yaml": "a: [\n---\nb: 1\n---\n- c\n",
        "deep/one.yaml": '{{ if eq .Values.mode "index" }}{{ index .Values.list 3 }}{{ end }}',
        "NOTES.txt": "Warning: queue: none\n",
    }
    for file, text in templates.items():
        path = tmp_path / "train/templates" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (tmp_path / "train/Chart.yaml").write_text("apiVersion: v2\nname: train\nversion: 1.0.0\n", encoding="utf-8")
    (tmp_path / "train/values.schema.json").write_text('{"type": "object"}', encoding="utf-8")
    own = tmp_path / "own.yaml"
    for mode, found in (("none", 2), ("index", 1)):
        own.write_text(f"mode: {mode}\nlist: [1]\n", encoding="utf-8")

        def ask() -> Report:
            return validate([str(own)], chart=tmp_path / "train")

        report = by(other, ask)
        assert report == by(LIBRARY, ask)
        assert sum(one.severity == "error" for one in report.diagnostics) == found


def test_a_program_is_asked_about_all_unusual_keys_at_once(
    tmp_path: Path, helm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    class Counted(HelmProgram):
        def read(self, texts: object) -> list[Tree | RenderError]:
            asked.append(len(texts))  # type: ignore[arg-type]
            return super().read(texts)  # type: ignore[arg-type]

    own = tmp_path / "own.yaml"
    own.write_text("env:\n" + "".join(f"  {number}: a\n" for number in range(300)), encoding="utf-8")
    use(Counted(helm))
    validate([str(own)])
    assert asked == [300, 1]


def test_the_code_in_this_process_is_used_where_it_is_installed_unless_a_program_is_named(helm: str) -> None:
    use(None)
    assert isinstance(engine(), HelmLibrary)
    use_program(helm)
    assert engine() == HelmProgram(helm)


def test_without_it_helm_on_the_path_is_used(helm: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    use(None)
    monkeypatch.setenv("PATH", str(Path(helm).parent))
    assert engine() == HelmProgram(helm)
    use(None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        UsageError, match=r"Helm is missing: install Helm 3 or 4, .* pip install 'trainchart\[engine\]'"
    ):
        engine()


@pytest.mark.parametrize(
    ("script", "words"),
    {
        "another program": ("#!/bin/sh\necho hello\n", "template does not answer as Helm does"),
        "Helm 2": ("#!/bin/sh\necho 'Error: unknown flag: --values' >&2; exit 1\n", "failed: unknown flag: --values"),
        "without words": ("#!/bin/sh\nexit 3\n", "failed: it ended with exit code 3, and gave no reason"),
        "out of memory": ("#!/bin/sh\nkill -9 $$\n", "failed: it was killed by signal 9"),
        "of another machine": ("\x7fELF\x02", "cannot be run: Exec format error"),
    }.values(),
)
def test_a_program_that_fails_is_named_and_no_file_is_blamed(tmp_path: Path, script: str, words: str) -> None:
    program = tmp_path / "helm"
    program.write_text(script)
    program.chmod(0o755)
    use(HelmProgram(str(program)))
    with pytest.raises(UsageError, match=rf"^{program} .*{words}; is it Helm 3 or 4"):
        validate([str(YOLOV5)])


def test_a_script_around_helm_is_ended_with_helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else Helm would create objects behind our back, while what it has created is removed."""
    monkeypatch.setattr("trainchart.chart.helm_program.TEMPLATE_SECONDS", 0.5)
    program, created = tmp_path / "helm", tmp_path / "created"
    program.write_text(
        f"#!/bin/sh\nsh -c 'trap \"sleep 0.5; echo ended >> {created}; exit 1\" TERM; sleep 60 & wait'\n:\n"
    )
    program.chmod(0o755)
    with pytest.raises(HelmError, match=r"helm template took more than 0\.5 s"):
        HelmProgram(str(program)).read(["a: 1"])
    assert created.read_text() == "ended\n"
