"""What an upgrade would change of a run, in words: the chart's comparison of what is in the cluster with what it renders."""

from __future__ import annotations

import copy
import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.matrix import ADMITTED
from tests.chart.rules import CPU, HAMI, LR, NVIDIA
from tests.conftest import rows
from trainchart.chart.paths import CHART
from trainchart.chart.render import render, render_text
from trainchart.files import Tree, overlay

DATA = Path(__file__).parents[1] / "data"
PARTS = {"Job": "job", "ConfigMap": "run", "PersistentVolumeClaim": "claim", "ResourceClaimTemplate": "devices"}
PROBE = """\
{{- include "train.load" . -}}
{{- $old := include "train.unchanged.parts" (.Values.global.probe | fromJson) | fromJson -}}
{{- $new := include "train.unchanged.rendered" . | fromJson -}}
lines: {{ include "train.unchanged.lines" (dict "old" $old "new" $new) }}
"""
CLAIM = overlay(CPU, {"workspace": {"type": "newClaim", "size": "10Gi"}})
BUCKET: Tree = {"model": {"type": "s3", "repository": "", "bucket": "models", "endpoint": "https://s3.example.com"}}
VOLUME: Tree = {"dataset": {"type": "claim", "repository": "", "claimName": "coco"}}

Differences = Callable[..., list[str]]


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copied = tmp_path_factory.mktemp("unchanged") / "train"
    shutil.copytree(CHART, copied, ignore=shutil.ignore_patterns("__pycache__"))
    (copied / "templates" / "probe.yaml").write_text(PROBE, encoding="utf-8")
    return copied


@pytest.fixture
def differences(chart: Path) -> Differences:
    """The lines for a release of `old` that is upgraded to `new`."""

    def lines(old: Tree, new: Tree, live: Callable[[Tree], None] | None = None) -> list[str]:
        objects = objects_of(old)
        if live:
            live(objects)
        rendered = render_text({**new, "global": {"probe": json.dumps(objects)}}, chart=chart)["probe.yaml"]
        found: list[str] = yaml.safe_load(rendered)["lines"]
        return found

    return lines


def objects_of(values: Tree) -> Tree:
    return {PARTS[manifest["kind"]]: manifest for manifest in render(values) if manifest["kind"] in PARTS}


# A step that meets every family, accelerator and workspace of the matrix.
@pytest.mark.parametrize("cell", rows(ADMITTED[::17], *ADMITTED[::170]), ids=str)
def test_nothing_differs_from_itself(cell: Any, differences: Differences) -> None:
    assert differences(cell.values, cell.values) == []


CHANGED: list[tuple[Tree, Tree, str]] = [
    (HAMI, {"train": {"epochs": 5}}, "train.epochs: 3 → 5"),
    (HAMI, {"train": {"arguments": ["--cos-lr"]}}, 'train.arguments: [] → ["--cos-lr"]'),
    (HAMI, {"image": "registry.example.com/other:1"}, "image: {image} → registry.example.com/other:1"),
    (HAMI, {"model": {"revision": "v7.0"}}, "model.revision: (not set) → v7.0"),
    (HAMI, {"publish": {"branch": "b"}}, "publish.branch: (not set) → b"),
    (HAMI, {"queue": "research"}, "queue: default → research"),
    (HAMI, {"priorityClassName": "high"}, "priorityClassName: (not set) → high"),
    (HAMI, {"retries": 2}, "retries: 0 → 2"),
    (HAMI, {"timeLimit": "2h"}, "timeLimit: 720h → 2h"),
    (CLAIM, {"ttlAfterFinished": "1h"}, "ttlAfterFinished: (not set) → 1h"),
    (HAMI, {"sharedMemory": "4Gi"}, "sharedMemory: 2Gi → 4Gi"),
    (HAMI, {"resources": {"limits": {"cpu": "9"}}}, "resources.limits.cpu: 8 → 9"),
    (HAMI, {"env": {"A": "1"}}, "env.A: (not set) → 1"),
    (HAMI, {"nodeSelector": {"example.com/pool": "b"}}, "nodeSelector.example.com/pool: (not set) → b"),
    (CPU, {"affinity": {"nodeAffinity": {"a": [1]}}}, 'affinity.nodeAffinity: (not set) → {{"a":[1]}}'),
    (HAMI, {"imagePullSecrets": ["pull"]}, 'imagePullSecrets: [] → ["pull"]'),
    (HAMI, {"securityContext": {"runAsUser": 4242}}, "securityContext.runAsUser: 1000 → 4242"),
    (HAMI, {"serviceAccount": {"name": "mine"}}, "serviceAccount.name: (not set) → mine"),
    (HAMI, {"git": {"secretName": "mine"}}, "git.secretName: git-credentials → mine"),
    (CLAIM, {"workspace": {"size": "20Gi"}}, "workspace.size: 10Gi → 20Gi"),
    (CLAIM, {"workspace": {"directory": "d"}}, "workspace.directory: (not set) → d"),
    (HAMI, {"workspace": {"size": "6Gi"}}, "workspace.size: 5Gi → 6Gi"),
    (CPU, {"sharedMemory": "2048Mi"}, "sharedMemory: 2Gi → 2048Mi"),
    (HAMI, {"accelerator": {"corePercent": 40}}, "accelerator.corePercent: 50 → 40"),
]


