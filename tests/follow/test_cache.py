"""`trainchart cache`: a node that runs the programs of the pods on a folder, what is told of them, and what keeps them
from starting.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

import trainchart as tc
from features import cache as runs_cache
from features.cache_commands import entries
from runner import manifest
from tests.chart.matrix import ROOT
from tests.fakes.live import NAME, Cluster
from tests.runner.test_cache_commands import URL, ends_with_the_test, fill, release  # noqa: F401
from trainchart.cli import cache as command
from trainchart.cli import main as cli
from trainchart.cluster import kinds
from trainchart.cluster.errors import ForbiddenError, NotFoundError, RefusedError
from trainchart.cluster.kinds import Kind
from trainchart.errors import ExitCode
from trainchart.files import load_values, overlay
from trainchart.follow import cache_pod
from trainchart.follow.cache import _moment

CLAIM: dict[str, Any] = {
    "metadata": {"name": "models-cache"},
    "spec": {"accessModes": ["ReadWriteMany"]},
    "status": {"phase": "Bound"},
}
CACHED: dict[str, Any] = {
    "image": "registry.example.com/trainer:1",
    "dataset": {"repository": URL, "cached": True},
    "cache": {"claimName": "models-cache", "readOnly": True},
    "secretEnv": {"WANDB_API_KEY": {"secretName": "wandb", "key": "key"}},
    "publish": {"secretName": "publisher"},
}
FILLED = """\
trainchart time=2026-11-26T08:15:11Z event=start stage=prepare
trainchart time=2026-11-26T08:15:11Z event=cache source=dataset hit=false commit={0}
Receiving objects: 100% (3/3), done.
trainchart time=2026-11-26T08:15:11Z event=cache source=dataset total=2000 cached=500 available=10000
trainchart time=2026-11-26T08:15:11Z event=waiting reason="another run is fetching"
trainchart time=2026-11-26T08:15:11Z event=waiting reason="another run is fetching"
trainchart time=2026-11-26T08:15:12Z event=cache source=dataset commit={0} bytes=2000
trainchart time=2026-11-26T08:15:12Z event=end stage=prepare seconds=1.1
""".format("a" * 40)


class Node(Cluster):
    """A cluster that runs the pods of `cache` on a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.there[kinds.CLAIMS] = [CLAIM]
        self.there[kinds.NAMESPACES] = [{"metadata": {"name": self.namespace}}]
        self.printed = ""  # by the pod that fills
        self.code = 0
        self.waits: dict[str, Any] = {}  # the status of a pod that does not start
        self.refusal: Exception | None = None
        self.interrupt = False

    def create(self, kind: Kind, body: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        if self.refusal:
            raise self.refusal
        super().create(kind, body)
        if kind is kinds.PODS:
            name = body["metadata"]["name"]
            status = self.waits or self._run(body["spec"]["containers"][0]["command"][3:])
            where = {} if "conditions" in status else {"nodeName": "n1"}  # the scheduler has no node for it
            spec = {**body["spec"], **where}
            self.pods[name] = {"metadata": {"name": name, "uid": name}, "spec": spec, "status": status}
        return {**body, "metadata": {**body["metadata"], "uid": body["metadata"]["name"]}}

    def _run(self, arguments: list[str]) -> dict[str, Any]:
        lines, code = self.printed.splitlines(), self.code
        if arguments[0] != "fill":
            options = json.loads(arguments[1])
            assert options.pop("root") == "/cache"
            try:
                lines = [json.dumps(one) for one in entries.ACTIONS[arguments[0]](self.folder, **options)]
            except entries.UnknownEntryError as error:
                lines = [json.dumps({"done": arguments[0], "unknown": str(error)})]
        self.output = [b"2026-11-26T08:15:12.0Z " + line.encode() for line in lines]
        ended = {"exitCode": code, "reason": "Error" if code else "Completed"}
        return {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [{"name": "0-runner", "state": {"terminated": ended}}],
        }

    def log(self, pod: str, **_: Any) -> Any:
        if self.interrupt:
            raise KeyboardInterrupt
        return iter(self.output)

    @property
    def made_pod(self) -> dict[str, Any]:
        return next(body for plural, body in self.created if plural == "pods")

    @property
    def config_map(self) -> dict[str, Any]:
        return next(body for plural, body in self.created if plural == "configmaps")


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    (tmp_path / "cache").mkdir()
    made = Node(tmp_path / "cache")
    made.job = None
    monkeypatch.setattr(command, "connect", lambda _: made)
    monkeypatch.setattr(cache_pod, "POLL_SECONDS", 0.001)
    return made


@pytest.fixture
def values(tmp_path: Path) -> str:
    below = load_values(ROOT / "values/custom.yaml", ROOT / "values/accelerators/nvidia.yaml")
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(overlay(below, CACHED)))
    return str(file)


