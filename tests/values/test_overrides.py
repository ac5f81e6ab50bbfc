"""The values of the command line: judged as Helm judges its own --set, laid over the files, and named in what is wrong with them."""

from __future__ import annotations

import copy
import json
import math
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import rows
from tests.values.checks import YOLOV5
from tests.values.set_expressions import BASE, CASES
from trainchart.chart.engine import Engine
from trainchart.chart.engines import use
from trainchart.chart.helm_library import HelmLibrary
from trainchart.chart.helm_program import HelmProgram
from trainchart.chart.paths import CHART
from trainchart.errors import RenderError
from trainchart.files import Tree
from trainchart.values.overrides import Overrides
from trainchart.values.positions import Node
from trainchart.values.validate import validate, values_of

LIBRARY = HelmLibrary()
QUICK = (
    ("--set", "train.epochs=10,train.batchSize=32"),
    ("--set", "tolerations[2].values[0][1]=9"),
    ("--set", "tolerations={}"),
    ("--set", "a"),
    ("--set", "affinity[0]=1"),
    ("--set", "a[1=1"),
    ("--set-string", "a=null,b=true,c=1"),
    ("--set-json", "train.learningRate=0.001"),
    ("--set-json", "replicas=one"),
    ("--set-json", 'env={"X":"1"}'),
)


def laid(chosen: Engine, *sets: tuple[str, str], values: Tree = BASE) -> tuple[Tree, list[str]]:
    """What an engine makes of expressions: values, and messages."""
    use(chosen)
    given, _, problems = Overrides(sets=sets).over(copy.deepcopy(values), Node(is_map=True))
    assert given is not None
    return given, [f"{problem.place}: {problem.message}" for problem in problems]


def found(
    *sets: tuple[str, str], parameters: tuple[str, ...] = (), text: str = "", family: str = "", file: Path = YOLOV5
) -> list[str]:
    """What is wrong with values of the command line over a file."""
    report = validate([str(file)], Overrides(text, family, parameters, sets))
    return [f"{one.file}: {one.key}: {one.message}" for one in report.diagnostics if one.severity == "error"]


@pytest.mark.parametrize("program", rows(["helm", "helm3"], "helm"))
@pytest.mark.parametrize("case", rows(CASES, *QUICK), ids=" ".join)
def test_both_engines_read_the_same_expression_alike(
    program: str, case: tuple[str, str], request: pytest.FixtureRequest
) -> None:
    values, words = laid(LIBRARY, case)
    assert laid(HelmProgram(request.getfixturevalue(program)), case) == (values, words)
    assert all("interface" not in word and "\ue000" not in word for word in words)


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_every_expression_is_laid_over_all_values_or_refused(case: tuple[str, str]) -> None:
    values, words = laid(LIBRARY, case)
    assert (values == BASE) == (bool(words) or case[1] == ""), "refused, or something is changed"
    assert len(words) == (1 if words else 0)
    assert json.dumps(values, allow_nan=False)


@pytest.mark.parametrize(
    ("expression", "changed"),
    [
        ("replicas=4", {"replicas": 4}),
        ("train.arguments={a,1,true,null,1e3}", {"train": {**BASE["train"], "arguments": ["a", 1, True, None, "1e3"]}}),
        ("tolerations[1].key=b", {"tolerations": [BASE["tolerations"][0], {"key": "b"}, *BASE["tolerations"][2:]]}),
        ("env.A\\.B=x\\,y", {"env": {**BASE["env"], "A.B": "x,y"}}),
        ("affinity=null", {"affinity": None}),
        ("queue=", {"queue": ""}),
    ],
)
def test_the_rest_of_the_values_stays(expression: str, changed: Tree) -> None:
    assert laid(LIBRARY, ("--set", expression)) == ({**BASE, **changed}, [])


def test_a_map_in_json_replaces_the_one_that_is_there() -> None:
    values, _ = laid(LIBRARY, ("--set-json", 'train={"options":{"a":1}},tolerations[2]={"key":"a"}'))
    first, second, _, *rest = BASE["tolerations"]
    assert values == {**BASE, "train": {"options": {"a": 1}}, "tolerations": [first, second, {"key": "a"}, *rest]}


def test_the_options_lie_over_each_other_as_helm_s_do() -> None:
    sets = [
        ("--set-string", "c=3"),
        ("--set", "b=2,c=2"),
        ("--set-json", "a=1,b=1,c=1"),
        ("--set", "d=1"),
        ("--set", "d=2"),
    ]
    assert laid(LIBRARY, *sets, values={})[0] == {"a": 1, "b": 2, "c": "3", "d": 2}