@pytest.mark.parametrize(
    ("base", "change", "line"),
    [pytest.param(*row, marks=[pytest.mark.lab] * (number % 3 > 0)) for number, row in enumerate(CHANGED)],
)
def test_what_differs_is_named_by_its_value_with_old_and_new(
    base: Tree, change: Tree, line: str, differences: Differences
) -> None:
    assert differences(base, overlay(base, change)) == [line.format(image=base["image"])]


@pytest.mark.parametrize(
    ("values", "without"),
    [
        ({"nodeSelector": {"pool": "a"}}, {"nodeSelector": None}),
        ({"tolerations": [{"operator": "Exists"}]}, {"tolerations": []}),
        ({"affinity": {"nodeAffinity": {"x": 1}}}, {"affinity": None}),
        ({"env": {"A": "1"}}, {"env": None}),
        ({"priorityClassName": "high"}, {"priorityClassName": ""}),
        ({"imagePullSecrets": ["pull"]}, {"imagePullSecrets": []}),
        ({"resources": {"limits": {"cpu": "8"}}}, {"resources": {"limits": {"cpu": ""}}}),
        ({"ttlAfterFinished": "1h"}, {"ttlAfterFinished": ""}),
        ({"caBundle": {"configMapName": "ca"}}, {"caBundle": {"configMapName": ""}}),
        ({"train": {"arguments": ["--cos-lr"]}}, {"train": {"arguments": []}}),
    ],
)
def test_a_value_that_is_taken_away_is_a_difference(values: Tree, without: Tree, differences: Differences) -> None:
    base = overlay(HAMI, {"publish": {"branch": "b"}})
    (line,) = differences(overlay(base, values), overlay(overlay(base, values), without))
    assert line.endswith(("→ (not set)", "→ []"))


@pytest.mark.lab
def test_other_gangs_sources_and_workspaces_are_named_by_their_values_and_not_by_what_follows(
    differences: Differences,
) -> None:
    def keys(base: Tree, change: Tree) -> list[str]:
        lines = differences(base, overlay(base, change))
        return [line.partition(":")[0] for line in lines if not line.startswith("the chart's programs")]

    assert keys(NVIDIA, {"replicas": 2}) == ["replicas"]
    assert keys(HAMI, {"workspace": {"type": "newClaim"}}) == ["workspace.type"]
    assert keys(CLAIM, {"workspace": {"type": "existingClaim", "claimName": "c"}}) == [
        "workspace.claimName",
        "workspace.type",
    ]
    assert set(keys(HAMI, BUCKET)) >= {"model.type", "model.bucket", "model.endpoint", "model.repository"}
    assert set(keys(HAMI, VOLUME)) >= {"dataset.type", "dataset.claimName"}
    assert set(keys(HAMI, {"tune": {"trials": 2, "metric": "m", "space": LR}})) >= {"tune.trials", "tune.metric"}
    assert keys(HAMI, {"mlflow": {"trackingUri": "https://mlflow.example.com"}}) == ["mlflow.trackingUri"]
    assert keys(HAMI, {"cache": {"claimName": "cache"}}) == ["cache.claimName"]


