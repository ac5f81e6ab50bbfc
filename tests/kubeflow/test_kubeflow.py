"""`trainchart.kfp` by the SDK itself: what it compiles to, what its own rules for placeholders make of that, and what it takes for a failure.

Annotations are evaluated here: the SDK takes no others.
"""

import json
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl, kubernetes, local
from kfp.local import docker_task_handler

from tests.chart.matrix import ROOT
from trainchart.cli import main as cli
from trainchart.cli.outputs import Outputs
from trainchart.errors import TrainchartError, UsageError
from trainchart.kfp import check_component, compile_pipelines, docker_runner, train_component, train_pipeline
from trainchart.kfp.settings import parameter_names
from trainchart.run.state import Snapshot, State

pytestmark = pytest.mark.kubeflow

VALUES: dict[str, Any] = {"family": "yolov8", "train": {"epochs": 30}}
# What a shell, YAML, argparse or a template would take for its own.
HOSTILE = """---
# $(reboot) `reboot` "; reboot" '
family: yolov8
train: {data: "a b.yaml"}  # {{ messages }} $HOME $$ %s \\n
"""
Command = list[str]
as_pipeline: Callable[[Callable[..., Any]], Any] = dsl.pipeline


def compiled(pipeline: Any, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pipeline's specification, and that of its platform."""
    file = folder / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(file))
    first, second = yaml.safe_load_all(file.read_text())
    return first, second


class Containers:
    """In Docker's place: what containers are given, and what each leaves."""

    def __init__(self, result: Callable[[Command], int]) -> None:
        self.commands: list[Command] = []
        self.result = result

    def run(self, client: Any, image: str, command: Command, volumes: Any, **_: Any) -> int:
        self.commands.append(command)
        return self.result(command)

    def option(self, name: str) -> list[str]:
        """What each command has for an option."""
        return [
            word.partition("=")[2] for command in self.commands for word in command if word.startswith(f"--{name}=")
        ]


def outputs_of(command: Command) -> list[tuple[str, str]]:
    return [(command[place + 1], command[place + 2]) for place, word in enumerate(command) if word == "--output"]


def leaves(code: int, told: int | None = None, **result: Any) -> Callable[[Command], int]:
    """A run that ends with a code and a result, of which the runner is told another code."""

    def write(command: Command) -> int:
        if command[1] == "submit":
            run = Snapshot(f"train-{len(command)}", "training", job={}, state=State.COMPLETED)
            outputs = Outputs(outputs_of(command))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("trainchart.follow.outcome.result_of", lambda _: result)
                outputs.write(code, run)
        return code if told is None else told

    return write


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Containers]:
    class Client:
        @staticmethod
        def close() -> None: ...

        @staticmethod
        def info() -> dict[str, Any]:
            return {}

    def place(result: Callable[[Command], int]) -> Containers:
        containers = Containers(result)
        monkeypatch.setattr("docker.from_env", Client)
        monkeypatch.setattr(docker_task_handler, "run_docker_container", containers.run)
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.touch()
        local.init(runner=docker_runner(kubeconfig), pipeline_root=str(tmp_path / "root"))
        return containers

    return place


COMPLETED = leaves(0, repository="https://git.example.com/a.git", branch="sft-1", commit="c0ffee", metrics={"mAP": 0.5})


# -- compiled


def test_the_compiled_pipelines_are_those_of_the_repository(tmp_path: Path) -> None:
    for file in compile_pipelines(tmp_path):
        assert file.read_text() == (ROOT / "deploy/kubeflow" / file.name).read_text(), (
            f"compile it again: {ROOT.name}$ python -m trainchart.kfp deploy/kubeflow"
        )


def test_another_image_is_that_of_every_task(tmp_path: Path) -> None:
    for file in compile_pipelines(tmp_path, "registry.example.com/trainchart@sha256:0"):
        specification, _ = yaml.safe_load_all(file.read_text())
        images = {one["container"]["image"] for one in specification["deploymentSpec"]["executors"].values()}
        assert images == {"registry.example.com/trainchart@sha256:0"}


def test_no_task_is_cached_or_a_program_of_the_sdk(tmp_path: Path) -> None:
    for file in compile_pipelines(tmp_path):
        specification, platform = yaml.safe_load_all(file.read_text())
        for task in specification["root"]["dag"]["tasks"].values():
            assert task["cachingOptions"] == {}, "enableCache is true in those that are"
        for executor in specification["deploymentSpec"]["executors"].values():
            assert executor["container"]["command"] == ["trainchart"]
        for pod in platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"].values():
            assert pod["fieldPathAsEnv"] == [{"name": "POD_NAME", "fieldPath": "metadata.name"}]
            assert pod["imagePullPolicy"] == "IfNotPresent"


