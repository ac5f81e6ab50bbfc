"""The documents that the chart was made after, as values files: all that they set has a place, is accepted as it stands there, and
comes out as their own jobs ask for it.

A folder for each: `document.yaml` has what the document sets, and its own job; `values.yaml` is that as a values file, where every
line names what it is from (`# <- NAME`), or says why it is there (`# ours: ...`).
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import yaml

from runner import settings as runner_settings
from runner.context import Context
from tests.checks.cluster import ROOT
from trainchart.chart.paths import LIB
from trainchart.chart.render import Manifest, read_values, render
from trainchart.cluster.quantities import parse_quantity
from trainchart.files import Tree, load_values, overlay
from trainchart.values.parameters import values_of
from trainchart.values.validate import validate

HERE = Path(__file__).parent
NAMES = sorted(path.parent.name for path in HERE.glob("*/document.yaml"))
FAMILIES = LIB / "files" / "families"
TRACE = re.compile(r"  # (?:<- (?P<names>.+)|ours: (?P<reason>.+))$")


class Line(NamedTuple):
    """A line of a values file: its key, its value, and the names that it is from (none: it is ours)."""

    key: str
    value: Any
    names: tuple[str, ...]


def document(name: str) -> Tree:
    found: Tree = yaml.safe_load((HERE / name / "document.yaml").read_text(encoding="utf-8"))
    return found


def values_file(name: str) -> Path:
    return HERE / name / "values.yaml"


def lines_of(path: Path) -> Iterator[Line]:
    """The lines with values. Raises AssertionError for one that says neither what it is from nor why it is there."""
    text = path.read_text(encoding="utf-8")
    at = text.splitlines()

    def walk(node: yaml.MappingNode, values: Tree, above: str) -> Iterator[Line]:
        for key, value in node.value:
            name = f"{above}{key.value}"
            if isinstance(value, yaml.MappingNode) and not value.flow_style:
                yield from walk(value, values[key.value], f"{name}.")
                continue
            line = at[key.start_mark.line]
            trace = TRACE.search(line)
            assert trace, f"{path.parent.name}: {line}: say what it is from"
            yield Line(name, values[key.value], tuple(trace["names"].split(", ")) if trace["names"] else ())

    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    yield from walk(root, read_values(text), "")


@pytest.mark.parametrize("name", NAMES)
def test_all_that_a_document_sets_has_a_place_or_a_reason(name: str) -> None:
    about = document(name)
    placed = {origin for line in lines_of(values_file(name)) for origin in line.names}
    left = about["not needed"]
    assert placed | left.keys() == about["sets"].keys()
    assert not placed & left.keys()
    assert all(left.values()), "a reason is a sentence"
    assert about["rewritten"].keys() <= placed


@pytest.mark.parametrize("name", NAMES)
def test_what_a_document_gives_stands_in_the_values_as_it_stands_there(name: str) -> None:
    about = document(name)
    for line in lines_of(values_file(name)):
        asked = [about["sets"][origin] for origin in line.names if origin not in about["rewritten"]]
        given = list(line.value.values()) if isinstance(line.value, dict) else [line.value]
        if asked and None not in asked:
            assert sorted(map(plain, given)) == sorted(map(plain, asked)), line.key
    for origin in about["rewritten"]:
        there = about["sets"][origin]
        assert all(plain(line.value) != plain(there) for line in lines_of(values_file(name)) if origin in line.names)


def plain(value: Any) -> str:
    """A value as text: "50" and 50 are the same, as 4.0 and 4 are, and the texts of a shell have no other types."""
    try:
        return repr(float(value)) if not isinstance(value, bool) else str(value).lower()
    except (TypeError, ValueError):
        return str(value)


@pytest.mark.parametrize("name", NAMES)
def test_a_document_s_values_are_valid(name: str) -> None:
    report = validate([str(values_file(name))])
    assert report.valid, report.diagnostics
    kinds = {manifest["kind"] for manifest in render(load_values(values_file(name)))}
    assert {"Job", "ConfigMap"} <= kinds


def test_a_wrong_value_in_a_document_s_place_is_not_valid(tmp_path: Path) -> None:
    """So that the test above can fail."""
    text = values_file("yolov5-tekton").read_text(encoding="utf-8")
    changed = tmp_path / "run.yaml"
    changed.write_text(text.replace("corePercent: 50", "corePercent: 500"), encoding="utf-8")
    assert not validate([str(changed)]).valid


def test_the_parameters_of_the_pipeline_make_the_same_run_as_the_file() -> None:
    """`--param NAME=VALUE` with all the texts of the document, and the rest of the file without its parameters."""
    sets = document("yolov5-tekton")["sets"]
    own = load_values(values_file("yolov5-tekton"))
    given = {
        name: text
        for name, text in sets.items()
        if name.isupper() and name not in ("MASTER_ADDR", "GIT_USER", "GIT_TOKEN")
    }
    given = {name: text for name, text in given.items() if not name.startswith("MLFLOW_")}
    assert len(given) == 27
    needed = {
        "MODEL_REPO_URL": own["model"]["repository"],
        "DATASET_REPO_URL": own["dataset"]["repository"],
        "OUTPUT_MODEL_REPO_URL": own["publish"]["repository"],
        "GIT_CREDENTIAL_SECRET_NAME": own["git"]["secretName"],
        "TRAINING_IMAGE": own["image"],
    }
    assert {name for name, text in given.items() if text is None} == needed.keys()
    texts = [f"{name}={needed.get(name, text)}" for name, text in given.items()]
    rest = {key: own[key] for key in ("family", "mlflow", "queue", "retries", "imagePullPolicy")}
    assert render(overlay(rest, values_of(texts, "yolov5"))) == render(own)


# What the pods are, on both sides.


def asks(manifests: list[Manifest]) -> Tree:
    """What the job of one side asks for, of what it says."""
    job = next(manifest for manifest in manifests if manifest["kind"] in ("Job", "PaddleJob", "Workflow"))
    found: Tree = {}
    if job["kind"] == "Job":
        spec = job["spec"]
        (task,) = spec["tasks"]
        pod = task["template"]["spec"]
        found = {key: spec[key] for key in ("schedulerName", "queue", "maxRetry")}
        found.update(task=task["name"], restartPolicy=pod["restartPolicy"], replicas=task["replicas"])
    elif job["kind"] == "PaddleJob":
        task = job["spec"]["worker"]
        pod, found = task["template"]["spec"], {"replicas": task["replicas"]}
    else:
        (task,) = job["spec"]["templates"]
        pod = {"containers": [task["container"]], "volumes": task.get("volumes", [])}
    (container,) = pod["containers"]
    found.update({key: container[key] for key in ("image", "imagePullPolicy") if key in container})
    for kind, amounts in container.get("resources", {}).items():
        found.update({f"{kind}.{resource}": parse_quantity(str(amount)) for resource, amount in amounts.items()})
    return {**found, **disks(job, manifests, pod, container)}


def disks(job: Manifest, manifests: list[Manifest], pod: Tree, container: Tree) -> Tree:
    mounts = {mount["name"]: mount["mountPath"] for mount in container.get("volumeMounts", [])}
    made = {one["metadata"]["name"]: one["spec"] for one in manifests if one["kind"] == "PersistentVolumeClaim"}
    found: Tree = {}
    claims, paths = [], {"/dev/shm"}
    for volume in pod.get("volumes", []):
        path = mounts.get(volume["name"], "")
        empty, claim = volume.get("emptyDir"), volume.get("persistentVolumeClaim", {}).get("claimName")
        if empty is not None and path == "/dev/shm":
            found["shared memory"] = parse_quantity(empty["sizeLimit"])
        elif empty is not None and "sizeLimit" in empty:
            found["workspace"] = parse_quantity(empty["sizeLimit"])
        elif claim in made:
            found["workspace"] = _claim(made[claim])
        elif claim:
            claims.append(claim)
            paths.add(path)
    for volume in job["spec"].get("volumes", []):  # Volcano's own
        found["workspace"] = _claim(volume["volumeClaim"])
    if claims:
        found["claims"] = claims
    if mounts:
        found["mounts"] = sorted(paths)
    return found


def _claim(spec: Tree) -> tuple[Any, ...]:
    return spec["accessModes"], spec.get("storageClassName"), parse_quantity(spec["resources"]["requests"]["storage"])


@pytest.mark.parametrize("name", NAMES)
def test_the_pods_are_what_the_document_s_own_job_asks_for(name: str) -> None:
    about = document(name)
    theirs, ours = asks([about["job"]]), asks(render(load_values(values_file(name))))
    assert theirs
    different = {key for key, value in theirs.items() if ours.get(key) != value}
    assert different == about["differs"].keys(), {key: (theirs[key], ours.get(key)) for key in different}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"resources": {"limits": {"memory": "21Gi"}}}, "limits.memory"),
        ({"accelerator": {"corePercent": 51}}, "limits.nvidia.com/gpucores"),
        ({"sharedMemory": "3Gi"}, "shared memory"),
        ({"workspace": {"size": "6Gi"}}, "workspace"),
        ({"queue": "other"}, "queue"),
        ({"retries": 1}, "maxRetry"),
        ({"image": "registry.example.com/other:1"}, "image"),
    ],
)
def test_another_value_asks_for_other_pods(change: Tree, key: str) -> None:
    """So that the comparison above can fail."""
    own = load_values(values_file("yolov5-tekton"))
    before, job = asks(render(own)), render(overlay(own, change))
    for manifest in job:  # without the task that keeps retries
        if manifest["kind"] == "Job":
            manifest["spec"]["tasks"] = manifest["spec"]["tasks"][:1]
    after = asks(job)
    assert {name for name in before if before[name] != after[name]} == {key}


# What the trainer is told, on both sides.


@pytest.fixture
def make_context(tmp_path: Path) -> Callable[[str], tuple[Context, ModuleType]]:
    """A run's context, and the hooks of its family, as its pod has them."""

    def make(name: str) -> tuple[Context, ModuleType]:
        values = load_values(values_file(name))
        (programs,) = [manifest["data"] for manifest in render(values) if manifest["kind"] == "ConfigMap"]
        pod = json.loads(programs["pod.json"])
        pod["mounts"] = {key: str(tmp_path / key) for key in pod["mounts"]}
        (tmp_path / "settings.json").write_text(programs["settings.json"], encoding="utf-8")
        (tmp_path / "pod.json").write_text(json.dumps(pod), encoding="utf-8")
        package = "reference_" + re.sub(r"\W", "_", values["family"])
        (tmp_path / package).symlink_to(FAMILIES / values["family"])
        (tmp_path / "family").symlink_to(FAMILIES / values["family"])
        sys.path.insert(0, str(tmp_path))
        try:
            hooks = importlib.import_module(f"{package}.hooks")
        finally:
            sys.path.remove(str(tmp_path))
            for module in [module for module in sys.modules if module.partition(".")[0] == package]:
                del sys.modules[module]
        return Context.create(runner_settings.load(tmp_path), tmp_path, {}), hooks

    return make


