"""What the command line says of the values, families and accelerators, and of a command line that is mistyped."""

from __future__ import annotations

import json

import pytest

from tests.chart.matrix import FAMILIES
from trainchart.chart.families import profile_names
from trainchart.cli import main as cli
from trainchart.values.explain import explain
from trainchart.values.models import Values


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = cli.main(list(arguments))
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_a_value_has_its_type_default_meaning_example_and_parameter(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "explain", "replicas")
    assert code == 0
    assert out.splitlines()[0] == "replicas"
    for row in (
        "type       whole number from 1 to 1000",
        "default    1",
        "parameter  REPLICAS",
        "Number of pods in the gang",
    ):
        assert row in out


def test_a_setting_of_the_trainer_is_told_for_every_family_or_for_one(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = said(capsys, "explain", "train.epochs")
    assert [line.split()[1] for line in out.splitlines() if "  family" in line] == [
        "llm-sft",
        "ppyoloe",
        "yolov5",
        "yolov8",
    ]
    _, out, _ = said(capsys, "explain", "train.epochs", "--family", "yolov8")
    assert "default    100" in out
    assert "yolov5" not in out


def test_a_section_lists_what_is_in_it_and_no_key_lists_the_top(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = said(capsys, "explain", "publish")
    assert [line.split()[0] for line in out.splitlines()][:2] == ["publish", "publish.type"]
    assert {one.path for one in explain("")} == set(Values.model_fields)


def test_a_list_lists_the_keys_of_an_entry(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = said(capsys, "explain", "volumes")
    assert [line.split()[0] for line in out.splitlines()][:3] == ["volumes", "volumes[].name", "volumes[].mountPath"]
    assert explain("volumes[0].mountPath")[0].default == "required"


@pytest.mark.lab
def test_every_value_can_be_explained_by_its_path_and_by_that_of_its_entry() -> None:
    for key in ("git.userKey", "volumes", "volumes[0]", "secretEnv", "accelerator.profiles", "caBundle.key"):
        assert explain(key)[0].description


@pytest.mark.parametrize(
    ("key", "path"), [("env.LR", "env"), ("nodeSelector.a/b", "nodeSelector"), ("tune.space.lr0", "tune.space")]
)
def test_a_key_of_a_map_of_the_user_s_is_explained_by_the_map(key: str, path: str) -> None:
    assert [one.path for one in explain(key)] == [path]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("epochs", "did you mean train.epochs?"),
        ("train.epoch", "did you mean train.epochs?"),
        ("git.tokenkey", "did you mean git.tokenKey?"),
        ("lr", "did you mean train.learningRate?"),
        ("train.lr", "did you mean train.learningRate?"),
        ("workspace.pvc", "did you mean workspace.claimName?"),
        ("dataset.url", "did you mean dataset.repository or dataset.lfs.url?"),
        ("shm", "did you mean sharedMemory?"),
        ("seed", "did you mean tune.seed or train.seed?"),
        ("memory", "write it into resources.requests, resources.limits or both"),
        ("train.epochs.x", "there is no key 'train.epochs.x'"),
        ("xyzzy", "`trainchart explain` lists the keys"),
    ],
)
def test_a_mistyped_key_is_told_what_was_meant(key: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys, "explain", key)
    assert (code, out) == (2, "")
    assert words in err


def test_families_and_accelerators_are_listed_as_text_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    for command, names in (("families", FAMILIES), ("accelerators", profile_names())):
        _, out, _ = said(capsys, command)
        assert [line.split()[0] for line in out.splitlines()[1:]] == list(names)
        _, out, _ = said(capsys, command, "-o", "json")
        assert [one["name"] for one in json.loads(out)] == list(names)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sbmit"], "'sbmit' is not a command; did you mean 'submit'?"),
        (["cancel"], "'cancel' is not a command; did you mean 'stop'?"),
        (["Version"], "'Version' is not a command; did you mean '--version'?"),
        (["cache", "rm"], "'rm' is not a command; did you mean 'prune'?"),
        (["help"], "'help' is not a command; `trainchart --help` lists the commands"),
        (["doctor", "a.yaml", "b.yml"], "unrecognized arguments: a.yaml b.yml; write -f a.yaml -f b.yml"),
        (["status", "a", "b.yaml"], "unrecognized arguments: b.yaml\n"),
        (["xyzzy"], "'xyzzy' is not a command; `trainchart --help` lists the commands"),
        (["submit", "a", "--dryrun"], "unrecognized arguments: --dryrun; did you mean --dry-run?"),
        (["logs", "a", "--folow=1"], "did you mean --follow?"),
        (["logs", "a", "--xyzzy"], "unrecognized arguments: --xyzzy\n"),
    ],
)
def test_a_mistyped_command_line_is_told_what_was_meant(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = said(capsys, *arguments)
    assert code == 2
    assert words in err


def test_no_arguments_are_answered_with_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(capsys)
    assert (code, err) == (0, "")
    assert "submit" in out