def test_what_concerns_not_the_run_but_its_surroundings_may_change(differences: Differences) -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "step", "uid": "1"}
    surroundings = {"workspace": {"keep": True}, "networkPolicy": {"enabled": True}, "owner": owner}
    assert differences(CLAIM, overlay(CLAIM, surroundings)) == []


def test_what_the_cluster_has_filled_in_is_no_difference(differences: Differences) -> None:
    def filled_in(live: Tree) -> None:
        spec = live["job"]["spec"]
        spec["runningEstimate"] = None
        spec["tasks"][0]["policies"] = []
        spec["tasks"][0]["template"]["spec"].update(dnsPolicy="ClusterFirst", tolerations=[])
        live["claim"]["spec"].update(volumeName="pvc-1", volumeMode="Filesystem", storageClassName="standard")
        live["claim"]["spec"]["resources"]["requests"]["storage"] = "10240Mi"
        live["job"]["metadata"]["labels"]["helm.sh/chart"] = "train-0.0.1"

    assert differences(CLAIM, CLAIM, filled_in) == []


def test_other_programs_are_told_once_with_their_number(differences: Differences) -> None:
    def other_chart(live: Tree) -> None:
        live["run"]["data"]["runner.git.py"] += "# older\n"
        del live["run"]["data"]["runner.train.py"]

    assert differences(HAMI, HAMI, other_chart) == ["the chart's programs: 2 file(s), such as runner.git.py"]


def test_what_only_another_chart_changes_is_named_by_its_path(differences: Differences) -> None:
    def other_chart(live: Tree) -> None:
        live["job"]["spec"]["tasks"][0]["template"]["spec"]["terminationGracePeriodSeconds"] = 30

    (line,) = differences(HAMI, HAMI, other_chart)
    assert line.endswith("terminationGracePeriodSeconds: 30 → 60")


def test_what_another_chart_tells_the_runner_is_named_too(differences: Differences) -> None:
    def other_chart(live: Tree) -> None:
        settings = json.loads(live["run"]["data"]["settings.json"])
        settings["run"]["family"]["libraries"] = ["torchvision"]
        settings["run"]["older"] = True  # the new chart tells it no more
        live["run"]["data"]["settings.json"] = json.dumps(settings)

    (line,) = differences(HAMI, HAMI, other_chart)
    assert line.startswith('run.family.libraries: ["torchvision"] → ["torchvision","cv2"')


def test_many_differences_are_ten_lines_and_a_count(differences: Differences) -> None:
    many = {"env": {f"V{number:02}": "x" * 500 for number in range(14)}}
    lines = differences(HAMI, overlay(HAMI, many))
    assert [line.partition(":")[0] for line in lines[:10]] == [f"env.V{number:02}" for number in range(10)]
    assert lines[10:] == ["and 4 more"]
    assert all(len(line) < 150 for line in lines)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"train": {"data": "https://me:s3cret@h/x"}}, "https://***@h/x"),
        ({"train": {"data": "HTTPS://me:s3cret@h/x"}}, "HTTPS://***@h/x"),
        ({"train": {"data": " git+https://me:s3cret@h/x"}}, " git+https://***@h/x"),
        ({"train": {"data": "https://h/\nhttps://s3cret%40h/x"}}, "https://***@h/x"),
        ({"env": {"A": "socks5://h/x?token=s3cret"}}, "socks5://h/x?***"),
        ({"train": {"arguments": ["--cfg", 'https://h/x?"s3cret\\"', "b"]}}, '["--cfg","https://h/x?***","b"]'),
        ({"env": {"A": "a\r\x1b[31m\u2028b\\c"}}, "a\\r\\x1b[31m\\u2028b\\c"),
    ],
)
def test_a_line_shows_no_token_of_a_url_and_no_control_character(
    change: Tree, shown: str, differences: Differences
) -> None:
    base = overlay(HAMI, {"env": {"A": "x"}})
    (line,) = differences(base, overlay(base, change))
    assert line.partition(" → ")[2] == shown


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ({"cpu": 8}, {"cpu": "8"}, 'cpu: 8 → "8"'),
        ({"memory": "é" * 70 + "A" + "b" * 80}, {"memory": "é" * 70 + "B"}, f"memory: {'é' * 70}A{'b' * 29}… → {'é' * 70}B"),
        ({"memory": "a" * 150}, {"memory": "a" * 200}, f"memory: {'a' * 100}… → {'a' * 100}… (they differ after that)"),
        ({"memory": "a" * 150}, {"memory": "b"}, f"memory: {'a' * 100}… → b"),
    ],
)  # fmt: skip
def test_what_differs_can_be_seen(old: Tree, new: Tree, shown: str, differences: Differences) -> None:
    """Whatever the schema says of the values: the comparison comes after it, and an older chart may have let them pass."""
    base = overlay(HAMI, {"train": {"arguments": []}})

    def older(live: Tree) -> None:
        settings = json.loads(live["run"]["data"]["settings.json"])
        settings["env"] = old
        live["run"]["data"]["settings.json"] = json.dumps(settings)

    assert differences(base, overlay(base, {"env": new}), older) == [f"env.{shown}"]