def test_parameters_lie_over_files_and_expressions_over_parameters() -> None:
    over = Overrides(parameters=["REPLICAS=2", "TRAIN_ARG_EPOCHS=7"], sets=[("--set", "replicas=3")])
    values = values_of([str(YOLOV5)], over)
    assert (values["replicas"], values["train"]["epochs"], values["train"]["imageSize"]) == (3, 7, 640)


def test_what_is_wrong_names_the_option() -> None:
    assert found(("--set", "replicas=0"), ("--set-string", "queue=Q Q")) == [
        "--set-string queue: queue: 'Q Q' is not the name of an object: a-z, 0-9, '-' and '.'",
        "--set replicas: replicas: 0 is less than 1",
    ]
    assert found(parameters=("REPLICAS=0", "NVIDIA_GPUCORES=101", "TRAINING_IMAGE=")) == [
        "--param NVIDIA_GPUCORES: accelerator.corePercent: 101 is more than 100",
        "--param REPLICAS: replicas: 0 is less than 1",
    ]
    assert found(("--set", "trian.epochs=3")) == ["--set trian.epochs: trian: unknown key, did you mean 'train'?"]
    assert "--set tolerations: tolerations[0].keys: unknown key, did you mean 'key'?" in found(
        ("--set", "tolerations[0].keys=a")
    )


def test_what_an_alias_repeats_stays_the_file_s(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"{YOLOV5.read_text()}\nenv: &a {{A: 'b c'}}\nnodeSelector: *a\n", encoding="utf-8")
    [error] = found(("--set", "env.A=d"), file=file)
    assert error.startswith(f"{file}: nodeSelector.A: 'b c' is not")


def test_a_rule_that_a_parameter_breaks_names_it() -> None:
    [error] = found(parameters=("REPLICAS=2", "TRAIN_ARG_BATCH_SIZE=15"))
    assert error.startswith("--param TRAIN_ARG_BATCH_SIZE: train.batchSize: 15 is the total batch of all 2 processes")


def test_an_empty_parameter_is_named_where_its_key_is_missed(tmp_path: Path) -> None:
    assert "--param TRAINING_IMAGE: image: is empty; set a training image for family yolov5" in found(
        parameters=("TRAINING_IMAGE=",), family="yolov5", file=_empty(tmp_path)
    )


def _empty(folder: Path) -> Path:
    file = folder / "empty.yaml"
    file.write_text("")
    return file


@pytest.mark.parametrize(
    ("option", "expression", "fix"),
    [
        ("--set", "model.revision=true", "true is not text; use --set-string"),
        ("--set", "model.revision=7", "7 is not text; use --set-string"),
        ("--set", "git.allowPlainHttp=yes", "'yes' is not true or false"),
        ("--set-string", "git.allowPlainHttp=true", "'true' is not true or false; use --set-json"),
        ("--set-string", "replicas=2", "'2' is not a whole number from 1 to 1000; use --set-json"),
        ("--set-string", "replicas=+2", "'+2' is not a whole number from 1 to 1000"),
        ("--set", "replicas=010", "'010' is not a whole number from 1 to 1000"),
        ("--set", "securityContext.runAsUser=1.0", "'1.0' is not a whole number of at least 1"),
    ],
)
def test_a_value_of_the_wrong_type_is_told_the_option_for_it(option: str, expression: str, fix: str) -> None:
    [error] = found((option, expression))
    assert error.endswith(f": {fix}")


def test_numbers_reach_helm_as_they_are_given() -> None:
    values, words = laid(LIBRARY, ("--set", "env.A=1e3,env.B=9007199254740993,env.C=0x10,env.D=010"), values={})
    assert values["env"] == {"A": "1e3", "B": 9007199254740993, "C": "0x10", "D": "010"}
    assert words == [
        "--set env.B: 9007199254740993 has more digits than Helm keeps of a number; if it may be text, use --set-string"
    ]
    assert laid(LIBRARY, ("--set", "env={1,{9007199254740993}}"), ("--set", "l={9007199254740993}"), values={})[1][
        -1
    ] == ("--set l: 9007199254740993 has more digits than Helm keeps of a number; if it may be text, use --set-string")
    assert math.isclose(laid(LIBRARY, ("--set-json", "a=1e-05"), values={})[0]["a"], 0.00001)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("a\0=b", "holds a NUL character; take it out"),
        ("a=\udcff", "is not UTF-8 text"),
        ("=x", "names no key; write KEY=VALUE"),
        ("[0]=x", "names no key; write KEY=VALUE"),
        ("image", 'key "image" has no value; write KEY=VALUE, and a comma of a value as \\,'),
        ("image.tag=x", "it sets a key of a value that is not a map"),
    ],
)
def test_what_is_no_expression_is_refused(expression: str, words: str) -> None:
    [error] = found(("--set", expression))
    assert error.startswith("--set: None: ")
    assert error.endswith(f": {words}")


