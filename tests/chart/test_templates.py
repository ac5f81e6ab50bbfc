"""The chart's own parts: helpers, the settings that the runner gets, Volcano's rules, and what is derived from data files."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.cases import load as load_cases
from hack.generate.outputs import generated
from runner import settings as runner_settings
from tests.chart.matrix import ADMITTED, FAMILIES, PROFILES, ROOT
from tests.chart.program import render_by_helm
from tests.chart.rules import NVIDIA, OURS
from tests.conftest import rows
from trainchart.chart.families import family_data
from trainchart.chart.paths import CHART, LIB
from trainchart.chart.render import Manifest, render, render_text
from trainchart.errors import RenderError
from trainchart.files import Tree, load_values, overlay
from trainchart.values.models import Values
from trainchart.values.models.base import section_of
from trainchart.values.models.families import FAMILIES as MODELS

CASES = load_cases()
HAMI = load_values(ROOT / "values/yolov5.yaml")
ON_A_CLAIM = overlay(HAMI, {"workspace": {"type": "newClaim"}})
CPU = load_values(ROOT / "values/yolov5.yaml", ROOT / "values/accelerators/cpu.yaml")


@pytest.mark.parametrize(
    ("quantity", "amount"),
    [
        *[("0", 0), ("5", 5), ("500m", 0), ("1500m", 1), ("1k", 1000), ("1Ki", 1024), ("3G", 3_000_000_000)],
        *[("4096Mi", 4 << 30), ("1.5Gi", 3 << 29), ("20Gi", 20 << 30), ("2Ti", 2 << 40), ("1Pi", 1 << 50)],
    ],
)
def test_a_quantity_is_its_amount(tmp_path: Path, quantity: str, amount: int) -> None:
    assert helper(tmp_path, f'{{{{ include "train.quantity" "{quantity}" }}}}') == amount


@pytest.mark.parametrize("text", ["", "Gi", "2GiB", "-1", "1e3x", "two"])
def test_what_is_not_a_quantity_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(RenderError, match=f'"{text}" is not a quantity'):
        helper(tmp_path, f'{{{{ include "train.quantity" "{text}" }}}}')


@pytest.mark.parametrize(("duration", "seconds"), [("30s", 30), ("90m", 5400), ("720h", 2_592_000), ("2d", 172_800)])
def test_a_duration_is_its_seconds(tmp_path: Path, duration: str, seconds: int) -> None:
    assert helper(tmp_path, f'{{{{ include "train.seconds" "{duration}" }}}}') == seconds


def test_empty_values_are_taken_out_of_our_own_maps_at_any_depth_and_of_no_other(tmp_path: Path) -> None:
    ours = '(dict "f" "" "g" "x")'
    given = f'(dict "a" "" "b" nil "c" 0 "d" false "e" {ours} "named" (dict "n" {ours}) "theirs" {ours} "h" (list))'
    sections = '(dict "e" dict "named" (dict "*" dict))'
    pruned = f'{{{{ include "train.prune" (dict "map" $map "sections" {sections}) }}}}'
    kept = helper(tmp_path, f"{{{{ $map := {given} }}}}{pruned}{{{{ $map | toJson }}}}")
    assert kept == {
        "c": 0, "d": False, "e": {"g": "x"}, "named": {"n": {"g": "x"}}, "theirs": {"f": "", "g": "x"}, "h": [],
    }  # fmt: skip


def test_a_user_s_maps_are_passed_on_whole() -> None:
    theirs = {"a": "", "b": "c"}
    deep = {"x": "", "y": None, "z": {"": None, "w": ""}}
    profile = {**OURS, "annotations": theirs, "runtimeClassName": ""}
    values = {
        "nodeSelector": {"node-role.kubernetes.io/gpu": ""},
        "env": theirs,
        "accelerator": {"profile": "ours", "profiles": {"ours": profile, "other": None}},
    }
    manifests = {manifest["kind"]: manifest for manifest in render(overlay(NVIDIA, values))}
    template = manifests["Job"]["spec"]["tasks"][0]["template"]
    assert template["spec"]["nodeSelector"] == {"node-role.kubernetes.io/gpu": ""}
    assert "runtimeClassName" not in template["spec"]
    assert template["metadata"]["annotations"].items() >= theirs.items()
    assert settings(overlay(NVIDIA, values))["env"] == theirs
    detection = load_values(ROOT / "values/ppyoloe.yaml")
    assert settings(overlay(detection, {"train": {"options": deep}}))["train"]["options"] == deep
    language = load_values(ROOT / "values/llm-sft.yaml")
    assert settings(overlay(language, {"train": {"arguments": deep}}))["train"]["arguments"] == deep


def test_a_quantity_is_text_wherever_it_is_rendered_and_no_object_holds_a_null() -> None:
    numbers = {
        "resources": {"requests": {"cpu": 0.5, "memory": 2_000_000_000}, "limits": {"cpu": 8, "memory": 2e10}},
        "sharedMemory": 5e9,
        "workspace": {"type": "emptyDir", "size": 20_000_000_000},
    }
    spec = one(overlay(HAMI, numbers), "Job")["spec"]["tasks"][0]["template"]["spec"]
    resources = spec["containers"][0]["resources"]
    assert resources["requests"] == {"cpu": "0.5", "memory": "2000000000"}
    assert resources["limits"].items() >= {"cpu": "8", "memory": "20000000000"}.items()
    sizes = {volume["name"]: volume["emptyDir"].get("sizeLimit") for volume in spec["volumes"] if "emptyDir" in volume}
    assert sizes == {"workspace": "20000000000", "tmp": None, "shm": "5000000000"}
    claim = one(overlay(HAMI, {**numbers, "workspace": {"type": "newClaim", "size": 5e9}}), "PersistentVolumeClaim")
    assert claim["spec"]["resources"] == {"requests": {"storage": "5000000000"}}


def test_without_resources_there_is_no_bare_key_of_them() -> None:
    """Helm 4 refuses a null."""
    bare: Tree = {
        "family": "custom",
        "image": "x/y:1",
        "publish": {"type": "none"},
        "workspace": {"type": "existingClaim", "claimName": "c"},
        "train": {"command": ["a"]},
    }
    for manifest in render(bare):
        assert not list(nulls(manifest)), manifest["kind"]
    (container,) = one(bare, "Job")["spec"]["tasks"][0]["template"]["spec"]["containers"]
    assert "resources" not in container


def nulls(tree: object) -> Iterator[object]:
    if tree is None:
        yield tree
    for item in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from nulls(item)


def test_no_helper_is_defined_twice() -> None:
    """Helm would take the last, whichever file it is in."""
    sources = [path.read_text(encoding="utf-8") for path in LIB.glob("templates/**/*.tpl")]
    names = re.findall(r'define "([^"]+)"', "".join(sources))
    assert len(names) > 50
    assert sorted(set(names)) == sorted(names)


def test_the_family_s_defaults_lie_under_the_user_s_values() -> None:
    train = settings(overlay(HAMI, {"train": {"epochs": None, "batchSize": 8, "imageSize": ""}}))["train"]
    assert (train["epochs"], train["batchSize"], train["imageSize"]) == (3, 8, 640)


def test_the_runner_gets_every_setting_of_its_contract() -> None:
    """docs/runner.md shows the settings in full: what is rendered has the same keys, at every level, but for `train`,
    whose keys are the family's.
    """
    shown = re.search(
        r"## Settings\n.*?```json\n(.*?)```", (ROOT / "docs/runner.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert shown
    rendered, sample = settings(overlay(CPU, {"dataset": {"revision": "v1"}})), json.loads(shown[1])
    assert keys({**rendered, "train": {}}) == keys({**sample, "train": {}})
    assert sample["train"].keys() <= rendered["train"].keys()


def test_the_runner_reads_the_values_as_their_models_have_them() -> None:
    """No key of its settings is one that the values do not have."""

    def compare(values: Any, read: type, where: str) -> None:
        hints = typing.get_type_hints(read)
        fields = {camel(field.name): hints[field.name] for field in dataclasses.fields(read)}
        assert fields.keys() - {"run", "pod"} <= values.model_fields.keys(), where
        for name, field in values.model_fields.items():
            section = section_of(field.annotation)
            if section and name in fields and dataclasses.is_dataclass(fields[name]):
                compare(section, fields[name], name)

    def camel(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    compare(Values, runner_settings.Settings, "values")


def test_the_runner_takes_what_the_chart_renders_and_fills_in_what_is_empty(tmp_path: Path) -> None:
    change = {"git": {"secretName": ""}, "publish": {"type": "none"}, "workspace": {"type": "newClaim"}}
    found = loaded(overlay(CPU, change), tmp_path)
    for name in ("model", "dataset"):
        assert found.git_credentials(name) == runner_settings.GitCredentials("", "", "git.secretName")
    assert (found.model_name, found.directory, found.publish.branch) == ("yolov5-trained", "run-42", "")
    assert (found.workspace.shared, found.run.workspace_bytes) == (True, 0)
    assert (found.accelerator.profile, found.run.backend, found.accelerator.count) == ("cpu", "cpu", 0)
    assert (found.ca_file, found.cache_folder, found.secret_folder("mlflow")) == ("", "", "")
    assert loaded(overlay(CPU, {"publish": {"modelName": "m"}}), tmp_path).model_name == "m"


# Both steps meet every family, accelerator and workspace.
@pytest.mark.parametrize("cell", rows(ADMITTED[::7], *ADMITTED[::63]), ids=str)
def test_the_runner_finds_what_the_pod_mounts(cell: Any, tmp_path: Path) -> None:
    more = {
        "cache": {"claimName": "cache"},
        "caBundle": {"configMapName": "ca"},
        "mlflow": {"trackingUri": "https://m", "secretName": "ml", "tokenKey": "T"},
        "dataset": {"type": "claim", "claimName": "coco", "repository": ""},
    }
    values = overlay(cell.values, more)
    found, pod = loaded(values, tmp_path), pod_of(values)
    mounted = {one["name"]: one["mountPath"] for one in pod["containers"][0]["volumeMounts"]}
    assert found.pod.mounts["workspace"] == mounted["workspace"]
    assert (found.cache_folder, found.mount("dataset")) == (mounted["cache"], mounted["dataset"])
    assert (found.ca_file, found.secret_folder("mlflow")) == (f"{mounted['ca']}/ca.crt", mounted["mlflow"])
    assert {found.git_credentials(name).folder for name in found.repositories()} <= {mounted.get("git"), ""}


def test_the_reference_s_defaults_are_what_hami_is_asked_for() -> None:
    (container,) = one(HAMI, "Job")["spec"]["tasks"][0]["template"]["spec"]["containers"]
    extended = {name: amount for name, amount in container["resources"]["limits"].items() if "/" in name}
    assert extended == {"nvidia.com/gpualloc": "1", "nvidia.com/gpucores": "50", "nvidia.com/gpumem": "4096"}


def test_resource_names_can_be_those_of_the_cluster() -> None:
    names = {"accelerator": {"resourceNames": {"count": "nvidia.com/gpu", "memory": "example.com/mem"}}}
    (container,) = one(overlay(HAMI, names), "Job")["spec"]["tasks"][0]["template"]["spec"]["containers"]
    assert {"nvidia.com/gpu", "nvidia.com/gpucores", "example.com/mem"} <= container["resources"]["limits"].keys()


def test_a_user_s_error_ends_the_job_and_anything_else_restarts_it() -> None:
    codes = json.loads((LIB / "files/runner/exit_codes.json").read_text(encoding="utf-8"))["codes"]
    policies = one(HAMI, "Job")["spec"]["policies"]
    user_errors = [code["code"] for code in codes if code["code"] and not code["retried"]]
    assert user_errors
    assert policies[:-1] == [{"exitCode": code, "action": "TerminateJob"} for code in user_errors]
    assert policies[-1] == {"events": ["PodFailed", "PodEvicted"], "action": "RestartJob"}


@pytest.mark.parametrize(
    ("values", "guarded"), [({"retries": 2}, True), ({"retries": 0}, False), ({"retries": 2, "replicas": 2}, False)]
)
def test_a_run_of_one_pod_that_may_be_tried_again_has_a_pod_that_is_never_made(values: Tree, guarded: bool) -> None:
    spec = one(overlay(HAMI, values), "Job")["spec"]
    train, *others = spec["tasks"]
    assert [task["name"] for task in others] == ["guard"] * guarded
    assert ("readinessProbe" in train["template"]["spec"]["containers"][0]) == guarded
    assert train.get("policies", []) == [{"event": "TaskCompleted", "action": "CompleteJob"}] * guarded
    for guard in others:
        # Volcano counts it among the pods of the Job, and not among those that the gang waits for.
        assert (guard["replicas"], guard["minAvailable"]) == (1, 0)
        assert guard["dependsOn"] == {"name": ["train"]}
    assert spec["minAvailable"] == train["minAvailable"] == train["replicas"]


def test_a_refused_upgrade_shows_no_token_of_a_url_that_an_older_chart_let_pass(tmp_path: Path) -> None:
    given = '(dict "value" (list "https:///me:sesame@git.example.com/x"))'
    assert (
        helper(tmp_path, f'{{{{ include "train.unchanged.shown" {given} | toJson }}}}')
        == "https:///***@git.example.com/x"
    )


@pytest.mark.parametrize(("retries", "tries"), [(0, 1), (2, 3)])
def test_retries_are_counted_as_volcano_counts_tries(retries: int, tries: int) -> None:
    spec = one(overlay(HAMI, {"retries": retries}), "Job")["spec"]
    assert spec["maxRetry"] == spec["tasks"][0]["maxRetry"] == tries


def test_the_pod_ends_a_little_after_the_runner_s_own_time_limit() -> None:
    values = overlay(HAMI, {"timeLimit": "90m"})
    assert settings(values)["run"]["timeLimitSeconds"] == 5400
    assert one(values, "Job")["spec"]["tasks"][0]["template"]["spec"]["activeDeadlineSeconds"] == 5700


@pytest.mark.parametrize(("ttl", "seconds"), [("0s", 0), ("0h", 0), ("2d", 172_800)])
def test_the_job_is_removed_so_long_after_its_end(ttl: str, seconds: int) -> None:
    values = overlay(HAMI, {"ttlAfterFinished": ttl, "publish": {"branch": "candidates/first"}})
    assert one(values, "Job")["spec"]["ttlSecondsAfterFinished"] == seconds


def test_without_a_time_the_job_stays_as_long_as_its_release() -> None:
    assert "ttlSecondsAfterFinished" not in one(HAMI, "Job")["spec"]


def test_the_master_s_service_finds_the_pod_of_rank_0_before_it_is_ready() -> None:
    service = one(HAMI, "Service")
    assert service["metadata"]["name"] not in ("run-42", "run-42-svc"), "Volcano deletes a Service named like its Job"
    assert service["spec"]["selector"] == {"volcano.sh/job-name": "run-42", "volcano.sh/task-index": "0"}
    assert (service["spec"]["clusterIP"], service["spec"]["publishNotReadyAddresses"]) == ("None", True)
    pod = json.loads(one(HAMI, "ConfigMap")["data"]["pod.json"])
    (container,) = pod_of(HAMI)["containers"]
    assert pod["port"] == service["spec"]["ports"][0]["port"] == container["ports"][0]["containerPort"]


def test_a_new_claim_is_kept_only_on_request() -> None:
    claim = overlay(HAMI, {"workspace": {"type": "newClaim", "storageClassName": "fast"}})
    assert "annotations" not in one(claim, "PersistentVolumeClaim")["metadata"]
    kept = one(overlay(claim, {"workspace": {"keep": True}}), "PersistentVolumeClaim")
    assert kept["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert kept["spec"]["storageClassName"] == "fast"


OWN = {"matchLabels": {"app.kubernetes.io/name": "train", "app.kubernetes.io/instance": "run-42"}}


def test_every_object_belongs_to_the_owner_but_a_claim_that_is_kept() -> None:
    owner = {"apiVersion": "tekton.dev/v1", "kind": "PipelineRun", "name": "nightly", "uid": "5f0c-1"}
    values = overlay(ON_A_CLAIM, {"owner": owner})
    assert {manifest["kind"] for manifest in render(values)} >= {"Job", "ConfigMap", "PersistentVolumeClaim", "Pod"}
    for manifest in render(values):
        assert manifest["metadata"]["ownerReferences"] == [owner], manifest["kind"]
    kept = one(overlay(values, {"workspace": {"keep": True}}), "PersistentVolumeClaim")
    assert "ownerReferences" not in kept["metadata"]
    assert "It belongs to PipelineRun nightly, and is removed with it." in render_text(values)["NOTES.txt"]
    for manifest in render(ON_A_CLAIM):
        assert "ownerReferences" not in manifest["metadata"]


def test_the_runner_does_not_learn_the_owner() -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "step", "uid": "1"}
    assert settings(overlay(HAMI, {"owner": owner})) == settings(HAMI)


def test_only_the_run_s_own_pods_may_connect_to_them() -> None:
    policy = one(HAMI, "NetworkPolicy")["spec"]
    assert policy == {"podSelector": OWN, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": OWN}]}]}
    pod = one(HAMI, "Job")["spec"]["tasks"][0]["template"]["metadata"]
    assert OWN["matchLabels"].items() <= pod["labels"].items()
    without = render(overlay(HAMI, {"networkPolicy": {"enabled": False}}))
    assert not [manifest for manifest in without if manifest["kind"] == "NetworkPolicy"]


def test_where_a_run_may_connect_to_is_restricted_on_request() -> None:
    rule = {"ports": [{"port": 443, "protocol": "TCP"}]}
    policy = one(overlay(HAMI, {"networkPolicy": {"egress": [rule]}}), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == [{"to": [{"podSelector": OWN}]}, rule]


def test_an_account_of_the_user_s_is_used_and_none_is_made() -> None:
    manifests = render(overlay(HAMI, {"serviceAccount": {"name": "mine"}}))
    assert not [manifest for manifest in manifests if manifest["kind"] in ("ServiceAccount", "Role", "RoleBinding")]
    job = next(manifest for manifest in manifests if manifest["kind"] == "Job")
    assert job["spec"]["tasks"][0]["template"]["spec"]["serviceAccountName"] == "mine"


def test_environment_and_placement_reach_the_pod() -> None:
    placement = {
        "nodeSelector": {"pool": "gpu"},
        "tolerations": [{"operator": "Exists"}],
        "env": {"HTTPS_PROXY": "http://p"},
    }
    pod = one(overlay(HAMI, {**placement, "imagePullSecrets": ["pull"]}), "Job")["spec"]["tasks"][0]["template"]["spec"]
    assert pod["nodeSelector"] == {"pool": "gpu"}
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["imagePullSecrets"] == [{"name": "pull"}]


def test_the_environment_of_the_values_is_the_trainer_s_and_not_the_runner_s() -> None:
    values = overlay(HAMI, {"env": {"LD_PRELOAD": "libjemalloc.so", "PATH": "/opt/bin"}})
    assert settings(values)["env"] == {"LD_PRELOAD": "libjemalloc.so", "PATH": "/opt/bin"}
    assert not {"LD_PRELOAD", "PATH"} & {one["name"] for one in pod_of(values)["containers"][0]["env"]}


ELSEWHERE = {"dataset": {"repository": "https://data.example.org/coco.git"}}
STORED = {"type": "s3", "repository": "", "endpoint": "https://s3.example.com", "bucket": "b", "secretName": "s3"}
TRACKED = {"trackingUri": "https://ml.example.com", "secretName": "ml"}
UNPUBLISHED = {"publish": {"type": "none"}, "workspace": {"type": "newClaim"}}
MOUNTED: dict[str, tuple[Tree, dict[str, list[str]]]] = {
    "one server": ({}, {"git": ["git-credentials", "GIT_USER", "GIT_TOKEN"]}),
    "a source elsewhere": (ELSEWHERE, {"git": ["git-credentials", "GIT_USER", "GIT_TOKEN"]}),
    "an LFS server elsewhere": (
        {"dataset": {"lfs": {"url": "https://lfs.example.com/coco", "secretName": "lfs"}}},
        {"git": ["git-credentials", "GIT_USER", "GIT_TOKEN"], "dataset-lfs": ["lfs", "GIT_USER", "GIT_TOKEN"]},
    ),
    "a source over ssh": (
        {"dataset": {"repository": "git@data.example.org:team/coco.git", "secretName": "deploy-key"}},
        {"git": ["git-credentials", "GIT_USER", "GIT_TOKEN"], "dataset": ["deploy-key", "ssh-privatekey", "known_hosts"]},
    ),
    "everything over ssh, with keys of other names": (
        {
            "model": {"repository": "ssh://git@git.example.com:22/team/m.git"},
            "dataset": {"repository": "git@GIT.example.com:team/coco.git"},
            "publish": {"repository": "git@git.example.com:team/out.git"},
            "git": {"privateKeyKey": "id", "knownHostsKey": "hosts"},
        },
        {"git": ["git-credentials", "id", "hosts"]},
    ),
    "a source elsewhere with its own": (
        {"dataset": {**ELSEWHERE["dataset"], "secretName": "hub"}, "git": {"userKey": "username"}},
        {"git": ["git-credentials", "username", "GIT_TOKEN"], "dataset": ["hub", "username", "GIT_TOKEN"]},
    ),
    "all with their own": (
        {name: {"secretName": name} for name in ("model", "dataset", "publish")},
        {name: [name, "GIT_USER", "GIT_TOKEN"] for name in ("model", "dataset", "publish")},
    ),
    "stores and nothing published": ({**UNPUBLISHED, "model": STORED, "dataset": STORED}, {
        name: ["s3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] for name in ("model", "dataset")
    }),
    "a result for a store": ({"publish": STORED}, {
        "git": ["git-credentials", "GIT_USER", "GIT_TOKEN"], "publish": ["s3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"],
    }),
    "a result's that is not published": (
        {**UNPUBLISHED, "publish": {"type": "none", "secretName": "out"}}, {"git": ["git-credentials", "GIT_USER", "GIT_TOKEN"]},
    ),
    "tracking by a token": ({"mlflow": {**TRACKED, "tokenKey": "T", "userKey": "U"}}, {
        "git": ["git-credentials", "GIT_USER", "GIT_TOKEN"], "mlflow": ["ml", "T"],
    }),
    "tracking by a password": ({"mlflow": {**TRACKED, "userKey": "U", "passwordKey": "P"}}, {
        "git": ["git-credentials", "GIT_USER", "GIT_TOKEN"], "mlflow": ["ml", "U", "P"],
    }),
    "no tracking": ({"mlflow": {"secretName": "ml", "tokenKey": "T"}}, {"git": ["git-credentials", "GIT_USER", "GIT_TOKEN"]}),
}  # fmt: skip


@pytest.mark.parametrize(("change", "mounted"), MOUNTED.values(), ids=MOUNTED)
def test_only_the_secrets_that_something_of_the_run_uses_are_mounted(
    change: Tree, mounted: dict[str, list[str]]
) -> None:
    pod = pod_of(overlay(HAMI, change))
    secrets = {volume["name"]: volume["secret"] for volume in pod["volumes"] if "secret" in volume}
    assert mounted == {
        name: [one["secretName"], *(item["key"] for item in one["items"])] for name, one in secrets.items()
    }
    folders = {one["name"]: one["mountPath"] for one in pod["containers"][0]["volumeMounts"] if one["name"] in secrets}
    assert folders == {name: f"/var/run/trainchart/{name}" for name in secrets}


def test_a_run_over_ssh_has_a_user_of_its_name_and_no_other_run_has() -> None:
    over_ssh = {"model": {"repository": "git@git.example.com:team/m.git", "secretName": "key"}}
    values = overlay(HAMI, {**over_ssh, "securityContext": {"runAsUser": 4321, "runAsGroup": 77}})
    text = one(values, "ConfigMap")["data"]["passwd"]
    assert text.splitlines()[0] == "trainchart:x:4321:77::/tmp/home:/usr/sbin/nologin"
    (mounted,) = [one for one in pod_of(values)["containers"][0]["volumeMounts"] if one["mountPath"] == "/etc/passwd"]
    assert mounted == {"name": "run", "mountPath": "/etc/passwd", "subPath": "passwd", "readOnly": True}
    assert "passwd" not in one(HAMI, "ConfigMap")["data"]
    assert "/etc/passwd" not in str(pod_of(HAMI))


def test_the_program_for_submodules_is_mounted_where_they_are_wanted() -> None:
    def programs(values: Tree) -> str:
        return " ".join(one(values, "ConfigMap")["data"])

    assert "features.submodules.__init__.py" not in programs(HAMI)
    assert "features.submodules.__init__.py" in programs(overlay(HAMI, {"dataset": {"submodules": True}}))


ANSWERS: dict[str, tuple[Tree, dict[str, str]]] = {
    "one server": ({}, dict.fromkeys(("model", "dataset", "publish"), "git.secretName")),
    "the same server in other words": (
        {"dataset": {"repository": "https://GIT.example.com:443/team/coco.git"}},
        dict.fromkeys(("model", "dataset", "publish"), "git.secretName"),
    ),
    "another host": (ELSEWHERE, {"model": "git.secretName", "dataset": "", "publish": "git.secretName"}),
    "another port": (
        {"dataset": {"repository": "https://git.example.com:8443/team/coco.git"}},
        {"model": "git.secretName", "dataset": "", "publish": "git.secretName"},
    ),
    "another scheme": (
        {"dataset": {"repository": "http://git.example.com/team/coco.git"}, "git": {"allowPlainHttp": True}},
        {"model": "git.secretName", "dataset": "", "publish": "git.secretName"},
    ),
    "a host that only begins alike": (
        {"dataset": {"repository": "https://git.example.com.evil.org/coco.git"}},
        {"model": "git.secretName", "dataset": "", "publish": "git.secretName"},
    ),
    "nothing published": ({**UNPUBLISHED, **ELSEWHERE}, {"model": "git.secretName", "dataset": ""}),
    "a dataset alone": ({**UNPUBLISHED, **ELSEWHERE, "model": STORED}, {"dataset": "git.secretName"}),
    "published elsewhere": (
        {"publish": {"repository": "https://out.example.org/m.git"}},
        {"model": "", "dataset": "", "publish": "git.secretName"},
    ),
    "its own": (
        {"model": {"secretName": "mine"}},
        {"model": "model.secretName", "dataset": "git.secretName", "publish": "git.secretName"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_a_secret_answers_for_the_scheme_host_and_port_of_its_own_url(
    change: Tree, expected: dict[str, str], tmp_path: Path
) -> None:
    """What asks without is told by its key, and in a warning."""
    values = overlay(ON_A_CLAIM, change)
    run = loaded(values, tmp_path)
    found = {name: run.git_credentials(name) for name in run.repositories()}
    assert {name: one.key if one.folder else "" for name, one in found.items()} == expected
    assert all(bool(one.folder) == bool(one.secret) for one in found.values())
    without = [f"{name}.repository: is on another server" for name, key in sorted(expected.items()) if not key]
    assert [line[: len(words)] for line, words in zip(warnings(values), without, strict=True)] == without


def test_a_secret_for_git_that_nothing_needs_is_told() -> None:
    values = overlay(HAMI, {**UNPUBLISHED, "model": STORED, "dataset": STORED})
    assert warnings(values) == [
        'git.secretName: is "git-credentials", but no repository of this run needs it, so it is not mounted; leave it empty'
    ]


def pod_of(values: Tree) -> Tree:
    pod: Tree = one(values, "Job")["spec"]["tasks"][0]["template"]["spec"]
    return pod


def test_credentials_and_certificates_are_mounted_as_files_and_nothing_more_of_them() -> None:
    git = {"caBundle": {"configMapName": "git-ca", "key": "root.pem"}, "git": {"tokenKey": "PASS"}}
    pod = one(overlay(HAMI, git), "Job")["spec"]["tasks"][0]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert [item["key"] for item in volumes["git"]["secret"]["items"]] == ["GIT_USER", "PASS"]
    assert volumes["ca"]["configMap"]["items"] == [{"key": "root.pem", "path": "ca.crt"}]
    assert not [variable for variable in pod["containers"][0]["env"] if "secretKeyRef" in variable.get("valueFrom", {})]


def variables(values: Tree) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in pod_of(values)["containers"][0]["env"]}


def test_a_proxy_is_told_to_every_program_but_not_for_what_is_inside_the_cluster() -> None:
    inside = "localhost,127.0.0.1,::1,.svc,.cluster.local,run-42-master"
    found = variables(
        overlay(HAMI, {"proxy": {"httpsProxy": "http://proxy:3128", "noProxy": "git.example.com, 10.0.0.0/8"}})
    )
    for spelled in ("HTTPS_PROXY", "https_proxy"):
        assert found[spelled] == "http://proxy:3128"
    for spelled in ("NO_PROXY", "no_proxy"):
        assert found[spelled] == f"git.example.com, 10.0.0.0/8,{inside}"
    assert "HTTP_PROXY" not in found
    assert variables(overlay(HAMI, {"proxy": {"noProxy": "a"}}))["NO_PROXY"] == f"a,{inside}", (
        "with a proxy of the image"
    )
    assert variables(overlay(HAMI, {"proxy": {"noProxy": "*"}}))["NO_PROXY"] == "*"
    assert not [name for name in variables(HAMI) if "proxy" in name.lower()]


def test_an_ephemeral_workspace_is_a_claim_of_each_pod() -> None:
    values = overlay(HAMI, {"workspace": {"type": "ephemeral", "size": "9Gi", "storageClassName": "local"}})
    (volume,) = [one for one in pod_of(values)["volumes"] if one["name"] == "workspace"]
    assert volume["ephemeral"]["volumeClaimTemplate"]["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "local",
        "resources": {"requests": {"storage": "9Gi"}},
    }
    kinds = {one["kind"]: one for one in render(values)}
    assert "PersistentVolumeClaim" not in kinds
    assert list(kinds["Job"]["metadata"]["annotations"]) == ["trainchart.dev/devices"], (
        "no other run can be in its folder"
    )
    assert settings(values)["run"]["workspaceBytes"] == 0, "its disk has the size"
    assert kinds["Pod"]["spec"]["volumes"][1] == {"name": "workspace", "emptyDir": {"sizeLimit": "1Gi"}}


def test_a_run_that_is_not_preemptible_says_so_to_volcano() -> None:
    def annotations(preemptible: bool) -> Any:
        return one(overlay(HAMI, {"preemptible": preemptible}), "Job")["metadata"]["annotations"]

    assert annotations(False)["volcano.sh/preemptable"] == "false"
    assert "volcano.sh/preemptable" not in annotations(True)


def test_a_run_with_accelerators_says_how_many_all_its_pods_have() -> None:
    def devices(**values: Any) -> Any:
        return one(overlay(HAMI, values), "Job")["metadata"].get("annotations", {}).get("trainchart.dev/devices")

    assert devices(accelerator={"count": 4}, replicas=2) == "8"
    assert devices(accelerator={"profile": "cpu", "count": None, "corePercent": None, "memory": None}) is None


def test_further_volumes_are_mounted_in_the_run_alone() -> None:
    volumes = [
        {"name": "workspace", "claimName": "data", "subPath": "a/b", "mountPath": "/mnt/a"},
        {"name": "b", "configMapName": "fonts", "mountPath": "/mnt/b"},
        {"name": "c", "secretName": "tls", "mountPath": "/mnt/c"},
        {"name": "d", "ephemeral": {"size": "1Gi"}, "mountPath": "/mnt/d", "readOnly": False},
    ]
    rendered = render(overlay(HAMI, {"volumes": volumes}))
    pod = pod_of(overlay(HAMI, {"volumes": volumes}))
    request = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    assert [one for one in pod["volumes"] if one["name"].startswith("volume-")] == [
        {"name": "volume-workspace", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "volume-b", "configMap": {"name": "fonts"}},
        {"name": "volume-c", "secret": {"secretName": "tls", "defaultMode": 0o440}},
        {"name": "volume-d", "ephemeral": {"volumeClaimTemplate": {"spec": request}}},
    ]
    assert [one for one in pod["containers"][0]["volumeMounts"] if one["name"].startswith("volume-")] == [
        {"name": "volume-workspace", "mountPath": "/mnt/a", "subPath": "a/b"},
        {"name": "volume-b", "mountPath": "/mnt/b", "readOnly": True},
        {"name": "volume-c", "mountPath": "/mnt/c", "readOnly": True},
        {"name": "volume-d", "mountPath": "/mnt/d"},
    ]
    (check,) = [one for one in rendered if one["kind"] == "Pod"]
    assert "/mnt/a" not in json.dumps(check)


def test_the_trainers_secrets_are_mounted_as_files_under_the_names_that_it_uses() -> None:
    key = {"secretName": "wandb", "key": "api-key"}
    pod = pod_of(overlay(HAMI, {"secretEnv": {"WANDB_API_KEY": key}, "secretFiles": {".config/key": key}}))
    (volume,) = [one["projected"] for one in pod["volumes"] if one["name"] == "program-secrets"]
    shown = [(one["secret"]["name"], one["secret"]["optional"], one["secret"]["items"]) for one in volume["sources"]]
    assert shown == [
        ("wandb", True, [{"key": "api-key", "path": "env/WANDB_API_KEY"}]),
        ("wandb", True, [{"key": "api-key", "path": "files/.config/key"}]),
    ]
    assert not {"WANDB_API_KEY"} & {one["name"] for one in pod["containers"][0]["env"]}


def test_notes_say_how_to_follow_this_run() -> None:
    notes = render_text(overlay(HAMI, {"timeLimit": "2h"}), namespace="vision")["NOTES.txt"]
    for command in ("wait", "status", "logs", "result", "stop"):
        assert f"\n  trainchart {command} run-42 -n vision\n" in notes
    assert "kubectl -n vision get vcjob run-42 -w" in notes
    assert "kubectl -n vision logs -f run-42-train-0" in notes
    assert "--timeout=2h" in notes
    assert "emptyDir" in notes


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"image": "registry.example.com:5000/yolov5"}, "image"),
        ({"image": "registry.example.com/yolov5:latest"}, "image"),
        ({"image": "yolov5"}, "image"),
        ({"accelerator": {"count": 2}}, "sharedMemory"),
        ({"workspace": {"type": "emptyDir"}}, "workspace.type"),
    ],
)
def test_what_may_surprise_is_a_warning(change: Tree, key: str) -> None:
    assert [line.partition(":")[0] for line in warnings(overlay(ON_A_CLAIM, change))] == [key]


@pytest.mark.parametrize(
    ("family", "train", "words"),
    [
        ("yolov8", {"model": "yolov8n.yaml"}, 'train.model: is "yolov8n.yaml", so the training starts from random weights'),
        ("yolov8", {"model": None}, 'train.model: is "yolov8n.yaml", so the training starts from random weights'),
        ("yolov8", {"model": "yolov8n.pt"}, ""),
        ("ppyoloe", {}, "train.pretrainWeights: is empty, so the training starts from random weights"),
        ("ppyoloe", {"pretrainWeights": "weights/CSPResNetb_l_pretrained.pdparams"}, ""),
        ("yolov5", {}, ""),
        ("llm-sft", {}, ""),
    ],
)  # fmt: skip
def test_a_training_that_starts_from_random_weights_is_told(family: str, train: Tree, words: str) -> None:
    values = overlay(load_values(ROOT / f"values/{family}.yaml"), {"train": train})
    found = [line for line in warnings(values) if "random weights" in line]
    assert [line[: len(words)] for line in found] == ([words] if words else [])


@pytest.mark.parametrize(
    "change",
    [
        {"image": "registry.example.com:5000/yolov5:7.0"},
        {"image": "yolov5@sha256:" + 64 * "0"},
        {"accelerator": {"count": 2}, "sharedMemory": "4Gi"},
    ],
)
def test_what_is_usual_is_no_warning(change: Tree) -> None:
    assert warnings(overlay(ON_A_CLAIM, change)) == []


def test_how_long_publish_is_patient_is_said_where_an_empty_dir_would_lose_the_result() -> None:
    (warning,) = warnings(overlay(HAMI, {"publish": {"patience": "12h"}}))
    assert "publish.patience (12h)" in warning
    assert settings(overlay(HAMI, {"publish": {"patience": "12h"}}))["run"]["patienceSeconds"] == 43200


@pytest.mark.parametrize("name", ["on", "null", "y", "e1"])
def test_a_release_name_that_yaml_reads_as_something_else_stays_a_name(name: str) -> None:
    for manifest in render(HAMI, name=name):
        assert str(manifest["metadata"]["name"]).startswith(name)
        assert manifest["metadata"]["labels"]["app.kubernetes.io/instance"] == name


def test_nothing_of_the_chart_s_version_is_in_the_pod_template() -> None:
    template = json.dumps(one(HAMI, "Job")["spec"])
    assert yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))["version"] not in template


def test_the_helm_program_renders_the_same_objects_and_refuses_an_unknown_key(helm: str) -> None:
    expected = sorted(render(HAMI), key=str)
    assert sorted(render_by_helm(HAMI, helm=helm), key=str) == expected
    with pytest.raises(RenderError, match=r"(?s)replica'? not allowed"):
        render_by_helm(overlay(HAMI, {"replica": 2}), helm=helm)


# Family names that are words of the language: they are a name where they are written as one.
ORDINARY = {"custom"}


def known_names(text: str) -> list[str]:
    """Families and accelerators that a text knows by name: in any case, with -, _ or nothing between the parts; or by their title."""
    found = [name for name in PROFILES if name != "cpu" and re.search(rf"{name}(?!\d)", text)]
    for family in FAMILIES:
        spelled = re.sub("[-_]", "[-_ ]?", family)
        if family in ORDINARY:
            spelled = f"""["'`/]{spelled}["'`/.]|famil(y|ies)[ ./:=]+{spelled}\\b|\\b{spelled}[.](py|yaml)\\b"""
        title = re.escape(family_data(family)["title"])
        if re.search(f"{spelled}|{title}", text, re.IGNORECASE):
            found.append(family)
    return found


def test_templates_tools_runner_and_features_know_no_family_and_no_accelerator_by_name() -> None:
    shared = [*LIB.glob("files/runner/*"), *LIB.glob("files/features/**/*")]
    code = [*(ROOT / "charts").glob("**/templates/**/*.*"), *shared, *(ROOT / "tools").glob("**/*.py")]
    files = [path for path in code if path.is_file() and path.suffix != ".pyc"]
    own = [path for path in files if path.parent.name == "families" and path.stem != "__init__"]
    knowing = {path.name: known_names(path.read_text(encoding="utf-8")) for path in files if path not in own}
    assert len(files) > 50
    assert {name: known for name, known in knowing.items() if known} == {}


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("if family == 'yolov5':", ["yolov5"]),
        ("class Yolov5s:", ["yolov5"]),
        ("# as YOLOv5 does", ["yolov5"]),
        ('{{ if eq .Values.family "custom" }}', ["custom"]),
        ("files/families/custom/hooks.py", ["custom"]),
        ("# only family custom", ["custom"]),
        ("from trainchart.values.models.families.custom import x", ["custom"]),
        ("# a custom program may do more", ["custom"]),
        ("# a customized resource, a custom CA, CustomResourceDefinition, custom.metrics.k8s.io", []),
        ('"metax"', ["metax"]),
        ("linux/amd64", []),
    ],
)
def test_a_name_is_found_where_it_is_one(text: str, known: list[str]) -> None:
    assert known_names(text) == known