def test_a_backend_replaces_what_a_compiled_task_has(tmp_path: Path) -> None:
    """It replaces a placeholder of the pipeline's run only where that is the whole value of an input, and no Concat."""
    for file in compile_pipelines(tmp_path):
        specification, _ = yaml.safe_load_all(file.read_text())
        constants = [
            given["runtimeValue"]["constant"]
            for task in specification["root"]["dag"]["tasks"].values()
            for given in task["inputs"]["parameters"].values()
            if "runtimeValue" in given
        ]
        assert {one for one in constants if "{{" in one} == {
            "{{$.pipeline_job_uuid}}", "{{$.pipeline_task_name}}", "{{$.pipeline_task_uuid}}",
        }  # fmt: skip
        for executor in specification["deploymentSpec"]["executors"].values():
            words = executor["container"]["args"]
            assert not any(word.startswith("{") and not word.startswith("{{$.outputs.") for word in words)
            assert all("{{$.inputs." in word or "{{$.outputs." in word for word in words if "{{" in word)


def test_loops_conditions_exit_handlers_and_retries_compile(tmp_path: Path) -> None:
    @as_pipeline
    def pipeline(values: str, rates: list[float], epochs: int = 3, final: bool = False):  # type: ignore[no-untyped-def]
        last = check_component(values=values, data=False)
        with dsl.ExitHandler(last):
            with dsl.ParallelFor(rates, parallelism=2) as rate:
                train_component(values=values, settings={"train.learningRate": rate, "train.epochs": epochs}).set_retry(
                    2
                )
            with dsl.If(final == True):  # noqa: E712
                train_component(values=values, name="final").after(check_component(values=values))
            with dsl.ParallelFor(["yolov8n.pt", "yolov8s.pt"]) as model:
                one = train_component(values=values, settings={"train.model": model})
                kubernetes.add_node_selector(one, "pool", "tools")
                kubernetes.use_secret_as_env(one, "proxy", {"url": "HTTPS_PROXY"})

    specification, _ = compiled(pipeline, tmp_path)
    executors = [one["container"]["args"] for one in specification["deploymentSpec"]["executors"].values()]
    assert sum("submit" in words for words in executors) == 3
    (searched,) = (
        one
        for one in specification["components"].values()
        if "TRAIN_ARG_LEARNING_RATE" in str(one.get("inputDefinitions")) and "executorLabel" in one
    )
    assert searched["inputDefinitions"]["parameters"]["TRAIN_ARG_EPOCHS"] == {"parameterType": "NUMBER_INTEGER"}


# -- run by the SDK


def test_every_text_is_one_word_of_the_command(docker: Callable[..., Containers]) -> None:
    containers = docker(COMPLETED)
    train_pipeline(values=HOSTILE, name="a-b")
    assert containers.option("values-text") == [HOSTILE]
    assert containers.option("generate-name") == ["a-b-"]


def test_a_task_outside_a_pipeline_runs_at_once(docker: Callable[..., Containers]) -> None:
    docker(COMPLETED)
    assert train_component(values=VALUES).outputs["commit"] == "c0ffee"


