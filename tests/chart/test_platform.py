"""The chart `charts/platform`: rights, templates of engines and clean-up; both Helm programs and the engine in-process agree on it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from hack.generate.deploy import deployed
from hack.generate.outputs import generated
from tests.chart.matrix import FAMILIES, ROOT
from tests.chart.program import render_by_helm
from tests.chart.schemas import check_object
from tests.conftest import rows
from trainchart.chart.render import Manifest, manifests_of, render_text
from trainchart.cli.main import make_parser
from trainchart.cli.options import overrides_of
from trainchart.errors import RenderError
from trainchart.files import Tree, overlay
from trainchart.values.parameters import parameters
from trainchart.values.schema_errors import violations
from trainchart.values.validate import validate

CHART = ROOT / "charts/platform"
EVERYTHING: Tree = {
    "imagePullSecrets": ["pull"],
    "submitters": [
        {"name": "pipeline", "create": True},
        {"kind": "Group", "name": "ml-team"},
        {"kind": "User", "name": "ana@example.com", "secrets": False},
    ],
    "clusterReader": True,
    "tekton": {"enabled": True, "triggerTemplates": True},
    "argo": {"enabled": True},
    "prune": {"enabled": True},
    "nodeSelector": {"pool": "cpu"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
}
PER_RANK = overlay(EVERYTHING, {"tekton": {"logs": "perRank"}})
CASES: dict[str, Tree] = {
    "nothing": {},
    "everything": EVERYTHING,
    "perRank": PER_RANK,
    "guard": {**EVERYTHING, "guard": True},
}

# The parameters of the reference, as its document has them; None: no default.
REFERENCE_PARAMETERS = {
    "MODEL_REPO_URL": None,
    "MODEL_REPO_BRANCH": "",
    "DATASET_REPO_URL": None,
    "DATASET_REPO_BRANCH": "",
    "DATASET_DIR": "/mnt/workspace/datasets/coco128",
    "OUTPUT_MODEL_REPO_URL": None,
    "OUTPUT_MODEL_REPO_BRANCH": "",
    "GIT_CREDENTIAL_SECRET_NAME": None,
    "TRAINING_IMAGE": None,
    "TEMPORARY_STORAGE_SIZE": "5Gi",
    "REPLICAS": "1",
    "SHARE_MEMORY_LIMIT_SIZE": "2Gi",
    "CPU_REQUEST": "1",
    "MEMORY_REQUEST": "8Gi",
    "CPU_LIMIT": "8",
    "MEMORY_LIMIT": "20Gi",
    "NVIDIA_GPUALLOC": "1",
    "NVIDIA_GPUCORES": "50",
    "NVIDIA_GPUMEM": "4096",
    "NVIDIA_GPU": "",
    "TRAIN_ARG_IMAGE_SIZE": "640",
    "TRAIN_ARG_BATCH_SIZE": "16",
    "TRAIN_ARG_EPOCHS": "3",
    "TRAIN_ARG_DATA": "coco128.yaml",
    "TRAIN_ARG_WEIGHTS": "models/yolov5n.pt",
    "TRAIN_ARG_WORKERS": "0",
    "TRAIN_ARG_DEVICE": "0",
}


@cache
def _rendered(values: str) -> list[Manifest]:
    return manifests_of(render_text(json.loads(values), chart=CHART))


def objects(values: Tree = EVERYTHING, kind: str = "") -> list[Manifest]:
    return [one for one in _rendered(json.dumps(values)) if kind in ("", one["kind"])]


def one(kind: str, name: str, values: Tree = EVERYTHING) -> Manifest:
    (found,) = [one for one in objects(values, kind) if one["metadata"]["name"] == name]
    return found


def containers(node: Any) -> Iterator[Tree]:
    """Every step and container of an object, wherever it is."""
    if isinstance(node, dict):
        if "image" in node:
            yield node
        for value in node.values():
            yield from containers(value)
    elif isinstance(node, list):
        for item in node:
            yield from containers(item)


def names(values: Tree) -> list[tuple[str, str]]:
    return sorted((one["kind"], one["metadata"]["name"]) for one in objects(values))


# -- the chart as a whole


@pytest.mark.lab
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("version", ["helm", "helm3"])
def test_both_helm_programs_render_what_the_engine_in_process_does(
    case: str, version: str, request: pytest.FixtureRequest
) -> None:
    by_helm = render_by_helm(CASES[case], chart=CHART, helm=request.getfixturevalue(version))
    assert sorted(by_helm, key=str) == sorted(objects(CASES[case]), key=str)


@pytest.mark.parametrize("version", ["helm", "helm3"])
def test_the_chart_passes_the_strict_linter(version: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(EVERYTHING))
    command = [request.getfixturevalue(version), "lint", "--strict", str(CHART), "--values", str(values)]
    process = subprocess.run(command, check=False, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr


@pytest.mark.parametrize("case", CASES)
def test_every_object_has_the_shape_that_its_api_takes(case: str) -> None:
    for manifest in objects(CASES[case]):
        # The CRD of Tekton Triggers is open: there is nothing to compare with.
        if manifest["kind"] != "TriggerTemplate":
            check_object(manifest)


def nulls(node: Any, path: str = "") -> Iterator[str]:
    """The paths of fields without a value, such as those whose list came out empty."""
    if node is None:
        yield path
    elif isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from nulls(value, f"{path}.{key}")


@pytest.mark.parametrize("case", CASES)
def test_no_field_is_null(case: str) -> None:
    # Tekton's webhook refuses a parameter that is.
    assert [path for manifest in objects(CASES[case]) for path in nulls(manifest, manifest["metadata"]["name"])] == []


def test_the_same_values_give_the_same_bytes() -> None:
    assert render_text(EVERYTHING, chart=CHART) == render_text(dict(reversed(EVERYTHING.items())), chart=CHART)


def test_the_defaults_grant_one_account_its_rights_and_install_nothing_else() -> None:
    name = "trainchart-submitter"
    assert names({}) == [("Role", name), ("RoleBinding", name), ("ServiceAccount", "trainchart")]


def test_the_chart_s_generated_files_are_what_the_model_makes() -> None:
    own = {path: text for path, text in generated().items() if path.is_relative_to(CHART)}
    assert {path.name for path in own} == {"Chart.yaml", "values.yaml", "values.schema.json", "parameters.json"}
    for path, text in own.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run make generate"


# -- values


def test_the_defaults_have_the_schema_s_shape_and_every_key_a_description() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    assert (
        violations(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")), CHART / "values.schema.json")
        == []
    )
    sections = [schema, *(one for one in schema["$defs"].values() if "properties" in one)]
    assert len(sections) > 5
    for section in sections:
        assert section["additionalProperties"] is False
        assert [key for key, value in section["properties"].items() if not value.get("description")] == []


@pytest.mark.lab
@pytest.mark.parametrize(
    "values",
    [
        {"tekton": {"enable": True}},
        {"images": "x"},
        {"image": "Not An Image"},
        {"submitters": [{"name": ""}]},
        {"submitters": [{"nmae": "x"}]},
        {"submitters": [{"name": "x", "kind": "Robot"}]},
        {"prune": {"olderThan": "7 days"}},
        {"prune": {"schedule": "a\nb"}},
        {"tekton": None},
        {"image": None},
        {"resources": {"limits": {"memory": 10_000_000}}},
        {"nodeSelector": {"a b": "c"}},
    ],
    ids=str,
)
def test_values_of_another_shape_are_refused_by_both_helm_programs(values: Tree, helm: str, helm3: str) -> None:
    for program in (helm, helm3):
        with pytest.raises(RenderError, match="values don't meet the specifications of the schema"):
            render_by_helm(values, chart=CHART, helm=program)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"families": ["yolov9"]}, 'families: "yolov9" is not a family; use some of custom, '),
        ({"submitters": [{"kind": "User", "name": "ana", "create": True}]}, "submitters: a User cannot be created"),
        ({"submitters": [{"name": "Ana", "create": True}]}, 'submitters: "Ana" cannot be the name of a ServiceAccount'),
        ({"submitters": [{"name": "ana@example.com"}]}, 'submitters: "ana@example.com" cannot be the name'),
        ({"submitters": [{"name": "a..b"}]}, 'submitters: "a..b" cannot be the name of a ServiceAccount'),
        (
            {"submitters": [{"name": "a", "create": True}, {"kind": "ServiceAccount", "name": "a"}]},
            'submitters: ServiceAccount "a" is named twice; keep one of them',
        ),
        (
            {"submitters": [{"name": "trainchart-prune"}], "prune": {"enabled": True}},
            'submitters: ServiceAccount "trainchart-prune" is the account of prune.enabled; name another',
        ),
        ({"submitters": [{"name": "default", "create": True}]}, 'every namespace has a ServiceAccount "default"'),
        (
            {"resources": {"requests": {"memory": "1Gi"}}},
            "resources.requests.memory: 1Gi is more than resources.limits.memory 512Mi; lower the request or raise",
        ),
        ({"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}}, "resources.requests.cpu: 2 is more than"),
        ({"submitters": [], "tekton": {"enabled": True}}, "submitters: engines need a ServiceAccount"),
        (
            {"submitters": [{"name": "a", "secrets": False}], "argo": {"enabled": True}},
            "submitters: engines need a ServiceAccount",
        ),
        ({"tekton": {"triggerTemplates": True}}, "tekton.triggerTemplates: a TriggerTemplate starts a Pipeline"),
    ],
    ids=lambda case: "" if isinstance(case, str) else str(case),
)
def test_what_spans_several_keys_is_refused_with_words(values: Tree, words: str) -> None:
    with pytest.raises(RenderError, match=re.escape(words)):
        render_text(values, chart=CHART)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(RenderError) as error:
        render_text({"families": ["a", "b"], "submitters": [], "argo": {"enabled": True}}, chart=CHART)
    assert len(re.findall(r"^- ", str(error.value), re.MULTILINE)) == 3


# -- a part whose API is missing. A cluster is told from `helm template` by the kinds that it has.

KINDS = {
    "tekton.enabled": "tekton.dev/v1/Pipeline",
    "tekton.triggerTemplates": "triggers.tekton.dev/v1beta1/TriggerTemplate",
    "argo.enabled": "argoproj.io/v1alpha1/WorkflowTemplate",
}


def on_a_cluster(helm: str, *apis: str) -> subprocess.CompletedProcess[str]:
    """What Helm says where the cluster has these APIs."""
    given = [word for api in ("v1/Pod", *apis) for word in ("--api-versions", api)]
    wanted = [word for key in KINDS for word in ("--set", f"{key}=true")]
    command = [helm, "template", "platform", str(CHART), *wanted, *given]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("version", rows(["helm", "helm3"], "helm"))
@pytest.mark.parametrize("key", KINDS)
def test_a_part_whose_api_the_cluster_does_not_have_is_refused(
    key: str, version: str, request: pytest.FixtureRequest
) -> None:
    helm = request.getfixturevalue(version)
    others = [kind for name, kind in KINDS.items() if name != key]
    refused = on_a_cluster(helm, *others)
    assert refused.returncode == 1
    assert f"{key}: the cluster has no {KINDS[key]}; install " in refused.stderr
    assert refused.stderr.count("the cluster has no") == 1
    assert on_a_cluster(helm, *others, KINDS[key]).returncode == 0


# -- rights


def test_the_roles_have_the_rules_of_the_files_in_deploy() -> None:
    roles = [yaml.safe_load(text) for file, text in deployed().items() if file.parent.name == "deploy"]
    files = {role["metadata"]["name"]: role for role in roles}
    for name in ("trainchart-submitter", "trainchart-submitter-without-secrets"):
        assert one("Role", name)["rules"] == files[name]["rules"]
    assert one("ClusterRole", "trainchart-reader-training")["rules"] == files["trainchart-reader"]["rules"]


def subjects(binding: Manifest) -> list[tuple[str, str]]:
    return [(subject["kind"], subject["name"]) for subject in binding["subjects"]]


def test_every_submitter_is_bound_to_the_role_that_it_asks_for() -> None:
    binding = one("RoleBinding", "trainchart-submitter")
    assert subjects(binding) == [("ServiceAccount", "pipeline"), ("Group", "ml-team")]
    assert binding["subjects"][0]["namespace"] == "training"
    assert subjects(one("RoleBinding", "trainchart-submitter-without-secrets")) == [("User", "ana@example.com")]
    assert len(subjects(one("ClusterRoleBinding", "trainchart-reader-training"))) == 3


def resources_of(role: Manifest) -> set[str]:
    return {resource for rule in role["rules"] for resource in rule["resources"]}


def test_an_account_without_the_right_to_secrets_has_all_others() -> None:
    with_secrets, without = (one("Role", f"trainchart-submitter{end}") for end in ("", "-without-secrets"))
    assert resources_of(with_secrets) - resources_of(without) == {"secrets"}


def test_no_role_has_a_right_to_everything_or_to_grant_rights() -> None:
    roles = [*objects(kind="Role"), *objects(kind="ClusterRole")]
    assert len(roles) == 5
    for role in roles:
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert rule["apiGroups"] != ["rbac.authorization.k8s.io"]


def test_only_accounts_to_create_are_created_and_get_the_pull_secrets() -> None:
    accounts = {one["metadata"]["name"]: one for one in objects(kind="ServiceAccount")}
    assert accounts.keys() == {"pipeline", "trainchart-prune"}
    assert accounts["pipeline"]["imagePullSecrets"] == [{"name": "pull"}]


# -- the steps of every engine


@pytest.mark.parametrize("case", CASES)
def test_every_step_runs_one_program_under_pod_security_restricted(case: str) -> None:
    found = [one for manifest in objects(CASES[case]) for one in containers(manifest)]
    assert len(found) >= (0 if case == "nothing" else 7)
    for container in found:
        # Without it, an engine asks the image's registry; and a script would be code made of parameters.
        assert container["command"] == ["trainchart"]
        assert "script" not in container
        assert not {"sh", "bash", "-c"} & set(container["args"])
        security = container["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
        amounts = container.get("computeResources") or container["resources"]
        assert amounts["requests"].keys() == {"cpu", "memory"}


def test_a_resource_that_is_empty_is_not_set_and_a_number_is_a_quantity() -> None:
    amounts = {"requests": {"cpu": 1, "memory": ""}, "limits": {"cpu": 1.5, "memory": ""}}
    task = one("Task", "trainchart-run", overlay(EVERYTHING, {"resources": amounts}))
    assert task["spec"]["steps"][0]["computeResources"] == {"requests": {"cpu": "1"}, "limits": {"cpu": "1.5"}}


def test_pods_of_argo_and_of_the_cron_job_go_where_the_values_say() -> None:
    workflow = one("WorkflowTemplate", "training")["spec"]
    cron = one("CronJob", "trainchart-prune")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    for pod in (workflow, cron):
        assert pod["nodeSelector"] == {"pool": "cpu"}
        assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
        assert pod["imagePullSecrets"] == [{"name": "pull"}]


# -- parameters


def declared(manifest: Manifest) -> dict[str, str | None]:
    """The parameters of a Pipeline, a TriggerTemplate or a WorkflowTemplate, with their defaults."""
    spec = manifest["spec"]
    if manifest["kind"] == "WorkflowTemplate":
        return {one["name"]: one.get("value") for one in spec["arguments"]["parameters"]}
    return {one["name"]: one.get("default") for one in spec["params"]}


ENGINES = ("Pipeline", "TriggerTemplate", "WorkflowTemplate")


@pytest.mark.parametrize("kind", ENGINES)
def test_the_reference_s_parameters_are_there_by_name_and_default(kind: str) -> None:
    found = declared(one(kind, "yolov5-training"))
    assert found == {**REFERENCE_PARAMETERS, "values": ""}
    assert len(REFERENCE_PARAMETERS) == 27


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_its_parameters(family: str, kind: str) -> None:
    wanted = {parameter.name: parameter.default for parameter in parameters(family)}
    assert declared(one(kind, f"{family}-training")) == {**wanted, "values": ""}


@pytest.mark.parametrize("kind", ENGINES)
def test_a_values_file_of_any_family_needs_no_parameter(kind: str) -> None:
    assert declared(one(kind, "training")) == {"values": None}


def arguments(kind: str, name: str) -> list[str]:
    """The arguments that parameters are handed to `submit` in."""
    spec = one(kind, name)["spec"]
    if kind == "WorkflowTemplate":
        found: list[str] = spec["templates"][0]["container"]["args"]
        return found
    return next(iter(param["value"] for param in spec["tasks"][0]["params"] if param["name"] == "options"))


@pytest.mark.parametrize(
    ("kind", "form"), [("Pipeline", "$(params.{})"), ("WorkflowTemplate", "{{{{workflow.parameters.{}}}}}")]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_is_an_argument_of_its_own(family: str, kind: str, form: str) -> None:
    given = [argument for argument in arguments(kind, f"{family}-training") if argument.startswith("--param=")]
    assert given == [f"--param={p.name}={form.format(p.name)}" for p in parameters(family)]
    assert f"--family={family}" in arguments(kind, f"{family}-training")


# What has to be given, as somebody would fill in the form.
FORM = {
    "TRAINING_IMAGE": "registry.example.com/training/yolo:7.0",
    "GIT_CREDENTIAL_SECRET_NAME": "git-credentials",
    "MODEL_REPO_URL": "https://git.example.com/team/model.git",
    "DATASET_REPO_URL": "https://git.example.com/team/data.git",
    "OUTPUT_MODEL_REPO_URL": "https://git.example.com/team/result.git",
}
FILE = (ROOT / "values/yolov8.yaml").read_text(encoding="utf-8")


def as_tekton(training: str) -> list[str]:
    """The arguments that Tekton starts the step of a Pipeline with."""
    pipeline = one("Pipeline", training)
    form = filled(training, declared(pipeline))
    given = {param["name"]: param["value"] for param in pipeline["spec"]["tasks"][0]["params"]}
    strings = {"context.pipelineRun.name": "run-42", "context.pipelineRun.uid": "u-1"}
    strings |= {f"params.{name}": value for name, value in form.items()}
    words = {
        name: [replaced(word, strings) for word in value] for name, value in given.items() if isinstance(value, list)
    }
    strings = {f"params.{name}": replaced(given[name], strings) for name in ("name", "values")}
    (step,) = one("Task", "trainchart-run")["spec"]["steps"]
    found: list[str] = []
    for word in step["args"]:
        array = re.fullmatch(r"\$\(params\.(\w+)\[\*\]\)", word)
        found += words[array[1]] if array else [replaced(word, strings)]
    return found


def as_argo(training: str) -> list[str]:
    """The arguments that Argo starts the step of a Workflow with."""
    template = one("WorkflowTemplate", training)
    strings = {"workflow.name": "run-42", "workflow.uid": "u-1"}
    strings |= {f"workflow.parameters.{name}": value for name, value in filled(training, declared(template)).items()}
    args = template["spec"]["templates"][0]["container"]["args"]
    return [re.sub(r"\{\{(.*?)\}\}", lambda match: strings[match[1]], word) for word in args]


def filled(training: str, form: dict[str, str | None]) -> dict[str, str]:
    """The form as somebody fills it in who leaves what has a default; a program has no parameter but a list in a file."""
    given = {**FORM, "values": FILE}
    if training == "custom-training":
        form = {**form, "values": "train: {command: [python3, train.py]}\n"}
    return {name: given[name] if default is None else default for name, default in form.items()}


def replaced(word: str, strings: dict[str, str]) -> str:
    return re.sub(r"\$\(([\w.]+)\)", lambda match: strings.get(match[1], match[0]), word)


@pytest.mark.parametrize("arguments_of", [as_tekton, as_argo])
@pytest.mark.parametrize("training", ["training", *(f"{family}-training" for family in FAMILIES)])
def test_submit_takes_the_arguments_of_every_template_and_finds_their_values_valid(
    training: str, arguments_of: Callable[[str], list[str]]
) -> None:
    options = make_parser().parse_args(arguments_of(training))
    assert (options.command, options.name) == ("submit", "run-42")
    assert options.owner[1:] in (["PipelineRun", "run-42", "u-1"], ["Workflow", "run-42", "u-1"])
    assert (options.on_signal, options.adopt, options.logs) == ("stop", True, True)
    report = validate([], overrides_of(options))
    assert report.valid, report.diagnostics
    assert training == "training" or f"family {training.removesuffix('-training')}," in report.summary


def test_only_the_wanted_families_have_templates() -> None:
    values = overlay(EVERYTHING, {"families": ["custom"]})
    assert [one["metadata"]["name"] for one in objects(values, "Pipeline")] == ["training", "custom-training"]


def test_a_trigger_template_starts_its_pipeline_with_every_parameter_and_without_the_default_timeout() -> None:
    template = one("TriggerTemplate", "yolov5-training")["spec"]
    (run,) = template["resourcetemplates"]
    assert run["spec"]["pipelineRef"] == {"name": "yolov5-training"}
    assert run["spec"]["timeouts"] == {"pipeline": "0"}
    assert run["spec"]["taskRunTemplate"] == {"serviceAccountName": "pipeline"}
    assert {param["name"]: param["value"] for param in run["spec"]["params"]} == {
        name: f"$(tt.params.{name})" for name in declared(one("TriggerTemplate", "yolov5-training"))
    }


# -- Tekton


def flag_values(words: list[str], flag: str, count: int) -> list[list[str]]:
    """What follows an option, for each time that it is given."""
    return [words[at + 1 : at + 1 + count] for at, word in enumerate(words) if word == flag]


@pytest.mark.parametrize("values", [EVERYTHING, PER_RANK], ids=["combined", "perRank"])
def test_the_task_stops_adopts_owns_and_writes_every_result(values: Tree) -> None:
    task = one("Task", "trainchart-run", values)["spec"]
    (step,) = task["steps"]
    assert {"--on-signal=stop", "--adopt"} <= set(step["args"])
    assert flag_values(step["args"], "--owner", 1) == [["$(params.owner[*])"]]
    results = [result["name"] for result in task["results"]]
    # All results share 4,096 bytes, and the ranks of a large run would fill them.
    assert ("ranks" in results) == (values is PER_RANK)
    assert flag_values(step["args"], "--output", 2) == [[name, f"$(results.{name}.path)"] for name in results]
    assert {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}} in step["env"]


@pytest.mark.parametrize("values", [EVERYTHING, PER_RANK], ids=["combined", "perRank"])
def test_a_pipeline_s_run_is_named_after_the_pipeline_run_and_belongs_to_it(values: Tree) -> None:
    for pipeline in objects(values, "Pipeline"):
        for task in pipeline["spec"]["tasks"]:
            given = {param["name"]: param["value"] for param in task["params"]}
            assert given["name"] == "$(context.pipelineRun.name)"
            assert task["retries"] == 1
            assert task["timeout"] == "0s"  # else an hour, whatever the PipelineRun says
            if "taskRef" in task:
                run = ["$(context.pipelineRun.name)", "$(context.pipelineRun.uid)"]
                assert given["owner"] == ["tekton.dev/v1", "PipelineRun", *run]


@pytest.mark.parametrize("values", [EVERYTHING, PER_RANK], ids=["combined", "perRank"])
def test_a_pipeline_has_what_tekton_would_write_into_its_lists(values: Tree) -> None:
    # Argo CD, and whoever else compares the cluster with git, takes it for a change.
    for pipeline in objects(values, "Pipeline"):
        assert all({"name", "type", "description", "value"} == result.keys() for result in pipeline["spec"]["results"])
        refs = [task["taskRef"] for task in pipeline["spec"]["tasks"] if "taskRef" in task]
        assert refs
        assert all(ref == {"kind": "Task", "name": "trainchart-run"} for ref in refs)


def test_with_logs_per_rank_a_task_prints_each_rank_beside_the_one_that_waits() -> None:
    submit, log, train = one("Pipeline", "training", PER_RANK)["spec"]["tasks"]
    assert "--no-wait" in next(param["value"] for param in submit["params"] if param["name"] == "options")
    assert log["matrix"]["params"] == [{"name": "rank", "value": "$(tasks.submit.results.ranks[*])"}]
    assert log["taskSpec"]["steps"][0]["args"] == ["logs", "--follow", "$(params.name)", "--rank", "$(params.rank)"]
    # A log that is gone with its pod fails no training.
    assert log["taskSpec"]["steps"][0]["onError"] == "continue"
    assert train["runAfter"] == ["submit"]
    # Between the two tasks nobody follows the run.
    assert "--guard" in one("Task", "trainchart-run", PER_RANK)["spec"]["steps"][0]["args"]
    assert "--guard" not in one("Task", "trainchart-run")["spec"]["steps"][0]["args"]


# -- Argo Workflows


def test_a_workflow_stops_adopts_owns_and_writes_every_output() -> None:
    spec = one("WorkflowTemplate", "training")["spec"]
    (template,) = spec["templates"]
    words = template["container"]["args"]
    assert {"--on-signal=stop", "--adopt", "{{workflow.name}}"} <= set(words)
    owner = ["argoproj.io/v1alpha1", "Workflow", "{{workflow.name}}", "{{workflow.uid}}"]
    assert flag_values(words, "--owner", 4) == [owner]
    outputs = {one["name"]: one["valueFrom"]["path"] for one in template["outputs"]["parameters"]}
    assert flag_values(words, "--output", 2) == [[name, path] for name, path in outputs.items()]
    assert template["retryStrategy"] == {"limit": 3, "retryPolicy": "OnError"}
    assert json.loads(spec["podSpecPatch"])["terminationGracePeriodSeconds"] >= 60


def test_a_workflow_s_account_may_report_what_its_step_has_written() -> None:
    assert one("WorkflowTemplate", "training")["spec"]["serviceAccountName"] == "pipeline"
    assert subjects(one("RoleBinding", "trainchart-argo-executor")) == [("ServiceAccount", "pipeline")]
    (rule,) = one("Role", "trainchart-argo-executor")["rules"]
    assert (rule["resources"], rule["verbs"]) == (["workflowtaskresults"], ["create", "patch"])


# -- clean-up


def test_the_cron_job_prunes_one_at_a_time_by_an_account_of_its_own() -> None:
    cron = one("CronJob", "trainchart-prune")["spec"]
    pod = cron["jobTemplate"]["spec"]["template"]["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    assert pod["serviceAccountName"] == "trainchart-prune"
    assert pod["containers"][0]["args"] == ["prune", "--older-than=7d", "--keep-failed"]
    assert subjects(one("RoleBinding", "trainchart-prune")) == [("ServiceAccount", "trainchart-prune")]


def test_the_cron_job_may_not_create_anything_nor_read_what_pods_say() -> None:
    role = one("Role", "trainchart-prune")
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} <= {"get", "list", "watch", "update", "delete"}
    assert not {"pods/log", "events"} & resources_of(role)


# -- values are not code

HOSTILE = [
    'x"\n---\nkind: Pod',
    "x\u0085kind: Pod",
    "x\u2028kind: Pod",
    "$(params.values)",
    "{{workflow.name}}",
    "{{ fail `x` }}",
    "'; rm -rf /; '",
    "a: b # c",
    "\t\\x00",
    "<&>",
]


@pytest.mark.parametrize("text", rows(HOSTILE, *HOSTILE[:5]), ids=ascii)
def test_a_text_of_the_values_never_changes_another_object(text: str) -> None:
    values = overlay(
        EVERYTHING,
        {
            "image": text,
            "submitters": [
                {"name": "pipeline"},
                {"kind": "Group", "name": text},
                {"kind": "User", "name": text, "secrets": False},
            ],
            "imagePullSecrets": [text],
            "nodeSelector": {text: text},
            "prune": {"schedule": text, "olderThan": text},
        },
    )
    expected = [one for one in names(EVERYTHING) if one != ("ServiceAccount", "pipeline")]
    assert names(values) == expected
    bound = one("RoleBinding", "trainchart-submitter-without-secrets", values)
    assert subjects(bound) == [("User", text)]
    assert one("WorkflowTemplate", "training", values)["spec"]["nodeSelector"] == {"pool": "cpu", text: text}
    assert one("CronJob", "trainchart-prune", values)["spec"]["schedule"] == text


def notes(values: Tree) -> str:
    return render_text(values, chart=CHART)["NOTES.txt"]


def test_the_notes_quote_an_account_that_yaml_would_take_for_a_number() -> None:
    text = notes({"submitters": [{"name": "123"}], "tekton": {"enabled": True}})
    assert 'taskRunTemplate: {serviceAccountName: "123"}' in text


def test_the_notes_have_the_next_command_and_say_timeouts() -> None:
    assert "trainchart submit run-42 -n training -f run.yaml" in notes({})
    text = notes(EVERYTHING)
    assert "Every step runs the image trainchart/trainchart:" in text
    assert 'timeouts: {pipeline: "0"}' in text
    runs = [yaml.safe_load(block) for block in re.findall(r"<<END\n(.*?)\n  END$", text, re.DOTALL | re.MULTILINE)]
    assert [run["kind"] for run in runs] == ["PipelineRun", "Workflow"]


# -- the commands of the documentation


def documented_runs() -> list[Manifest]:
    """The objects in docs/engines.md that a reader is to create."""
    text = (ROOT / "docs/engines.md").read_text(encoding="utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"<<END\n(.*?)^END$", text, re.DOTALL | re.MULTILINE)]


def test_every_documented_command_of_the_chart_names_its_namespace() -> None:
    # The rights are rendered for it, also by `helm template`, which would take "default".
    pages = [ROOT / "README.md", CHART / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    commands = re.findall(r"helm (?:install|upgrade|template) [^\n`]*(?:charts/platform|platform-VERSION)[^\n`]*", text)
    assert len(commands) >= 5
    assert [command for command in commands if " -n " not in command] == []


def test_the_runs_in_the_documentation_start_what_the_chart_installs() -> None:
    pipeline_run, workflow = documented_runs()
    for run, kind, given in [
        (pipeline_run["spec"]["pipelineRef"], "Pipeline", pipeline_run["spec"]["params"]),
        (workflow["spec"]["workflowTemplateRef"], "WorkflowTemplate", workflow["spec"]["arguments"]["parameters"]),
    ]:
        wanted = declared(one(kind, run["name"]))
        names_given = {param["name"] for param in given}
        assert names_given <= wanted.keys()
        assert {name for name, default in wanted.items() if default is None} <= names_given
        assert all(isinstance(param["value"], str) for param in given)
    assert pipeline_run["spec"]["timeouts"] == {"pipeline": "0"}
    account = pipeline_run["spec"]["taskRunTemplate"]["serviceAccountName"]
    assert ("ServiceAccount", account) in names({})