def test_a_family_is_a_folder_a_model_a_values_file_and_an_end_to_end_case() -> None:
    values = {path.stem for path in (ROOT / "values").glob("*.yaml")}
    small = {path.stem for path in (ROOT / "e2e/values").glob("*.yaml")}
    assert set(FAMILIES) == MODELS.keys() == values == small
    assert set(FAMILIES) <= CASES.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_s_end_to_end_case_makes_what_its_values_name(family: str) -> None:
    case, values = CASES[family], load_values(ROOT / f"values/{family}.yaml", ROOT / f"e2e/values/{family}.yaml")
    assert values["image"] == case.image_name
    assert (ROOT / "e2e/images" / case.image / "Dockerfile").is_file()
    sections = [values.get(name) or {} for name in ("model", "dataset", "publish")]
    named = {
        Path(section["repository"]).stem for section in sections if section.get("type", "git") == "git" and section
    }
    unmade = named - {*case.sources, *case.results}
    assert not unmade, f"add to sources or results of the CASE of {family} in e2e/cases/: {sorted(unmade)}"
    assert any(re.match(rf"test_{family.replace('-', '_')}\b", path.name) for path in (ROOT / "e2e").glob("test_*.py"))


def test_an_accelerator_is_a_profile_and_a_values_file() -> None:
    assert {path.stem for path in (ROOT / "values/accelerators").glob("*.yaml")} == set(PROFILES)


