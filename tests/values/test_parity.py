"""`trainchart validate` and Helm give the same verdict: the program on chosen values, its library on many made-up ones."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.values.checks import CPU, NVIDIA, ROOT, YOLOV5
from trainchart.chart.paths import CHART
from trainchart.files import Tree, load_values, overlay
from trainchart.values.validate import validate

# Laid over the YOLOv5 example.
CHOSEN: dict[str, str] = {
    "nothing": "",
    "a comment": "# nothing",
    "a byte order mark": "\ufeffreplicas: 1",
    "an empty count": "accelerator: {count: ''}",
    "no count": "accelerator: {count: }",
    "no section": "accelerator: ",
    "no family": "family: ",
    "an unknown family": "family: yolo",
    "an unknown profile": "accelerator: {profile: tpu}",
    "an unknown key": "replica: 1",
    "an unknown key of the family": "train: {epoch: 1}",
    "a number for a text": "image: 5",
    "a map for a text": "image: {a: b}",
    "a text for a map": "resources: {limits: none}",
    "a list for a map": "train: []",
    "a map for a list": "tolerations: {}",
    "no list": "tolerations: ",
    "octal": "replicas: 0o1",
    "a whole number as a float": "replicas: 1.0",
    "an exponent": "train: {batchSize: 1e1}",
    "a fraction": "replicas: 1.5",
    "yes for true": "networkPolicy: {enabled: yes}",
    "yes for a text": "queue: yes",
    "a date for a text": "model: {revision: 2001-01-01}",
    "a quantity in words": "sharedMemory: 5 GB",
    "a quantity as a number": "sharedMemory: 1073741824",
    "a default duration": "timeLimit: ",
    "a wrong duration": "timeLimit: 0h",
    "an environment": "env: {A: b}",
    "an environment that is the run's own": "env: {VC_TASK_INDEX: '1'}",
    "an environment of numbers": "env: {A: 1}",
    "global values": "global: {a: b}",
    "a token in a URL": "model: {repository: 'https://a:b@c/d'}",
    "no credentials": "git: {secretName: }",
    "a text with a line break": 'model: {revision: "a\\nb: c"}',
    "a name that is YAML's syntax": "git: {tokenKey: '-'}",
    "two rules broken": "image: ''\nmodel: {repository: ''}",
    "a merged map": "model: &m {repository: https://a/b}\ndataset: {<<: *m, path: c}",
    "not YAML": "a: [",
    "not a number": "train: {epochs: .nan}",
    "a list of values": "- a",
    "the library's section taken away": "lib:",
    "the library's section as a text": "lib: x",
    "the library's section left as Helm makes it": "lib: {global: {}}",
}


@pytest.mark.lab
@pytest.mark.parametrize("text", CHOSEN.values(), ids=CHOSEN)
def test_the_program_helm_gives_the_same_verdict(tmp_path: Path, helm: str, text: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(text, encoding="utf-8")
    files = [str(YOLOV5), str(own)]
    report = validate(files)
    flags = [flag for file in files for flag in ("--values", file)]
    command = [helm, "template", "run-42", str(CHART), "--namespace", "training", *flags]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert report.valid == (process.returncode == 0), (report.diagnostics, process.stderr)


@pytest.mark.lab
def test_the_chosen_values_are_of_both_kinds(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    verdicts = []
    for text in CHOSEN.values():
        own.write_text(text, encoding="utf-8")
        verdicts.append(validate([str(YOLOV5), str(own)]).valid)
    assert min(verdicts.count(True), verdicts.count(False)) > 10


def paths(schema: Tree, node: Tree, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key that the schema has, the families' own included."""
    if "$ref" in node:
        node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    for key, below in node.get("properties", {}).items():
        yield (*above, key)
        yield from paths(schema, below, (*above, key))
    for branch in (*node.get("anyOf", ()), *(part["then"] for part in node.get("allOf", ()) if "then" in part)):
        yield from paths(schema, branch, above)


SCHEMA: Tree = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
PATHS = [*sorted(set(paths(SCHEMA, SCHEMA))), ("replica",), ("train", "epoch"), ("model", "x", "y")]
VALUES: list[Any] = [
    *[None, "", "a", "two", "A b", "1", "yes", "-", "git", "none", "cpu", "nvidia", "newClaim", "ReadWriteMany"],
    *[
        "4096Mi",
        "1Gi",
        "1.5Gi",
        "90m",
        "https://a/b.git",
        "http://a/b",
        "../a",
        "a\nb",
        "\u202e\U0001f600",
        '"',
        "{{ x }}",
    ],
    *[0, 1, 2, 3, -1, 1.0, 1.5, 101, 2**40, True, False, [], ["a"], [1], [{}], {}, {"a": "b"}, {"a": 1}, {"A": None}],
]
BASES = [
    load_values(YOLOV5, accelerator) for accelerator in (CPU, NVIDIA, ROOT / "values/accelerators/hami-alauda.yaml")
]


@st.composite
def mutated(draw: st.DrawFn) -> Tree:
    """Values that can run, with up to three of them changed."""
    values = draw(st.sampled_from(BASES))
    for path, value in draw(st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from(VALUES)), max_size=3)):
        change: Any = value
        for key in reversed(path):
            change = {key: change}
        values = overlay(values, change)
    return values


@pytest.mark.fuzz
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=mutated())
def test_helm_s_library_gives_the_same_verdict_on_any_values(tmp_path: Path, values: Tree) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    report = validate([str(own)])
    assert report.valid == (refusal(values) is None), (report.diagnostics, refusal(values))
    assert all(diagnostic.message and "\n" not in diagnostic.message for diagnostic in report.diagnostics)


def refusal(values: Tree) -> str | None:
    """Helm's words, by its library with the chart and its schema as they are; None when it accepts the values."""
    from helm_python import HelmError

    try:
        texts = whole_chart().render(values, name="run-42", namespace="training")
        # Helm's program reads what it rendered; its library's render does not.
        for path, text in texts.items():
            if path.endswith(".yaml"):
                list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (HelmError, yaml.YAMLError) as error:
        return str(error)
    return None


@cache
def whole_chart() -> Any:
    from helm_python import Chart

    return Chart.load(CHART)