def test_a_password_in_an_expression_is_not_shown() -> None:
    errors = found(("--set", "model.repository=https://me:s3cret@git.example.com/a,b"))
    assert errors
    assert "s3cret" not in str(errors)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        (Overrides(text="queue: \udcff"), "--values-text"),
        (Overrides(family="\udcff"), "--family"),
        (Overrides(parameters=["TRAINING_IMAGE=\udcff"]), "--param TRAINING_IMAGE"),
        (Overrides(sets=[("--set", "queue=\udcff")]), "--set"),
    ],
)
def test_bytes_that_are_no_utf8_are_refused(given: Overrides, option: str) -> None:
    [error] = [one for one in validate([str(YOLOV5)], given).diagnostics if one.severity == "error"]
    assert error.file == option
    assert error.message.endswith("is not UTF-8 text")


def test_the_text_of_a_values_file_has_lines_and_lies_below_the_other_options(tmp_path: Path) -> None:
    text = "family: custom\nreplica: 2\nreplicas: 0\n"
    report = validate([str(YOLOV5)], Overrides(text=text, family="yolov5", parameters=["REPLICAS=2"]))
    [error] = [one for one in report.diagnostics if one.severity == "error"]
    assert (error.file, error.line, error.key) == ("--values-text", 2, "replica")
    [broken] = validate([str(YOLOV5)], Overrides(text="a: [", parameters=["REPLICAS=2"])).diagnostics
    assert broken.file == "--values-text"
    assert broken.message.startswith("not YAML")
    with pytest.raises(RenderError, match="--values-text: not YAML"):
        values_of([str(YOLOV5)], Overrides(text="a: ["))
    assert values_of([], Overrides(text="replicas: 3")) == {"replicas": 3}
    assert values_of([], Overrides(text=" ", family="yolov5")) == {"family": "yolov5"}


@pytest.mark.parametrize("family", ["[yolov5]", "{a: 1}", "7", "yolov6"])
def test_parameters_of_a_family_that_is_none_are_left_to_the_chart_s_words(family: str) -> None:
    report = validate([], Overrides(text=f"family: {family}", parameters=["REPLICAS=2"]))
    assert {one.key for one in report.diagnostics} == {"family"}


def test_parameters_need_a_family() -> None:
    report = validate([], Overrides(parameters=["REPLICAS=2"]))
    assert "--param: needs the family of the run; name it by --family, or in a values file" in [
        f"{one.file}: {one.message}" for one in report.diagnostics
    ]


@pytest.mark.parametrize("program", ["helm", "helm3"])
@pytest.mark.parametrize(
    "sets",
    rows(
        [
            (("--set", "replicas=2,train.batchSize=32"),),
            (("--set", "replicas=1e3"),),
            (("--set", "tolerations[0].key=a,tolerations[0].operator=Exists"),),
            (("--set-string", "replicas=2"),),
            (("--set", "accelerator=null"), ("--set", "family=custom")),
            (("--set", "env.A=1"), ("--set-string", "env.A=1")),
            (("--set-json", 'train.arguments=["--seed","1"]'), ("--set", "train.arguments[1]=2")),
        ],
        (("--set", "replicas=2,train.batchSize=32"),),
        (("--set", "replicas=1e3"),),
    ),
    ids=str,
)
def test_the_verdict_is_helm_s(program: str, sets: tuple[tuple[str, str], ...], request: pytest.FixtureRequest) -> None:
    words: list[Any] = [word for option, expression in sets for word in (option, expression)]
    command = [
        request.getfixturevalue(program),
        "template",
        "run-42",
        str(CHART),
        "-n",
        "training",
        "-f",
        str(YOLOV5),
        *words,
    ]
    accepted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert validate([str(YOLOV5)], Overrides(sets=sets)).valid == accepted