def test_parameters_of_the_pipeline_are_parameters_of_the_run(
    docker: Callable[..., Containers],
    capsys: pytest.CaptureFixture[str],
    helm: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @as_pipeline
    def pipeline(epochs: int, rate: float, cache: bool, model: str):  # type: ignore[no-untyped-def]
        settings = {
            "train.epochs": epochs, "train.learningRate": rate, "train.model": model, "TRAIN_ARG_AMP": cache, "replicas": 2,
        }  # fmt: skip
        train_component(values=VALUES, settings=settings)

    containers = docker(COMPLETED)
    pipeline(epochs=3, rate=0.00001, cache=True, model="a b.pt; reboot")
    assert containers.option("param") == [
        "TRAIN_ARG_EPOCHS=3", "TRAIN_ARG_LEARNING_RATE=1e-05", "TRAIN_ARG_MODEL=a b.pt; reboot", "TRAIN_ARG_AMP=true", "REPLICAS=2",
    ]  # fmt: skip
    assert yaml.safe_load(containers.option("values-text")[0]) == VALUES
    (command,) = containers.commands
    # The command line takes it, up to the cluster.
    monkeypatch.setenv("PATH", str(Path(helm).parent))
    assert cli.main([*command[1:], "--kubeconfig", "/nowhere"]) != 0
    assert "/nowhere" in capsys.readouterr().err


def test_every_task_and_iteration_has_an_id_of_its_own(docker: Callable[..., Containers]) -> None:
    @as_pipeline
    def pipeline():  # type: ignore[no-untyped-def]
        train_component(values=VALUES)
        with dsl.ParallelFor([1, 2]) as epochs:
            train_component(values=VALUES, settings={"train.epochs": epochs})

    containers = docker(COMPLETED)
    pipeline()
    pipeline()
    ids = containers.option("step-id")
    assert len(ids) == len(set(ids)) == 6
    assert not any("{{" in one for one in ids)


def test_what_one_task_publishes_another_starts_from(docker: Callable[..., Containers]) -> None:
    from trainchart.kfp import tune_pipeline

    containers = docker(COMPLETED)
    done = tune_pipeline(values="family: yolov8\n", tune_values="family: yolov8\ntune: {}\n")
    assert [command[1] for command in containers.commands] == ["doctor", "submit", "submit"]
    assert containers.commands[2][-1] in [file for _, file in outputs_of(containers.commands[2])]
    given = ["MODEL_REPO_URL=https://git.example.com/a.git", "MODEL_REPO_BRANCH=c0ffee"]
    assert (containers.option("param"), containers.option("required-param")) == ([], given)
    assert (done.outputs["branch"], done.outputs["metrics"]) == ("sft-1", {"mAP": 0.5})


@pytest.mark.parametrize("code", [1, 2, 40])
def test_a_task_that_fails_fails_its_pipeline(code: int, docker: Callable[..., Containers]) -> None:
    docker(leaves(code))
    with pytest.raises(RuntimeError, match="FAILURE"):
        train_pipeline(values="family: yolov8\n")


@pytest.mark.parametrize("code", [2, 40, 143])
def test_a_failure_whose_exit_code_the_runner_has_lost_is_no_success(
    code: int, docker: Callable[..., Containers]
) -> None:
    """DockerRunner takes a container that it no longer finds for one that succeeded."""
    docker(leaves(code, told=0))
    with pytest.raises(ValueError, match="Could not deserialize output 'completed'"):
        train_pipeline(values="family: yolov8\n")


# -- what is refused when a pipeline is made


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"settings": {"train.epoch": 3}},
            "settings: 'train.epoch' is no setting; did you mean train.epochs? lists and",
        ),
        (
            {"settings": {"train.arguments": "x"}},
            "settings: 'train.arguments' is no setting; lists and maps go into values",
        ),
        ({"settings": {"train.epochs": [3]}}, "settings: train.epochs is list; give text, a number, True or False"),
        ({"settings": {"train.epochs": 3, "TRAIN_ARG_EPOCHS": 4}}, "settings: TRAIN_ARG_EPOCHS is given twice"),
        ({"settings": {"accelerator.count": 1}}, "settings: accelerator.count is set by one of NVIDIA_GPUALLOC, "),
        ({"values": "run.yaml"}, "values is the text of a values file; for a file, give Path('run.yaml')"),
        ({"values": "a: '{{$.x}}'\n"}, "values has {{$, which begins what Kubeflow replaces"),
        ({"values": {"a": "{{$.x}}"}}, "values has {{$, which begins what Kubeflow replaces"),
        ({"settings": {"train.model": "a{{$.x}}"}}, "settings: train.model has {{$, which begins what Kubeflow"),
        ({"values": "runs/first"}, "values is the text of a values file; for a file, give Path('runs/first')"),
        ({"values": Path("no-file.yaml")}, "values: no-file.yaml does not exist"),
        ({"name": "Train_1"}, "name 'Train_1' cannot begin the name of a run; use a letter, then at most 40 of"),
        ({"name": "a" * 42}, "cannot begin the name of a run"),
        ({"image": None}, "image is NoneType; give text: Kubeflow has to know it when the pipeline is compiled"),
        ({"values": {"a": object()}}, "what is known when the pipeline runs is given in settings"),
        ({"values": 3}, "values is int; give a mapping, the Path of a values file, or its text"),
    ],
)
def test_what_is_wrong_already_is_refused_with_the_fix(given: Mapping[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        train_component(**{"values": VALUES, **given})
    assert says in str(refused.value)


def test_a_list_of_the_pipeline_is_no_setting() -> None:
    with pytest.raises(UsageError, match=r"settings: TRAIN_ARG_EPOCHS is List\[Integer\], and has to be text"):

        @as_pipeline
        def pipeline(epochs: list[int]):  # type: ignore[no-untyped-def]
            train_component(values=VALUES, settings={"train.epochs": epochs})


def test_a_task_in_the_place_of_its_output_is_refused() -> None:
    with pytest.raises(UsageError, match=r"settings: model.revision is a task; give one of its outputs, such as task"):

        @as_pipeline
        def pipeline():  # type: ignore[no-untyped-def]
            train_component(values=VALUES, settings={"model.revision": train_component(values=VALUES)})


def test_a_setting_without_a_value_is_not_configured_and_a_placeholder_alone_is_one(tmp_path: Path) -> None:
    @as_pipeline
    def pipeline():  # type: ignore[no-untyped-def]
        settings = {"train.epochs": None, "train.model": dsl.PIPELINE_JOB_NAME_PLACEHOLDER}
        train_component(values=VALUES, name=dsl.PIPELINE_JOB_NAME_PLACEHOLDER, settings=settings)

    specification, _ = compiled(pipeline, tmp_path)
    (task,) = specification["root"]["dag"]["tasks"].values()
    inputs = {"values", "name", "pipeline_run", "task_name", "dag", *parameter_names(["train.model"]).values()}
    assert task["inputs"]["parameters"].keys() == inputs


def test_a_kubeconfig_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainchartError, match="no-file does not exist; name a kubeconfig"):
        docker_runner(tmp_path / "no-file")


def test_values_are_a_mapping_a_file_or_its_text(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(json.dumps(VALUES))

    @as_pipeline
    def pipeline():  # type: ignore[no-untyped-def]
        train_component(values=VALUES)
        train_component(values=file)
        train_component(values=file.read_text())

    specification, _ = compiled(pipeline, tmp_path)
    texts = [
        task["inputs"]["parameters"]["values"]["runtimeValue"]["constant"]
        for task in specification["root"]["dag"]["tasks"].values()
    ]
    assert [yaml.safe_load(text) for text in texts] == [VALUES] * 3


def test_a_text_of_a_mapping_stays_one_for_helm_s_reader(docker: Callable[..., Containers]) -> None:
    containers = docker(COMPLETED)
    train_component(values={**VALUES, "env": {"A": "1e3", "B": "y", "C": "0o17"}})
    (text,) = containers.option("values-text")
    assert all(f': "{one}"\n' in text for one in ("1e3", "y", "0o17")), text


def test_values_that_are_known_when_the_pipeline_runs_are_a_text_or_a_mapping(
    docker: Callable[..., Containers],
) -> None:
    @as_pipeline
    def pipeline(text: str, mapping: dict[str, Any], plain: dict):  # type: ignore[no-untyped-def, type-arg]
        train_component(values=text)
        train_component(values=mapping)
        train_component(values=plain)

    containers = docker(COMPLETED)
    whole = {**VALUES, "podLabels": {"a": HOSTILE}}
    pipeline(text=HOSTILE, mapping=whole, plain=VALUES)
    texts = containers.option("values-text")  # of tasks that wait for nothing, in any order
    assert HOSTILE in texts
    found = [yaml.safe_load(text) for text in texts if text != HOSTILE]
    assert found in ([whole, VALUES], [VALUES, whole])


# -- the page


def test_the_code_of_the_page_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs/kubeflow.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(python|yaml)\n(.*?)```", page, re.DOTALL)
    (values,) = (text for language, text in blocks if language == "yaml")
    (tmp_path / "run.yaml").write_text(values)
    # A file, for the SDK reads the source of a component.
    (tmp_path / "of_the_page.py").write_text("\n".join(text for language, text in blocks if language == "python"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    of_the_page = import_module("of_the_page")
    trained, searched = (
        specification["root"]["dag"]["tasks"]
        for specification, _ in (compiled(one, tmp_path) for one in (of_the_page.detector, of_the_page.yolov8))
    )
    assert trained.keys() == {"train", "train-2"}
    assert searched["train"]["dependentTasks"] == ["check"]
    (text,) = (searched["train-2"]["inputs"]["parameters"]["values"]["runtimeValue"]["constant"],)
    assert yaml.safe_load(text)["tune"]["space"] == {"lr0": {"low": 1e-5, "high": 0.1}}