def test_a_scheduler_of_the_devices_places_the_pod_and_volcano_has_the_job() -> None:
    values = overlay(HAMI, {"accelerator": {"profile": "hami"}, "retries": 1})
    job = one(values, "Job")["spec"]
    train, guard = (task["template"]["spec"] for task in job["tasks"])
    assert (job["schedulerName"], train["schedulerName"]) == ("volcano", "hami-scheduler")
    assert "schedulerName" not in guard
    assert "schedulerName" not in one(values, "Pod")["spec"], "the pod of helm test has no device"
    renamed = overlay(values, {"accelerator": {"schedulerName": "hami-2"}})
    assert pod_of(renamed)["schedulerName"] == "hami-2"
    assert "schedulerName" not in pod_of(HAMI)


@pytest.mark.parametrize(
    ("profile", "mode"), [("hami", "nvidia.com/vgpu-mode"), ("volcano-vgpu", "volcano.sh/vgpu-mode")]
)
def test_types_and_mode_of_devices_are_the_annotations_that_their_profile_knows(profile: str, mode: str) -> None:
    choice = {"profile": profile, "types": ["A100", "H100"], "mode": "mig"}
    template = one(overlay(HAMI, {"accelerator": choice}), "Job")["spec"]["tasks"][0]["template"]
    wanted = {"nvidia.com/use-gputype": "A100,H100", mode: "mig"}
    assert template["metadata"]["annotations"].items() >= wanted.items()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_s_defaults_are_the_keys_of_its_model(family: str) -> None:
    data = yaml.safe_load((LIB / f"files/families/{family}/family.yaml").read_text(encoding="utf-8"))
    assert data["defaults"]["train"].keys() == MODELS[family].model_fields.keys()


