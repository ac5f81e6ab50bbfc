"""`trainchart preset`: what it writes runs, and what cannot run it refuses in words."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path

import pytest
import yaml
from helm_python import values_from_yaml

from tests.chart.matrix import FAMILIES, PROFILES, ROOT
from tests.conftest import rows
from tests.pairwise import pairwise
from trainchart.chart.families import family_data, profile_data
from trainchart.chart.paths import CHART
from trainchart.chart.render import render
from trainchart.cli import preset as command
from trainchart.cli.main import make_parser
from trainchart.errors import ExitCode, TrainchartError
from trainchart.files import Tree
from trainchart.values.preset import sharing_profiles
from trainchart.values.schema_errors import violations

VARIANTS = {name: next(iter(profile_data(name).get("variants") or []), None) for name in PROFILES}
FRACTIONS = [None, "100%", "50%", "12.5%", "0.4%"]
COUNTS = [None, 1, 2, 8]
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Thousands of files are read here."""


def preset(*arguments: str) -> int:
    return int(command.run(make_parser().parse_args(["preset", *arguments])))


def made(capsys: pytest.CaptureFixture[str], *arguments: str) -> Tree:
    assert preset(*arguments) == ExitCode.OK
    values: Tree = yaml.safe_load(capsys.readouterr().out)
    return values


def refusal(*arguments: str) -> str:
    with pytest.raises(TrainchartError) as error:
        preset(*arguments)
    assert error.value.exit_code == ExitCode.REFUSED
    return str(error.value)


OPTIONS = list(product((False, True), FRACTIONS, COUNTS, (None, 2)))
Options = tuple[bool, str | None, int | None, int | None]