def told(context: Context, hooks: ModuleType) -> Tree:
    """The trainer's arguments by their names."""
    family = json.loads((context.home / "settings.json").read_text())["family"]
    if family == "llm-sft":
        described = {"datasets": [context.train["dataset"]], "evaluated": [], "folder": "dataset", "media": "dataset"}
        found: Tree = hooks.settings_of(context, described)
        return found
    if family == "ppyoloe":
        return dict(pair.split("=", 1) for pair in hooks.options(context))
    if family == "yolov8":
        job = json.loads(hooks.train_arguments(context)[2])
        return {**job["options"], "model": job["model"], "data": job["data"]}
    program, *words = hooks.train_arguments(context)
    assert program == "train.py"
    return {word: words[at + 1] for at, word in enumerate(words[:-1]) if word.startswith("--")}


@pytest.mark.parametrize("name", NAMES)
def test_the_trainer_is_told_what_the_document_tells_it(name: str, make_context: Callable[..., Any]) -> None:
    about = document(name)
    ours = told(*make_context(name))
    theirs = about["trainer"]
    assert theirs
    different = {key for key, value in theirs.items() if plain(ours.get(key)).lower() != plain(value).lower()}
    assert different == about["trainer differs"].keys(), {key: (theirs[key], ours.get(key)) for key in different}