def test_a_part_that_is_not_there_is_not_compared(differences: Differences) -> None:
    changed = overlay(HAMI, {"queue": "research", "train": {"epochs": 5}})
    queue, epochs = "queue: default → research", "train.epochs: 3 → 5"
    assert differences(HAMI, changed) == [queue, epochs]
    assert differences(HAMI, changed, lambda live: live.pop("job")) == [epochs]
    assert differences(HAMI, changed, lambda live: live.pop("run")) == [queue]
    assert differences(HAMI, changed, lambda live: live.clear()) == []


def test_without_a_cluster_an_upgrade_is_compared_with_nothing() -> None:
    from helm_python import Chart

    assert Chart.load(CHART).render(copy.deepcopy(HAMI), name="run-42", namespace="training", is_upgrade=True)


GROUPS: Tree = {"v1": ["ConfigMap", "PersistentVolumeClaim", "Secret"], "batch.volcano.sh/v1alpha1": ["Job"]}


class Cluster:
    """An API server that has these objects, and nothing but to be asked for them."""

    def __init__(self) -> None:
        self.objects: dict[str, Tree] = {}  # the end of its path -> object
        self.asked: list[str] = []
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def hold(self, objects: Tree, release: str = "run-42") -> None:
        for manifest in copy.deepcopy(objects).values():
            manifest["metadata"].setdefault("annotations", {})["meta.helm.sh/release-name"] = release
            self.objects[f"{manifest['kind'].lower()}s/{manifest['metadata']['name']}"] = manifest

    def record(self, revision: int, status: str) -> None:
        """Helm's record of a revision."""
        metadata = {"name": f"sh.helm.release.v1.run-42.v{revision}", "labels": {"status": status}}
        self.objects[f"secrets/{metadata['name']}"] = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}

    def upgrade(self, values: Tree, revision: int = 2, *, is_upgrade: bool = True) -> str:
        """What the chart says to an upgrade; nothing where it has no objection."""
        from helm_python import Chart, Config, HelmError

        address = f"http://127.0.0.1:{self.server.server_port}"
        with Config(kube_apiserver=address, kubeconfig_content=NO_CONTEXT, namespace="training") as config:
            try:
                config.render(
                    Chart.load(CHART),
                    copy.deepcopy(values),
                    name="run-42",
                    namespace="training",
                    revision=revision,
                    is_upgrade=is_upgrade,
                )
            except HelmError as error:
                return str(error)
        return ""

    def _answer(self, path: str) -> Tree | None:
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            versions = [{"groupVersion": "batch.volcano.sh/v1alpha1", "version": "v1alpha1"}]
            group = {"name": "batch.volcano.sh", "versions": versions, "preferredVersion": versions[0]}
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}
        for version, kinds in GROUPS.items():
            if path in (f"/api/{version}", f"/apis/{version}"):
                resources = [
                    {"name": f"{kind.lower()}s", "kind": kind, "namespaced": True, "verbs": ["get"]} for kind in kinds
                ]
                return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}
        self.asked.append(path)
        return self.objects.get("/".join(path.split("/")[-2:]))

    def _handler(self) -> type:
        cluster = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                found = cluster._answer(self.path.partition("?")[0])
                missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
                body = json.dumps(found or missing).encode()
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler


NO_CONTEXT = "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n"
CLEANED: Tree = overlay(CLAIM, {"ttlAfterFinished": "1h"})
OTHER: Tree = {"train": {"epochs": 5}}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.server.shutdown()
    cluster.server.server_close()