def test_generated_files_are_what_the_models_make() -> None:
    for path, text in generated().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run make generate"


def warnings(values: Tree) -> list[str]:
    return re.findall(r"^Warning: (.*)$", render_text(values)["NOTES.txt"], re.MULTILINE)


def settings(values: Tree) -> Tree:
    result: Tree = json.loads(one(values, "ConfigMap")["data"]["settings.json"])
    return result


def loaded(values: Tree, home: Path) -> runner_settings.Settings:
    """The settings as the runner reads them."""
    data = one(values, "ConfigMap")["data"]
    for name in ("settings.json", "pod.json"):
        (home / name).write_text(data[name], encoding="utf-8")
    return runner_settings.load(home)


def one(values: Tree, kind: str) -> Manifest:
    (found,) = [manifest for manifest in render(values) if manifest["kind"] == kind]
    return found


def keys(tree: object) -> object:
    return {key: keys(value) for key, value in tree.items()} if isinstance(tree, dict) else None


def helper(tmp_path: Path, template: str) -> object:
    """What a helper returns: rendered by a copy of the chart that has one more template."""
    chart = tmp_path / "train"
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("__pycache__"))
    (chart / "templates" / "probe.yaml").write_text(f"result: |-\n  {template}\n", encoding="utf-8")
    return json.loads(yaml.safe_load(render_text(HAMI, chart=chart)["probe.yaml"])["result"])