def test_an_empty_branch_is_named_as_the_documents_name_it() -> None:
    for name in ("yolov5-tekton", "llm-sft-notebook"):
        assert not load_values(values_file(name))["publish"].get("branch")
    publish = (ROOT / "charts/train/charts/lib/files/features/push/__init__.py").read_text(encoding="utf-8")
    assert 'GENERATED_PREFIX + "%Y%m%d-%H%M%S"' in publish
    assert document("llm-sft-notebook")["sets"]["push_branch"] == "sft-$(date +'%Y%m%d-%H%M%S')"


@pytest.mark.parametrize("name", ["yolov5-tekton", "llm-sft-notebook"])
def test_mlflow_and_the_secret_s_keys_reach_the_run(name: str) -> None:
    sets, manifests = document(name)["sets"], render(load_values(values_file(name)))
    (job,) = [manifest for manifest in manifests if manifest["kind"] == "Job"]
    volumes = {volume["name"]: volume for volume in job["spec"]["tasks"][0]["template"]["spec"]["volumes"]}
    assert [item["key"] for item in volumes["git"]["secret"]["items"]] == [sets["GIT_USER"], sets["GIT_TOKEN"]]
    (programs,) = [manifest["data"] for manifest in manifests if manifest["kind"] == "ConfigMap"]
    mlflow = json.loads(programs["settings.json"])["mlflow"]
    assert (mlflow["trackingUri"], mlflow["experiment"]) == (
        sets["MLFLOW_TRACKING_URI"],
        sets["MLFLOW_EXPERIMENT_NAME"],
    )