def test_an_identical_upgrade_passes_and_another_is_refused_with_the_way_out(cluster: Cluster) -> None:
    cluster.hold(objects_of(CLAIM))
    assert cluster.upgrade(CLAIM) == ""
    said = cluster.upgrade(overlay(CLAIM, OTHER))
    assert "trainchart: run run-42 is not changed by an upgrade; nothing was sent." in said
    assert "\n  - train.epochs: 3 → 5\n" in said
    assert "workspace.claimName: run-42-workspace and workspace.directory: run-42" in said


def test_a_run_on_an_emptydir_has_no_checkpoints_to_continue_from(cluster: Cluster) -> None:
    cluster.hold(objects_of(HAMI))
    said = cluster.upgrade(overlay(HAMI, OTHER))
    assert "Install a new release; this run's workspace is deleted with its pods, so it starts from scratch." in said
    assert "existingClaim" not in said


def test_an_installation_asks_nothing(cluster: Cluster) -> None:
    cluster.hold(objects_of(CLAIM))
    assert cluster.upgrade(overlay(CLAIM, OTHER), is_upgrade=False) == ""
    assert cluster.asked == []


@pytest.mark.parametrize("with_job", [True, False])
@pytest.mark.parametrize("old", ["settings-1.json", None])
def test_a_run_of_an_older_chart_is_refused_in_words(old: str | None, with_job: bool, cluster: Cluster) -> None:
    """`settings-1.json` is what the chart rendered for these values before its settings were the values themselves."""
    objects = objects_of(CLAIM)
    objects["run"]["data"] = {"settings.json": (DATA / old).read_text(encoding="utf-8")} if old else {"run.py": ""}
    cluster.hold(objects if with_job else {"run": objects["run"]})
    said = cluster.upgrade(CLAIM)
    assert "trainchart: run run-42 was installed by an older chart, and an upgrade cannot be compared with it" in said
    assert "nothing was sent" in said
    assert "install a new release, or remove this one first: helm uninstall run-42 -n training\n" in said
    assert "  - " not in said


def test_objects_of_another_release_are_helm_s_to_refuse(cluster: Cluster) -> None:
    cluster.hold(objects_of(CLAIM), release="other")
    assert cluster.upgrade(overlay(CLAIM, OTHER)) == ""


@pytest.mark.lab
@pytest.mark.parametrize("statuses", [["failed"], ["failed", "failed"]])
@pytest.mark.parametrize("values", [CLAIM, CLEANED])
def test_a_failed_installation_may_be_repeated(values: Tree, statuses: list[str], cluster: Cluster) -> None:
    cluster.hold({part: manifest for part, manifest in objects_of(values).items() if part != "job"})
    for revision, status in enumerate(statuses, start=1):
        cluster.record(revision, status)
    assert cluster.upgrade(values, len(statuses) + 1) == ""
    assert cluster.upgrade(overlay(values, {"queue": "research"}), len(statuses) + 1) == ""
    said = cluster.upgrade(overlay(values, OTHER), len(statuses) + 1)
    assert (
        "  - train.epochs: 3 → 5\nThe release has no Job, and its ConfigMap cannot be changed: helm uninstall" in said
    )


@pytest.mark.lab
@pytest.mark.parametrize("statuses", [["deployed"], ["superseded", "failed"], ["failed", "deployed"], []])
@pytest.mark.parametrize("then", [CLEANED, CLAIM, overlay(CLEANED, OTHER)])
def test_a_run_that_was_cleaned_up_is_not_started_again(then: Tree, statuses: list[str], cluster: Cluster) -> None:
    cluster.hold({"run": objects_of(CLEANED)["run"]})
    for revision, status in enumerate(statuses, start=1):
        cluster.record(revision, status)
    said = cluster.upgrade(then, len(statuses) + 1)
    assert "run run-42 has finished, and its Job was removed (ttlAfterFinished); nothing was sent" in said


def test_a_deleted_job_is_created_again(cluster: Cluster) -> None:
    cluster.hold({"run": objects_of(CLAIM)["run"]})
    cluster.record(1, "deployed")
    assert cluster.upgrade(CLAIM) == ""