@pytest.mark.parametrize("profile", rows(PROFILES, "hami-alauda"))
def test_a_preset_runs_or_is_refused_in_words(profile: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The property: never a traceback, and never a file that the chart refuses. Three profiles together try every pair of options."""
    rows = pairwise(list(product(FAMILIES, OPTIONS)), lambda row: (row[0], *row[1]))
    for family, options in rows[PROFILES.index(profile) % 3 :: 3]:
        runs(family, profile, options, capsys)


@pytest.mark.lab
@pytest.mark.parametrize(("family", "profile"), list(product(FAMILIES, PROFILES)))
def test_a_preset_with_any_options_runs_or_is_refused_in_words(
    family: str, profile: str, capsys: pytest.CaptureFixture[str]
) -> None:
    admitted = [options for options in OPTIONS if runs(family, profile, options, capsys)]
    assert bool(admitted) == (profile_data(profile)["backend"] in family_data(family)["backends"])


def runs(family: str, profile: str, options: Options, capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether a preset runs; one that does not is refused in words."""
    with_variant, fraction, count, replicas = options
    variant = VARIANTS[profile] if with_variant else None
    given = {"--variant": variant, "--fraction": fraction, "--count": count, "--replicas": replicas}
    words = [str(part) for option, value in given.items() if value for part in (option, value)]
    refused = None
    try:
        preset(family, "--accelerator", profile, "--gpu-memory", "24Gi", *words)
    except TrainchartError as error:
        refused = error
    if refused:
        assert re.match(r"(accelerator\.|train\.|replicas|--)[\w.-]*: .{10}", str(refused)), refused
        assert refused.exit_code == ExitCode.REFUSED
        return False
    values = yaml.load(capsys.readouterr().out, Loader=LOADER)
    assert violations(values, CHART / "values.schema.json") == []
    assert render(values)
    assert values["accelerator"]["profile"] == profile
    assert values["accelerator"].get("count") == (count or ("count" in profile_data(profile)["resources"] or None))
    assert values["replicas"] == (replicas or 1)
    return True


def test_a_family_alone_is_its_ready_to_run_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT / "values")
    assert preset("yolov5") == ExitCode.OK
    assert capsys.readouterr().out == (ROOT / "values/yolov5.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("profile", "variant", "memory", "fraction", "share"),
    [
        ("hami-alauda", None, "24Gi", "50%", {"corePercent": 50, "memory": "12288Mi"}),
        ("volcano-vgpu", None, "24Gi", "33.3%", {"corePercent": 33, "memory": "8183Mi"}),
        ("metax", None, "25Gi", "0.5", {"corePercent": 50, "memory": "12288Mi"}),
        ("iluvatar", "BI-V100", "33Gi", "25%", {"corePercent": 25, "memory": "8448Mi"}),
        ("hami-alauda", None, None, "50%", {"corePercent": 50}),
    ],
)
def test_a_fraction_is_rounded_down_to_whole_percent_and_the_profile_s_unit(
    profile: str,
    variant: str | None,
    memory: str | None,
    fraction: str,
    share: Tree,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = [*(["--variant", variant] if variant else []), *(["--gpu-memory", memory] if memory else [])]
    section = made(capsys, "yolov5", "--accelerator", profile, "--fraction", fraction, *options)["accelerator"]
    assert {key: value for key, value in section.items() if key in ("corePercent", "memory")} == share


def test_a_fraction_without_the_memory_of_a_card_says_that_memory_is_not_shared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert preset("yolov5", "--accelerator", "hami-alauda", "--fraction", "50%") == ExitCode.OK
    assert "warning: accelerator.memory: is empty, so the memory is not shared" in capsys.readouterr().err


def test_a_profile_of_whole_devices_refuses_a_fraction_and_names_those_that_share() -> None:
    words = refusal("yolov5", "--accelerator", "nvidia", "--fraction", "50%")
    assert words.startswith("--fraction: profile nvidia gives whole devices")
    assert all(name in words for name in sharing_profiles())
    assert {"hami", "hami-alauda", "volcano-vgpu"} <= set(sharing_profiles())
    assert not {"nvidia", "cpu"} & set(sharing_profiles())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], f"family: 'nothing' is not one of {', '.join(FAMILIES)}"),
        (["yolov5", "--accelerator", "nothing"], 'accelerator.profile: "nothing" does not exist; choose one of: amd,'),
        (["yolov5", "--accelerator", "../cpu"], "accelerator.profile: '../cpu' is not the name of a profile"),
        (["yolov5", "--accelerator", "hami", "--replicas", "2"], "replicas: is 2, but hami-scheduler, the scheduler of"),
        (
            ["yolov5", "--accelerator", "ascend", "--variant", "Ascend910"],
            "accelerator.profile: ascend is a npu device, but YOLOv5 trains on cpu, cuda; choose a profile for one of them",
        ),
        (
            ["yolov5", "--accelerator", "nvidia-mig", "--variant", "1g.5gb", "--count", "2"],
            "accelerator.count: is 2, but profile nvidia-mig allows at most 1; lower it",
        ),
        (["yolov5", "--accelerator", "nvidia-mig"], 'accelerator.variant: is "", but profile nvidia-mig needs one as'),
        (["yolov5", "--accelerator", "cpu", "--count", "1"], "accelerator.count: is 1, but profile cpu supports none"),
        (
            ["yolov5", "--accelerator", "hygon", "--count", "2", "--fraction", "50%"],
            "accelerator.corePercent: is 50, but with count 2 profile hygon allocates whole devices",
        ),
        (["yolov5", "--accelerator", "cpu", "--replicas", "2"], "replicas: 2 on accelerator profile cpu means 2 training"),
        (
            ["yolov5", "--accelerator", "nvidia", "--count", "3"],
            "train.batchSize: 16 is the total batch of all 3 processes, and must be divisible by their number",
        ),
        (
            ["yolov5", "--accelerator", "metax", "--fraction", "1%", "--gpu-memory", "24Gi"],
            "--fraction: 1% of 24576Mi is less than 1Gi, the unit of profile metax; request more",
        ),
        (["yolov5", "--count", "0"], "--count: 0 is less than 1"),
        (["yolov5", "--replicas", "-1"], "--replicas: -1 is less than 1"),
        (["yolov5", "--set", "train.batchsize=8"], "train.batchsize: unknown key, did you mean 'batchSize'?"),
        (["yolov5", "--set", "epochs"], "--set: 'epochs': key \"epochs\" has no value; write KEY=VALUE"),
        (["yolov5", "--set", "train..epochs=3"], "--set: 'train..epochs=3': key map \"train\" has no value"),
        (["yolov5", "--set-json", "train.epochs=[3"], "--set-json: 'train.epochs=[3': is not KEY=JSON"),
        (["yolov5", "--set", "accelerator.count=2"], "--set accelerator.count: accelerator is chosen by FAMILY, --acc"),
        (["yolov5", "--set", "family=custom"], "--set family: family is chosen by"),
        (["yolov5", "--set-json", "replicas=NaN"], "--set-json: 'replicas=NaN': is not KEY=JSON"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_in_the_chart_s_words(arguments: list[str], words: str) -> None:
    assert refusal(*arguments).startswith(words)


@pytest.mark.parametrize("fraction", ["50", "1", "0%", "0.0", "101%", "1.5", "-5%", "half", ""])
def test_a_fraction_that_could_mean_two_things_is_refused(fraction: str) -> None:
    assert refusal("yolov5", f"--fraction={fraction}").startswith(
        f"--fraction: '{fraction}' is not a share of a device"
    )


@pytest.mark.parametrize("memory", ["24", "24GB", "0", "-1Gi", "all", ""])
def test_an_amount_that_is_no_memory_of_a_device_is_refused(memory: str) -> None:
    assert refusal("yolov5", f"--gpu-memory={memory}").startswith(
        f"--gpu-memory: '{memory}' is not the memory of a device"
    )


def test_any_other_value_can_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    settings = [
        "train.batchSize=32",
        "queue=vision",
        "env.FLAG=0x10",
        "train.arguments={--optimizer,Adam}",
        "priorityClassName=",
    ]
    values = made(capsys, "yolov5", *(part for setting in settings for part in ("--set", setting)))
    assert (values["train"]["batchSize"], values["train"]["epochs"]) == (32, 3)
    assert (values["queue"], values["env"], values["priorityClassName"]) == ("vision", {"FLAG": "0x10"}, "")
    assert values["train"]["arguments"] == ["--optimizer", "Adam"]


@pytest.mark.parametrize(
    "text", ["no", "1e3", "0x1F", "1:30", "2026-01-01", "~", "a: b", "# x", "", " x", "*a", "1_000", "é"]
)
def test_text_stays_text_for_helm(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    from helm_python import values_from_yaml

    assert preset("yolov5", "--set-json", f"env.TEXT={json.dumps(text)}") == ExitCode.OK
    assert values_from_yaml(capsys.readouterr().out)["env"] == {"TEXT": text}


def test_it_says_what_will_not_fit_and_what_would(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["yolov5", "--set", "train.weights=models/yolov5x.pt", "--gpu-memory", "16Gi", "--fraction", "25%"]
    assert preset(*arguments) == ExitCode.OK
    said = capsys.readouterr().err
    assert re.search(r"warning: memory: needs about 15\.\d GiB, the share is 4\.0 GiB: it will not fit; ", said)
    (batch,) = re.findall(r"lower train\.batchSize to (\d+), or provide", said)
    assert preset(*arguments, "--strict", "--set", f"train.batchSize={batch}") == ExitCode.OK
    assert preset(*arguments, "--strict", "--set", f"train.batchSize={int(batch) + 1}") == ExitCode.REFUSED


def test_what_fits_has_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert preset("yolov5", "--accelerator", "nvidia", "--gpu-memory", "24Gi", "--strict") == ExitCode.OK
    said = capsys.readouterr().err
    assert re.match(
        r"trainchart: memory: needs about 2\.\d GiB \(YOLOv5n, 16 images of 640 x 640 pixels per process", said
    )
    assert "the device is 24.0 GiB" in said
    assert "warning" not in said


def test_a_slice_has_the_memory_of_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert preset("yolov5", "--accelerator", "nvidia-mig", "--variant", "1g.10gb") == ExitCode.OK
    assert "the slice is 9.3 GiB" in capsys.readouterr().err


def test_on_cpu_the_pod_s_memory_counts(capsys: pytest.CaptureFixture[str]) -> None:
    memory = "resources.requests.memory=1Gi,resources.limits.memory=4Gi"
    assert preset("yolov5", "--accelerator", "cpu", "--set", memory, "--strict") == ExitCode.REFUSED
    assert "the pod's memory beside /dev/shm is 2.0 GiB: it will not fit" in capsys.readouterr().err


def test_a_model_of_unknown_size_is_written_without_an_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    assert preset("yolov5", "--set", "train.weights=best.pt", "--strict") == ExitCode.OK
    assert "memory: not estimated; train.weights: 'best.pt' does not say" in capsys.readouterr().err


def test_strict_writes_nothing_when_there_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.yaml"
    assert (
        preset("yolov5", "--accelerator", "nvidia", "--count", "2", "--strict", "--write", str(file))
        == ExitCode.REFUSED
    )
    assert "warning: sharedMemory: 2Gi is small for 2 devices" in capsys.readouterr().err
    assert not file.exists()


def test_a_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    assert preset("yolov5", "--write", str(file)) == ExitCode.OK
    assert refusal("yolov5", "--write", str(file)) == f"{file} exists; add --force to replace it, or name another file"
    assert preset("yolov5", "--replicas", "2", "--write", str(file), "--force") == ExitCode.OK
    assert yaml.safe_load(file.read_text(encoding="utf-8"))["replicas"] == 2


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    assert "cannot be written: No such file or directory" in refusal(
        "yolov5", "--write", str(tmp_path / "none/run.yaml")
    )
    assert "cannot be written: Is a directory" in refusal("yolov5", "--write", str(tmp_path), "--force")


@pytest.mark.parametrize(
    ("option", "setting", "value"),
    [
        ("--set-json", "train.learningRate=1e-3", 0.001),
        ("--set", "train.options.at=12:30", "12:30"),
        ("--set", "train.options.many=12345678901", 12345678901),
        ("--set", "train.options.steps={8,11}", [8, 11]),
        ("--set", "train.options.name=1e3", "1e3"),
        ("--set-string", "train.options.name=8", "8"),
    ],
)
def test_what_is_set_is_what_helm_would_set(
    option: str, setting: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preset("ppyoloe", option, setting) == ExitCode.OK
    made = values_from_yaml(capsys.readouterr().out)
    for key in setting.partition("=")[0].split("."):
        made = made[key]
    assert made == value


def test_a_dash_is_the_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert preset("yolov5", "--write", "-") == ExitCode.OK
    assert yaml.safe_load(capsys.readouterr().out)["family"] == "yolov5"
    assert not list(tmp_path.iterdir())


def test_the_first_line_leads_an_editor_to_the_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "deep" / "run.yaml"
    file.parent.mkdir()
    assert preset("yolov5", "--write", str(file)) == ExitCode.OK
    (path,) = re.findall(r"\A# yaml-language-server: \$schema=(\S+)\n", file.read_text(encoding="utf-8"))
    assert (file.parent / path).resolve() == (ROOT / "values/schema.json").resolve()
    assert preset("yolov5", "--schema", "https://example.com/schema.json") == ExitCode.OK
    assert capsys.readouterr().out.startswith("# yaml-language-server: $schema=https://example.com/schema.json\n")


def test_a_family_without_a_formula_says_so_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert preset("custom") == ExitCode.OK
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "trainchart: memory: not estimated; only its author knows what a custom program needs"