def cache(*arguments: str) -> int:
    return cli.main(["cache", *arguments])


LOOK = ("--claim", "models-cache", "--image", "python:3.12")


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


# what is told


def test_a_list_has_a_line_per_entry_and_what_is_free(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    place = fill(node.folder, "a" * 40, days=3)
    fill(node.folder, "b" * 40, days=9, user="")
    (node.folder / runs_cache.folder_of(URL) / ("b" * 40) / "manifest").unlink()
    runs_cache.hold(place, node.folder, "training/run-43")
    assert cache("list", *LOOK) == ExitCode.OK
    release()
    header, first, second, last = capsys.readouterr().out.splitlines()
    assert header.split() == ["SOURCE", "COMMIT", "SIZE", "AGE", "USED", "BY", "STATE"]
    assert first.split()[:2] == [URL, "a" * 12]
    assert first.split()[-5:] == ["3d", "now", "training/run-43", "in", "use"]
    assert second.split()[-4:] == ["-", "never", "-", "incomplete"]
    assert last.startswith("2 entries, ")
    assert last.endswith(" free on claim models-cache")
    assert node.deleted == [node.made_pod["metadata"]["name"]]


def test_a_list_for_programs_has_whole_names_and_every_field(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    fill(node.folder)
    assert cache("list", *LOOK, "-o", "name") == ExitCode.OK
    assert capsys.readouterr().out == f"{runs_cache.folder_of(URL)}/{'a' * 40}\n"
    assert cache("list", *LOOK, "-o", "json") == ExitCode.OK
    answer = json.loads(capsys.readouterr().out)
    (entry,) = answer["entries"]
    assert (entry["location"], entry["usedBy"], entry["inUse"]) == (URL, "training/run-42", False)
    assert answer["free"] <= answer["size"]


def test_an_empty_volume_is_no_error(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    assert cache("list", *LOOK) == ExitCode.OK
    assert capsys.readouterr().out.startswith("no entries, 0 B; ")
    assert cache("verify", *LOOK) == ExitCode.OK
    assert cache("prune", *LOOK, "--keep", "0") == ExitCode.OK
    assert "no entry on claim models-cache is due" in capsys.readouterr().out


def test_folders_of_another_user_are_told(
    node: Node, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(entries, "_unreadable", lambda _: 2)
    assert cache("list", *LOOK) == ExitCode.OK
    assert "2 folders cannot be read by this user" in capsys.readouterr().out
    assert cache("list", *LOOK, "-o", "json") == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["unreadable"] == 2


def test_a_time_that_no_calendar_has_is_none() -> None:
    assert _moment(2.0**40) is None  # which file systems have


def test_verify_names_what_is_damaged_and_how_to_get_it_again(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    place = fill(node.folder)
    fill(node.folder, "b" * 40)
    file = place / "content" / "a.bin"
    file.chmod(0o644)
    file.write_bytes(b"b" * 2000)
    assert cache("verify", *LOOK) == ExitCode.PROBLEM
    out, err = capsys.readouterr()
    assert f"problem: {URL} at {'a' * 12} is damaged: 1 changed (such as a.bin)" in out
    assert f"ok: {URL} at {'b' * 12}, 2.0 kB" in out
    assert f"1 of 2 damaged; `trainchart cache prune {runs_cache.folder_of(URL)}/{'a' * 40}`" in err
    assert cache("verify", *LOOK, "b" * 12, "-o", "json") == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["ok"] is True
    other = node.folder / runs_cache.folder_of(URL) / ("b" * 40)
    source = {"type": "git", "location": URL, "commit": "b" * 40}
    manifest.write(other / "manifest", other / "content", other, source, {})
    assert cache("verify", *LOOK, "b" * 12) == ExitCode.OK
    assert "2.0 kB, of which 1 file by size and time alone" in capsys.readouterr().out


def test_prune_removes_what_is_due_and_says_why_the_rest_stays(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    fill(node.folder, "a" * 40, days=40)
    used = fill(node.folder, "b" * 40, days=50)
    fill(node.folder, "c" * 40, days=1)
    runs_cache.hold(used, node.folder, "training/run-43")
    os.utime(used / "used", (0, 0))
    assert cache("prune", *LOOK, "--older-than", "30d", "--dry-run") == ExitCode.OK
    assert f"{URL} at {'a' * 12}, " in capsys.readouterr().out
    assert len(entries.entries(node.folder)) == 3
    assert cache("prune", *LOOK, "--older-than", "30d") == ExitCode.OK
    release()
    lines = capsys.readouterr().out.splitlines()
    assert any(line.endswith("is removed") and "a" * 12 in line for line in lines)
    assert any(line.endswith("stays: it is in use by training/run-43") for line in lines)
    assert lines[-1].startswith("1 removed, ")
    assert sorted(one.place.name[0] for one in entries.entries(node.folder)) == ["b", "c"]


def waiting_run(name: str, revision: str, claim: str = "models-cache", phase: str = "Pending") -> dict[str, Any]:
    settings = {
        "run": {"name": name},
        "dataset": {"type": "git", "repository": URL, "revision": revision, "cached": True},
        "model": {"type": "claim", "claimName": "models", "cached": False},
        "cache": {"claimName": claim},
    }
    return {
        "job": {
            "metadata": {
                "name": name, "namespace": "training",
                "labels": {"app.kubernetes.io/part-of": "trainchart", "trainchart.dev/family": "custom"},
            },
            "status": {"state": {"phase": phase}},
        },
        "map": {"metadata": {"name": f"{name}-run"}, "data": {"settings.json": json.dumps(settings)}},
    }  # fmt: skip


def test_prune_leaves_what_runs_need_that_have_not_finished(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [
        waiting_run("waits", "main"), waiting_run("pinned", "c" * 40), waiting_run("other", "main", claim="another"),
        waiting_run("over", "d" * 40, phase="Completed"),
    ]  # fmt: skip
    monkeypatch.setattr(
        node, "_of", lambda kind, **_: {
            kinds.JOBS: [run["job"] for run in runs], kinds.CONFIG_MAPS: [run["map"] for run in runs],
            kinds.PODS: list(node.pods.values()), kinds.CLAIMS: [CLAIM],
        }[kind],
    )  # fmt: skip
    for days, commit in enumerate("abcd", 40):
        fill(node.folder, commit * 40, days=days)
    assert cache("prune", *LOOK, "--older-than", "0s") == ExitCode.OK
    assert sorted(one.place.name[0] for one in entries.entries(node.folder)) == ["a", "c"], "newest, and pinned"


def test_a_named_entry_is_removed_however_new_it_is(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    fill(node.folder, "a" * 40)
    fill(node.folder, "b" * 40)
    assert cache("prune", *LOOK, "aaaaaaa") == ExitCode.OK
    assert [one.place.name[0] for one in entries.entries(node.folder)] == ["b"]
    assert cache("prune", *LOOK, "aaaaaaa") == ExitCode.NOT_FOUND
    assert "the cache has no entry 'aaaaaaa'" in said(capsys)
    assert cache("prune", *LOOK, "--keep", "1", "bbbbbbb") == ExitCode.REFUSED
    assert "an age (--older-than) or a number to keep (--keep) chooses among all entries" in said(capsys)
    assert cache("prune", *LOOK, "--dry-run") == ExitCode.REFUSED
    assert (
        "nothing says what to remove; name entries, or give an age (--older-than 30d) or a number to keep (--keep 1)"
        in said(capsys)
    )
    assert len(entries.entries(node.folder)) == 1


def test_fill_says_what_is_fetched_and_what_is_there_already(
    node: Node, values: str, capsys: pytest.CaptureFixture[str]
) -> None:
    node.printed = FILLED
    assert cache("fill", "-f", values) == ExitCode.OK
    assert capsys.readouterr().out.splitlines() == [
        f"dataset: fetching {URL} at {'a' * 12}",
        "another run is fetching",
        "dataset: 2.0 kB fetched",
    ]
    node.printed = "\n".join(line for line in FILLED.splitlines() if "event=waiting" not in line)
    node.printed = node.printed.replace("hit=false", "hit=true")
    assert cache("fill", "-f", values) == ExitCode.OK
    assert capsys.readouterr().out == f"dataset: {URL} at {'a' * 12} is in the cache already\n"
    assert cache("fill", "-f", values, "-o", "json") == ExitCode.OK
    (source,) = json.loads(capsys.readouterr().out)["sources"]
    assert source == {"source": "dataset", "location": URL, "commit": "a" * 40, "fetched": False, "bytes": 2000}


def test_a_fill_that_fails_has_the_runner_s_words_and_code(
    node: Node, values: str, capsys: pytest.CaptureFixture[str]
) -> None:
    node.code = 31
    node.printed = "trainchart time=2026-11-26T08:15:12Z event=failed code=31 reason=unreachable fix=wait"
    assert cache("fill", "-f", values) == 31
    assert said(capsys).endswith("trainchart: unreachable; wait\n")
    node.code, node.printed = 137, ""
    assert cache("fill", "-f", values) == ExitCode.RUN_FAILED
    assert "failed: Error, exit code 137" in said(capsys)


def test_ctrl_c_removes_the_pod(node: Node, values: str, capsys: pytest.CaptureFixture[str]) -> None:
    node.interrupt = True
    assert cache("fill", "-f", values) == ExitCode.INTERRUPTED
    assert node.deleted == [node.made_pod["metadata"]["name"]]
    assert "interrupted; the pod is removed; what it has fetched stays for the next one" in said(capsys)


# the pods


def test_the_pod_that_fills_has_what_fetching_needs_and_no_more(node: Node, values: str) -> None:
    node.printed = FILLED
    claim = ["--set", "model.type=claim,model.claimName=models,model.repository=null,model.revision=null"]
    assert cache("fill", "-f", values, *claim) == ExitCode.OK
    spec = node.made_pod["spec"]
    (container,) = spec["containers"]
    assert container["command"] == ["python3", "-m", "features.cache_commands", "fill"]
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}
    assert not any("nvidia" in name for name in container["resources"]["requests"])
    assert spec["activeDeadlineSeconds"] > 3600
    assert spec["securityContext"]["runAsNonRoot"] is True
    mounted = {volume["name"]: volume for volume in spec["volumes"]}
    assert set(mounted) == {"run", "workspace", "tmp", "shm", "git", "cache"}
    assert "emptyDir" in mounted["workspace"]
    assert "readOnly" not in mounted["cache"]["persistentVolumeClaim"], "whatever cache.readOnly says of runs"
    assert {mount["name"] for mount in container["volumeMounts"]} == set(mounted)
    settings = json.loads(node.config_map["data"]["settings.json"])
    assert settings["cache"]["readOnly"] is False
    assert (settings["publish"]["type"], settings["run"]["holdSeconds"]) == ("none", 0)
    assert "features.cache_commands.__main__.py" in node.config_map["data"]
    keys = {item["key"] for item in mounted["run"]["configMap"]["items"]}
    assert keys == set(node.config_map["data"])


def test_a_pod_gets_no_more_than_the_run_may_have(node: Node, values: str) -> None:
    node.printed = FILLED
    little = "resources.limits.memory=1Gi,resources.requests.memory=512Mi,resources.limits.cpu=500m"
    assert (
        cache("fill", "-f", values, "--set", f"{little},resources.requests.cpu=250m,sharedMemory=64Mi") == ExitCode.OK
    )
    limits = node.made_pod["spec"]["containers"][0]["resources"]["limits"]
    assert limits == {"cpu": "500m", "memory": "1Gi"}


def test_the_pod_that_looks_mounts_the_claim_alone(node: Node, values: str) -> None:
    assert cache("list", "-f", values) == ExitCode.OK
    spec = node.made_pod["spec"]
    assert [volume["name"] for volume in spec["volumes"]] == ["run", "cache"]
    assert spec["containers"][0]["image"] == "registry.example.com/trainer:1"
    assert spec["automountServiceAccountToken"] is False
    assert node.made_pod["metadata"]["labels"]["app.kubernetes.io/component"] == "cache"
    assert "settings.json" not in node.config_map["data"]
    node.created.clear()
    assert cache("list", "-f", values, "--claim", "models-cache", "--image", "python:3.12") == ExitCode.OK
    assert node.made_pod["spec"]["containers"][0]["image"] == "python:3.12"


@pytest.mark.lab
def test_the_programs_that_are_sent_along_are_all_that_is_needed(node: Node, tmp_path: Path) -> None:
    fill(node.folder)
    assert cache("list", *LOOK) == ExitCode.OK
    home = tmp_path / "trainchart"
    (volume,) = (one["configMap"] for one in node.made_pod["spec"]["volumes"] if one["name"] == "run")
    for item in volume["items"]:
        file = home / item["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(node.config_map["data"][item["key"]])
    command_ = [sys.executable, "-m", "features.cache_commands", "list", json.dumps({"root": str(node.folder)})]
    environment = {**os.environ, "PYTHONPATH": "", "TERMINATION_LOG": str(tmp_path / "termination-log")}
    output = subprocess.run(command_, cwd=home, env=environment, capture_output=True, text=True, check=True).stdout
    assert json.loads(output.splitlines()[0])["commit"] == "a" * 40


def test_a_claim_of_one_node_brings_the_pod_to_those_that_use_it(
    node: Node, values: str, capsys: pytest.CaptureFixture[str]
) -> None:
    node.there[kinds.CLAIMS] = [{**CLAIM, "spec": {"accessModes": ["ReadWriteOnce"]}}]
    volume = {"persistentVolumeClaim": {"claimName": "models-cache"}}
    node.pods["run-7"] = {
        "metadata": {"name": "run-7"},
        "spec": {"nodeName": "n7", "volumes": [volume]},
        "status": {"phase": "Running"},
    }
    zone = {"key": "zone", "operator": "In", "values": ["a"]}
    term = {"matchExpressions": [zone]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    node.printed = FILLED
    assert cache("fill", "-f", values, "--set-json", f"affinity={json.dumps(affinity)}") == ExitCode.OK
    required = node.made_pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    here = {"key": "metadata.name", "operator": "In", "values": ["n7"]}
    assert required["nodeSelectorTerms"] == [{"matchExpressions": [zone], "matchFields": [here]}]
    assert "claim models-cache is ReadWriteOnce and used by pod run-7 on node n7" in said(capsys)


def test_a_volume_that_is_yet_to_be_made_may_come_to_a_node_without_devices(
    node: Node, values: str, capsys: pytest.CaptureFixture[str]
) -> None:
    unbound = {**CLAIM, "spec": {"accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Pending"}}
    node.there[kinds.CLAIMS] = [unbound]
    node.printed = FILLED
    words = "claim models-cache has no volume yet, and may get it on the node of this pod"
    assert cache("fill", "-f", values) == ExitCode.OK
    assert words in said(capsys)
    assert cache("fill", "-f", values, "--set", "nodeSelector.gpu=present") == ExitCode.OK
    assert words not in said(capsys)


def test_pods_that_a_killed_command_has_left_are_removed_once_nobody_reads_them(node: Node) -> None:
    ended = datetime.now(timezone.utc)
    for name, minutes in (("cache-list-old", 11), ("cache-list-new", 9)):
        at = (ended - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        node.pods[name] = {
            "metadata": {"name": name, "labels": {"app.kubernetes.io/component": "cache"}},
            "status": {
                "phase": "Succeeded",
                "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 0, "finishedAt": at}}}],
            },
        }
    assert cache("list", *LOOK) == ExitCode.OK
    assert node.deleted == ["cache-list-old", node.made_pod["metadata"]["name"]]


def test_a_pod_whose_command_was_killed_before_it_sent_the_programs_holds_no_claim(node: Node) -> None:
    """It would wait for its ConfigMap for a day, and a ReadWriteOncePod claim with it."""
    node.there[kinds.CLAIMS] = [{**CLAIM, "spec": {"accessModes": ["ReadWriteOncePod"]}}]
    for name, minutes, programs in (("cache-list-old", 2, "none"), ("cache-fill-waits", 20, f"{NAME}-run")):
        volumes = [{"name": "run", "configMap": {"name": programs}}]
        if name == "cache-list-old":
            volumes.append({"name": "cache", "persistentVolumeClaim": {"claimName": "models-cache"}})
        at = (datetime.now(timezone.utc) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        labels = {"app.kubernetes.io/component": "cache"}
        node.pods[name] = {
            "metadata": {"name": name, "labels": labels, "creationTimestamp": at},
            "spec": {"nodeName": "n1", "volumes": volumes},
            "status": {"phase": "Pending"},
        }
    assert cache("list", *LOOK) == ExitCode.OK
    assert node.deleted == ["cache-list-old", node.made_pod["metadata"]["name"]]


# what keeps them from starting


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cache(*arguments)
    out, err = capsys.readouterr()
    assert out == ""
    return code, err.splitlines()[-1].removeprefix("trainchart: ")


def test_values_that_keep_nothing_name_the_key(node: Node, values: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = refused(capsys, "fill", "-f", values, "--set", "dataset.cached=false")
    assert code == ExitCode.REFUSED
    assert "set model.cached or dataset.cached: true for what is to be kept, and cache.claimName" in line
    nothing = "cache.claimName=null,cache.readOnly=false,dataset.cached=false"
    code, line = refused(capsys, "list", "-f", values, "--set", nothing)
    assert code == ExitCode.REFUSED
    assert line.startswith("cache.claimName is empty: the run has no cache; set it")
    code, line = refused(capsys, "list", "--claim", "models-cache")
    assert code == ExitCode.REFUSED
    assert "by --claim and --image" in line
    assert node.created == []


def test_a_missing_claim_and_a_missing_namespace_are_told_before_any_pod(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    node.there[kinds.CLAIMS] = []
    code, line = refused(capsys, "list", *LOOK)
    assert (code, node.created) == (ExitCode.NOT_FOUND, [])
    assert line.startswith("PersistentVolumeClaim models-cache does not exist in namespace training; create it")
    node.there[kinds.NAMESPACES] = []
    code, line = refused(capsys, "list", *LOOK)
    assert (code, line.partition(";")[0]) == (ExitCode.NOT_FOUND, "namespace training does not exist")


@pytest.mark.parametrize(
    ("modes", "action", "words"),
    [
        (["ReadOnlyMany"], "prune --keep 1", "claim models-cache can only be read (ReadOnlyMany)"),
        (["ReadWriteOncePod"], "list", "claim models-cache is ReadWriteOncePod, and pod run-7 uses it"),
    ],
)
def test_a_claim_that_cannot_be_mounted_is_told(
    modes: list[str], action: str, words: str, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    node.there[kinds.CLAIMS] = [{**CLAIM, "spec": {"accessModes": modes}}]
    volume = {"persistentVolumeClaim": {"claimName": "models-cache"}}
    node.pods["run-7"] = {
        "metadata": {"name": "run-7"},
        "spec": {"nodeName": "n7", "volumes": [volume]},
        "status": {"phase": "Running"},
    }
    code, line = refused(capsys, *action.split(), *LOOK)
    assert (code, words in line, node.created) == (ExitCode.PROBLEM, True, []), line


def test_a_volume_that_can_only_be_read_is_listed(node: Node) -> None:
    node.there[kinds.CLAIMS] = [{**CLAIM, "spec": {"accessModes": ["ReadOnlyMany"]}}]
    assert cache("list", *LOOK) == ExitCode.OK
    assert node.made_pod["spec"]["volumes"][-1]["persistentVolumeClaim"]["readOnly"] is True


@pytest.mark.parametrize(
    ("refusal", "code", "words"),
    [
        (
            RefusedError(
                'pods "x" is forbidden: exceeded quota: tight, requested: limits.memory=4Gi, '
                "used: limits.memory=8Gi, limited: limits.memory=10Gi"
            ),
            ExitCode.PROBLEM,
            "ResourceQuota tight has no room for it now: a pod needs limits.memory 4Gi, and 2Gi of 10Gi is left",
        ),
        (NotFoundError('create pods: namespaces "training" not found'), ExitCode.PROBLEM, "namespace training does not exist"),
        (ForbiddenError("no permission to create pods"), ExitCode.FORBIDDEN, "needs `create pods`, `get pods/log`"),
    ],
)  # fmt: skip
def test_a_pod_that_is_refused_is_told_in_one_line(
    refusal: Exception, code: int, words: str, node: Node, values: str, capsys: pytest.CaptureFixture[str]
) -> None:
    node.refusal = refusal
    found, line = refused(capsys, "fill", "-f", values)
    assert (found, words in line) == (code, True), line


UNBOUND = {
    "phase": "Pending",
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "message": "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
        }
    ],
}
IN_USE = "1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode."
OF_ONE_POD = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "False", "message": f"0/1 nodes are available: {IN_USE}"}],
}
IMAGE = "Failed to pull image: registry.example.com/trainer:1: not found"
UNSCHEDULED = {
    "phase": "Pending",
    "conditions": [
        {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available: 2 Insufficient memory."}
    ],
}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (UNBOUND, "PersistentVolumeClaim models-cache is not bound to a volume; `kubectl -n training describe pvc"),
        (OF_ONE_POD, "PersistentVolumeClaim models-cache is ReadWriteOncePod, and another pod uses it; it starts when"),
        (UNSCHEDULED, "did not start in 0 s: no node takes pod cache-list-"),
        (
            {
                "phase": "Pending",
                "containerStatuses": [
                    {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": IMAGE}}}
                ],
            },
            "does not exist in its registry; correct image; mind the tag",
        ),
    ],
)
def test_a_pod_that_does_not_start_is_explained_and_removed(
    status: dict[str, Any], words: str, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    node.waits = status
    code, line = refused(capsys, "list", *LOOK, "--start-timeout", "0s")
    assert (code, words in line) == (ExitCode.PROBLEM, True), line
    assert len(node.deleted) == 1


def test_a_volume_that_cannot_be_made_is_told_though_the_scheduler_says_nothing(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    why = 'failed to provision volume with StorageClass "standard": only ReadWriteOnce is supported'
    node.there[kinds.CLAIMS] = [{**CLAIM, "status": {"phase": "Pending"}}]
    about = {"kind": "PersistentVolumeClaim", "name": "models-cache"}
    node.there[kinds.EVENTS] = [{"reason": "ProvisioningFailed", "message": why, "involvedObject": about}]
    node.waits = {"phase": "Pending", "conditions": []}
    code, line = refused(capsys, "list", *LOOK, "--start-timeout", "0s")
    assert code == ExitCode.PROBLEM
    assert f"PersistentVolumeClaim models-cache is not bound to a volume: {why}; `kubectl" in line


def test_a_block_device_is_refused_before_any_pod(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    node.there[kinds.CLAIMS] = [{**CLAIM, "spec": {"accessModes": ["ReadWriteMany"], "volumeMode": "Block"}}]
    code, line = refused(capsys, "list", *LOOK)
    assert (code, "volumeMode: Block" in line, node.created) == (ExitCode.PROBLEM, True, []), line


# from Python


def test_the_python_api_fills_lists_verifies_and_prunes(
    node: Node, values: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tc.Cluster, "api", node)
    node.printed = FILLED
    kept = tc.Cache([values, {"cache": {"readOnly": False}}])
    (filled,) = kept.fill()
    assert (filled.source, filled.location, filled.fetched, filled.bytes) == ("dataset", URL, True, 2000)
    assert "dataset: 2.0 kB fetched" in capsys.readouterr().out
    kept.fill(progress=False)
    assert capsys.readouterr() == ("", "")
    place = fill(node.folder, days=40)
    fill(node.folder, "b" * 40)
    assert [entry.commit for entry in kept.entries()] == ["b" * 40, "a" * 40]
    assert kept.verify() == []
    file = place / "content" / "a.bin"
    file.chmod(0o644)
    file.write_bytes(b"b" * 2000)
    assert [entry.commit for entry in kept.verify()] == ["a" * 40]
    assert [entry.commit for entry in kept.prune(older_than=30 * 86400, dry_run=True)] == ["a" * 40]
    assert [entry.commit for entry in kept.prune(older_than=timedelta(days=30), dry_run=True)] == ["a" * 40]
    with pytest.raises(tc.TrainchartError, match="keep: -1 is not a whole number of at least 0"):
        kept.prune(keep=-1)
    assert [entry.commit for entry in kept.prune("bbbbbbb")] == ["b" * 40]
    with pytest.raises(tc.TrainchartError, match="no entry 'bbbbbbb'"):
        kept.prune("bbbbbbb")
    with pytest.raises(tc.TrainchartError, match=r"set model.cached or dataset.cached: true"):
        tc.Cache([values, {"dataset": {"cached": False}}]).fill()
    with pytest.raises(tc.InvalidValuesError):
        tc.Cache([values, {"replica": 2}]).entries()
