"""Each captured run is given its cause, by a number of calls that does not depend on what else there is."""

from __future__ import annotations

import json
import random
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.checks.cluster import requesting
from tests.conftest import rows
from tests.fakes.api import FakeApi
from tests.fakes.captured import CASES, captured, cluster
from tests.values.checks import ROOT
from trainchart.checks import diagnosis, ended, facts
from trainchart.checks.facts import Facts
from trainchart.checks.finding import Finding
from trainchart.checks.nodes import check_nodes
from trainchart.checks.reader import ClusterReader
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster import kinds
from trainchart.follow import status
from trainchart.follow.screen import lines
from trainchart.follow.watcher import Status
from trainchart.run import state

NOW = datetime(2026, 11, 24, 18, 14, tzinfo=timezone.utc)

# captured run -> key and severity of its first cause, and words of it
CAUSES = {
    "bad-image": ("image-name", "problem", ["'Trainchart/none:1.0'", "repository name must be lowercase"]),
    "big-cpu": ("above-every-node", "problem", ["cpu 64", "the largest node (trainchart-control-plane) has 2"]),
    "big-mem": ("above-every-node", "problem", ["memory 500Gi", "has 23.54Gi", "resources.requests.memory"]),
    "close-later": ("queue-closed", "problem", ["queue follow-close takes no runs", "Closing"]),
    "deadline": ("deadline", "problem", ["five minutes after timeLimit"]),
    "evicted": ("evicted", "problem", ['Usage of EmptyDir volume "w" exceeds the limit']),
    "killme": ("pods-gone", "problem", ["taken away from outside"]),
    "nearly": ("in-use", "waiting", ["large enough", "too much cpu (it requests cpu 1900m in all) is in use now"]),
    "no-claim": ("claim-missing", "problem", ["PersistentVolumeClaim nothere does not exist in namespace follow"]),
    "no-class": (
        "storage-class-missing",
        "problem",
        ["StorageClass fast-nvme does not exist", "PersistentVolumeClaim noclass"],
    ),
    "no-cm-mount": ("configmap-missing", "problem", ["ConfigMap nothere does not exist"]),
    "no-dra": ("device-claim", "problem", ['resourceclaimtemplate.resource.k8s.io "nothere" not found']),
    "no-gpu": ("no-such-resource", "problem", ["no node has nvidia.com/gpu, of which each pod requests 1"]),
    "no-image": ("registry-unreachable", "problem", ["registry.example.com/trainchart/none:1.0"]),
    "no-key-env": ("key-missing", "problem", ["ConfigMap kube-root-ca.crt has no key nokey"]),
    "no-python": ("no-python", "problem", ["registry.k8s.io/pause:3.10.1 has no python3"]),
    "no-sa": ("service-account", "problem", ["ServiceAccount nothere"]),
    "no-secret-env": ("secret-missing", "problem", ["Secret nothere does not exist in namespace follow"]),
    "no-secret-mount": ("secret-missing", "problem", ["Secret nothere does not exist in namespace follow"]),
    "oom": ("out-of-memory", "problem", ["rank 0 was killed for memory: its limit is 32Mi"]),
    "prio": ("priority-class", "problem", ["PriorityClass nothere does not exist"]),
    "preempted": ("in-use", "waiting", ["2 pods of", "preemption.trainchart.dev/slots 2"]),
    "psa": ("pod-security", "problem", ["restricted", "allowPrivilegeEscalation"]),
    "pull-secret": ("pull-secret-missing", "problem", ["image pull secret nothere does not exist"]),
    "queue-gone": ("queue-missing", "problem", ["queue follow-gone does not exist"]),
    "queue-small": ("queue-too-small", "problem", ["the gang requests cpu 300m, and the queue may have 200m"]),
    "quota": ("quota", "problem", ["ResourceQuota team-quota", "the run needs requests.cpu 80m, and 50m is allowed"]),
    "reclaimed": ("in-use", "waiting", ["1 pod of"]),
    "restartme": ("train-killed", "problem", ["rank 0 failed in stage train (train-killed, code 41): killed by"]),
    "resumed": ("preempted", "info", ["attempt 2 of 4: the one before was stopped by Volcano", "another queue"]),
    "root-image": ("image-runs-as-root", "problem", ["runs as root"]),
    "selector": ("no-node-matches", "problem", ["gpu=a100", "no node has the label gpu at all"]),
    "sidecar": ("sidecar", "problem", ["rank 0 has ended with exit code 0, but aaa", "trainchart stop sidecar"]),
    "stopme": ("stopped-by-user", "info", ["a user stopped it"]),
    "unbound": ("claim-unbound", "problem", ["PersistentVolumeClaim unbound is not bound"]),
    "wide": ("gang-too-large", "problem", ["6 pods of cpu 400m", "all nodes together take 5"]),
}


def explained(name: str, api: FakeApi | None = None, **changes: Any) -> list[Finding]:
    """With what the fake server has, changed as the test wants it; at the time of the capture."""
    api = api or cluster(name)
    run = state.load(api, name)  # type: ignore[arg-type]
    found = facts.gather(ClusterReader(api), run)  # type: ignore[arg-type]
    return diagnosis.explain(run, Facts(**{**vars(found), "now": NOW, **changes}))


@pytest.mark.parametrize(("phase", "is_told"), [("Pending", True), ("Bound", False)])
def test_a_volume_that_cannot_be_made_is_told_though_the_scheduler_says_nothing(phase: str, is_told: bool) -> None:
    """The event outlives its reason: of a claim that has got its volume since, nothing is told."""
    case, api = captured("unbound"), cluster("unbound")
    (pod,), (claim,) = case["pods"], case["claims"]
    about = {"kind": "PersistentVolumeClaim", "name": "unbound"}
    failed = {"reason": "ProvisioningFailed", "message": "only ReadWriteOnce is supported", "involvedObject": about}
    api.there[kinds.PODS] = [{**pod, "status": {"phase": "Pending"}}]
    api.there[kinds.EVENTS] = [failed]
    api.there[kinds.CLAIMS] = [{**claim, "status": {"phase": phase}}]
    told = "PersistentVolumeClaim unbound is not bound to a volume: only ReadWriteOnce is supported"
    assert (told in [one.text for one in explained("unbound", api)]) == is_told


def test_every_captured_run_but_the_one_that_is_well_has_its_cause_here() -> None:
    assert set(CAUSES) == set(CASES) - {"hog1"}


@pytest.mark.parametrize("name", CAUSES)
def test_the_first_cause_of_a_captured_run(name: str) -> None:
    key, severity, words = CAUSES[name]
    first = explained(name)[0]
    assert (first.key, first.severity) == (key, severity)
    for word in words:
        assert word in f"{first.text} {first.fix}"
    if severity == "problem":
        assert first.fix


@pytest.mark.parametrize("name", CASES)
def test_every_command_that_a_fix_names_is_for_the_run_s_namespace(name: str) -> None:
    for cause in explained(name):
        for typed in re.findall(r"`((?:trainchart|helm|kubectl) [^`]*)`", cause.fix):
            if not re.search(r"get (queues|nodes|storageclasses|priorityclasses)|describe nodes| --rank$", typed):
                assert " -n " in typed, typed


def test_only_a_claim_lets_another_release_go_on() -> None:
    job = captured("hog1")["job"]
    assert "starts from scratch" in state.snapshot_of(job, []).resume_hint
    spec = job["spec"]["tasks"][0]["template"]["spec"]
    spec["volumes"] = [{"name": "workspace", "persistentVolumeClaim": {"claimName": "hog1-workspace"}}]
    own = state.snapshot_of(job, [])
    assert "workspace.claimName: hog1-workspace" in own.resume_hint
    assert "its claim hog1-workspace with the checkpoints, unless workspace.keep" in own.uninstall
    spec["volumes"][0]["persistentVolumeClaim"]["claimName"] = "of-the-team"
    assert "checkpoints" not in state.snapshot_of(job, []).uninstall


@pytest.mark.parametrize("name", rows(CASES, *list(CASES)[::4]))
def test_a_diagnosis_makes_at_most_nine_calls_and_no_more_when_there_are_more_runs(name: str) -> None:
    counts = []
    for others in (0, 50):
        api = cluster(name)
        for number in range(others):
            job = captured("hog1")
            job["job"]["metadata"]["name"] = f"other-{number}"
            api.put(kinds.JOBS, job["job"])
            api.put(kinds.PODS, *job["pods"])
            api.put(kinds.EVENTS, *job["events"])
        run = state.load(api, name)  # type: ignore[arg-type]
        before = api.calls
        diagnosis.diagnose(api, run)  # type: ignore[arg-type]
        counts.append(api.calls - before)
    assert counts[0] == counts[1] <= 9


def test_a_run_that_is_well_costs_three_calls_and_says_nothing() -> None:
    api = cluster("hog1")
    api.logs["hog1-train-0"] = b"trainchart time=2026-11-24T18:12:00Z event=start stage=train\n"
    found = status.load_status(api, "hog1")  # type: ignore[arg-type]
    assert found.findings == ()
    assert (api.calls, status.place(found)) == (3, "train")


def test_a_missing_right_is_said_and_hides_nothing_else() -> None:
    api = cluster(
        "big-cpu", forbidden={"list nodes", "list queues.scheduling.volcano.sh", "get queues.scheduling.volcano.sh"}
    )
    run = state.load(api, "big-cpu")  # type: ignore[arg-type]
    first, last = diagnosis.diagnose(api, run)  # type: ignore[arg-type]
    assert first.key == "cluster-full"
    assert "cpu 64 in all" in first.text
    assert (last.key, last.severity) == ("not-checked", "not-checked")
    assert last.text == "not checked: no permission to list queues, list nodes"


@pytest.mark.parametrize("name", CASES)
def test_with_no_right_at_all_but_to_the_run_there_is_a_sentence_and_no_error(name: str) -> None:
    rights = (
        *("list events", "list nodes", "list resourcequotas", "get persistentvolumeclaims"),
        *(
            "get podgroups.scheduling.volcano.sh",
            "list queues.scheduling.volcano.sh",
            "get queues.scheduling.volcano.sh",
        ),
    )
    api = cluster(name, forbidden=set(rights))
    found = status.load_status(api, name)  # type: ignore[arg-type]
    assert lines(found, NOW)
    if name != "hog1":
        assert found.findings[-1].key == "not-checked"


# -- what no cluster here could be brought to do


def test_an_api_server_that_has_a_queue_with_room_later_says_wait() -> None:
    queue = captured("queue-small")["queue"]
    queue["spec"]["capability"]["cpu"] = "1"
    queue["status"]["allocated"] = {"cpu": "800m"}
    first = explained("queue-small", queues=(queue,))[0]
    assert (first.key, first.severity) == ("queue-full", "waiting")
    assert "the gang requests cpu 300m, and the queue has left 200m of 1" in first.text


def test_a_controller_and_a_scheduler_that_say_nothing_are_named() -> None:
    assert explained("big-cpu", groups=(), group_events=())[0].key == "controller-silent"
    group = captured("big-cpu")["group"]
    group["status"] = {}
    assert explained("big-cpu", groups=(group,), group_events=())[0].key == "scheduler-silent"
    early = datetime(2026, 11, 24, 18, 10, 20, tzinfo=timezone.utc)
    assert [cause.key for cause in explained("big-cpu", groups=(), group_events=(), now=early)] == ["new"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("preempted", "preempted by Volcano, for pods of higher priority"),
        ("reclaimed", "stopped by Volcano, which reclaimed its resources for another queue"),
    ],
)
def test_a_run_that_waits_after_a_preemption_says_for_whom_its_last_attempt_was_stopped(name: str, why: str) -> None:
    found = explained(name)[1]
    assert (found.key, found.severity) == ("preempted", "info")
    assert found.text == f"attempt 1 was {why}; attempt 2 of 4 starts when there is room"


def test_a_rank_that_was_taken_away_is_no_problem_while_volcano_restarts_the_run() -> None:
    lost = state.Pod("run-train-0", 0, phase="Failed", exit_code=143, disrupted="PreemptionByScheduler")
    run = state.Snapshot("run", "training", pods=(lost,), state=state.State.RUNNING, max_retry=2)
    assert diagnosis.explain(run, Facts(now=NOW)) == []
    last = state.Snapshot("run", "training", pods=(lost,), state=state.State.RUNNING)
    assert [cause.key for cause in diagnosis.explain(last, Facts(now=NOW))] == ["preempted"]


def test_an_attempt_that_failed_long_after_a_preemption_was_not_preempted() -> None:
    restart = {"reason": "ExecuteAction", "message": "Start to execute action RestartJob"}
    later = {**restart, "lastTimestamp": "2026-11-26T12:30:00Z"}
    assert [cause.key for cause in explained("resumed", job_events=(later,))] == ["restarted"]


def test_a_pod_that_is_never_ready_runs_and_one_whose_node_is_silent_is_lost() -> None:
    case = captured("resumed")
    assert not state.snapshot_of(case["job"], case["pods"]).pods[0].is_cut_off
    ready = next(one for one in case["pods"][0]["status"]["conditions"] if one["type"] == "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ContainersNotReady")
    del ready["reason"], ready["message"]  # what the node controller leaves of a pod that was ready
    lost = state.snapshot_of(case["job"], case["pods"])
    assert diagnosis.explain(lost, Facts(now=NOW))[0].key == "node-lost"


@pytest.mark.parametrize(("words", "who"), [("preempt", "pods of higher priority"), ("reclaim", "another queue")])
def test_pods_that_volcano_itself_took_away_were_preempted(words: str, who: str) -> None:
    event = {"reason": "Evict", "message": words, "lastTimestamp": "2026-11-24T18:13:00Z"}
    first = explained("killme", group_events=(event,))[0]
    assert first.key == "preempted"
    assert who in first.text


def test_a_restart_that_volcano_lost_is_named_after_a_minute() -> None:
    case = captured("killme")
    case["job"]["status"]["state"]["phase"] = "Restarting"
    run = state.snapshot_of(case["job"], [])
    stuck = diagnosis.explain(run, Facts(now=NOW, groups=()))
    assert stuck[0].key == "stuck-restart"
    assert "trainchart wait killme" in stuck[0].fix


def test_a_quota_that_may_not_be_read_is_named_from_the_refusal() -> None:
    first = explained("quota", quotas=None)[0]
    assert (first.key, first.severity) == ("quota", "problem")
    assert "ResourceQuota team-quota has no room for it now" in first.text
    assert "requests.cpu 40m, and 10m of 50m is left" in first.text


def test_a_quota_is_named_from_its_numbers_where_the_events_are_gone() -> None:
    case = captured("quota")
    case["job"]["status"]["state"]["phase"] = "Pending"
    run = state.snapshot_of(case["job"], [])
    found = diagnosis.explain(run, Facts(now=NOW, groups=(case["group"],), quotas=tuple(case["quotas"])))
    assert found[0].key == "quota"
    assert "the run needs requests.cpu 80m, and 50m is allowed" in found[0].text


def test_a_secret_of_which_the_runner_misses_a_key_is_looked_for_without_its_values() -> None:
    api = cluster("restartme")
    failure = {"stage": "verify", "code": 20, "name": "verify-failed", "fix": "add the key", "reason": ""}
    failure["reason"] = "git.userKey: the secret git-credentials has no key GIT_USER"
    ended = api.there[kinds.PODS][0]["status"]["containerStatuses"][0]["state"]["terminated"]
    ended["message"] = json.dumps({"failure": failure})
    first = diagnosis.diagnose(api, state.load(api, "restartme"))[0]  # type: ignore[arg-type]
    assert (first.key, api.asked[-1]) == ("secret-missing", "get secrets git-credentials")
    api.put(kinds.SECRETS, {"metadata": {"name": "git-credentials"}, "data": {}})
    first = diagnosis.diagnose(api, state.load(api, "restartme"))[0]  # type: ignore[arg-type]
    assert (first.key, first.fix) == ("verify-failed", "add the key")


PODS = {
    "preempted": {"disrupted": "PreemptionByScheduler"},
    "node-lost": {"reason": "NodeLost"},
    "evicted": {"disrupted": "EvictionByEvictionAPI"},
    "wrong-architecture": {"exit_code": 128, "exit_reason": "StartError", "termination": "exec format error"},
    "out-of-memory": {
        "exit_code": 128,
        "exit_reason": "StartError",
        "termination": "container init was OOM-killed (memory limit too low?)",
    },
    "start-error": {"exit_code": 128, "exit_reason": "StartError", "termination": "no such device"},
    "killed": {"exit_code": 137, "exit_reason": "Error"},
    "no-word": {"exit_code": 1, "exit_reason": "Error"},
}


@pytest.mark.parametrize("key", PODS)
def test_how_a_pod_ended_is_told_by_what_its_status_has(key: str) -> None:
    pod = state.Pod(name="run-42-train-0", rank=0, phase="Failed", node="node-a", **PODS[key])  # type: ignore[arg-type]
    run = state.Snapshot("run-42", "training", pods=(pod,), state=state.State.FAILED)
    assert ended.why_failed(run, pod).key == key


def test_the_rank_with_the_cause_is_blamed_and_not_the_one_that_lost_it() -> None:
    lost = state.Pod("run-train-0", 0, phase="Failed", exit_code=43)
    stopped = state.Pod("run-train-2", 2, phase="Failed", exit_code=143)
    killed = state.Pod("run-train-1", 1, phase="Failed", exit_code=137, exit_reason="OOMKilled", ended=NOW)
    run = state.Snapshot("run", "training", pods=(lost, killed, stopped), state=state.State.FAILED)
    assert run.culprit is killed


IMAGES = {
    "image-missing": 'failed to resolve reference "r.example.com/a:1": r.example.com/a:1: not found',
    "image-denied": "pull access denied, repository does not exist or may require authorization: authorization failed",
    "registry-unreachable": "dial tcp 10.0.0.1:443: i/o timeout",
    "image-pull": "no space left on device",
}


@pytest.mark.parametrize("key", IMAGES)
def test_why_an_image_cannot_be_pulled_is_told_by_the_kubelet_s_words(key: str) -> None:
    case = captured("no-image")
    waiting = case["pods"][0]["status"]["containerStatuses"][0]["state"]["waiting"]
    waiting["message"] = f"Back-off pulling image: ErrImagePull: {IMAGES[key]}"
    run = state.snapshot_of(case["job"], case["pods"])
    found = diagnosis.explain(run, Facts(now=NOW, queues=(case["queue"],), groups=(case["group"],)))
    assert found[0].key == key


def node(name: str = "node-a", **changes: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": changes.get("labels", {})},
        "spec": {"taints": changes.get("taints", []), "unschedulable": changes.get("cordoned", False)},
        "status": {
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110", **changes.get("allocatable", {})},
            "conditions": [{"type": "Ready", "status": changes.get("ready", "True")}],
        },
    }


def gang(spec: dict[str, Any], replicas: int = 1) -> RunSpec:
    return requesting({}, replicas=replicas, **spec)


def asking(**spec: Any) -> dict[str, Any]:
    return {"containers": [{"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}], **spec}


TAINT = {"key": "dedicated", "value": "vision", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("spec", "replicas", "nodes", "key"),
    [
        (asking(), 4, [node()], None),
        (asking(), 5, [node()], "gang-too-large"),
        (asking(), 5, [node(), node("node-b")], None),
        (asking(), 5, [node(), node("node-b", cordoned=True)], "gang-too-large"),
        (asking(), 1, [node(cordoned=True)], "node-closed"),
        (asking(), 1, [node(ready="Unknown")], "node-closed"),
        (asking(), 1, [node(taints=[TAINT])], "taint"),
        (asking(tolerations=[{"key": "dedicated", "operator": "Exists"}]), 1, [node(taints=[TAINT])], None),
        (asking(tolerations=[{"key": "dedicated", "value": "vision"}]), 1, [node(taints=[TAINT])], None),
        (asking(tolerations=[{"key": "dedicated", "value": "speech"}]), 1, [node(taints=[TAINT])], "taint"),
        (asking(tolerations=[{"operator": "Exists"}]), 1, [node(taints=[TAINT])], None),
        (asking(nodeSelector={"zone": "a"}), 1, [node(labels={"zone": "b"})], "no-node-matches"),
        (asking(nodeSelector={"zone": "a"}), 1, [node(labels={"zone": "a"})], None),
        (asking(nodeSelector={"z": "a"}), 1, [node("s", labels={"z": "a"}, allocatable={"cpu": "0.5"}), node()], "above-every-node"),
        (asking(), 1, [], "no-node"),
    ],
)  # fmt: skip
def test_why_no_node_takes_a_gang(spec: Any, replicas: int, nodes: list[Any], key: str | None) -> None:
    *_, found = check_nodes(gang(spec, replicas), nodes)
    assert found.key == (key or "ok")


@pytest.mark.parametrize(
    ("operator", "values", "fits"),
    [
        ("In", ["a", "b"], True),
        ("NotIn", ["a"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
        ("Gt", ["x"], False),
    ],
)
def test_node_affinity_is_judged_as_the_scheduler_does(operator: str, values: list[str], fits: bool) -> None:
    terms = [{"matchExpressions": [{"key": "zone", "operator": operator, "values": values}]}]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    spec = asking(affinity={"nodeAffinity": required})
    assert (check_nodes(gang(spec), [node(labels={"zone": "a"})])[-1].severity == "ok") == fits


def test_the_documentation_has_every_cause() -> None:
    sources = [path.read_text() for path in Path(diagnosis.__file__).parent.glob("*.py")]
    keys = {
        key
        for source in sources
        for key in re.findall(r'\b(?:problem|warning|waiting|info|_plain|_missing)\(\s*"([a-z-]+)"', source)
    }
    documented = (ROOT / "docs/following.md").read_text() + (ROOT / "docs/doctor.md").read_text()
    assert len(keys) > 80
    missing = [key for key in sorted(keys) if f"`{key}`" not in documented]
    assert not missing, f"add to a row of docs/doctor.md or docs/following.md: {missing}"


# -- half empty objects


def thinned(value: Any, chance: random.Random) -> Any:
    """Without some of its fields, and with some that are not what they should be."""
    if chance.random() < 0.04:
        return chance.choice([None, "", 0, [], {}, "x", True, [None], {"": None}])
    if isinstance(value, dict):
        return {key: thinned(one, chance) for key, one in value.items() if chance.random() > 0.08}
    return [thinned(one, chance) for one in value] if isinstance(value, list) else value


@pytest.mark.lab
@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(CASES), seed=st.integers(0, 2**32))
def test_objects_that_lack_anything_give_less_words_and_no_error(name: str, seed: int) -> None:
    chance, case = random.Random(seed), captured(name)
    job = thinned(case["job"], chance)
    job = job if isinstance(job, dict) else {}
    pods = [pod for pod in (thinned(pod, chance) for pod in case["pods"]) if isinstance(pod, dict)]
    run = state.snapshot_of(job, pods)
    events = [event for event in (thinned(event, chance) for event in case["events"]) if isinstance(event, dict)]
    group, queue, *nodes = (
        one if isinstance(one, dict) else {}
        for one in (thinned(one, chance) for one in (case["group"], case["queue"], *case["nodes"]))
    )
    found = Facts(
        now=NOW,
        groups=(group,) if group else (),
        queues=(queue,) if queue else (),
        job_events=tuple(events),
        group_events=tuple(events),
        pod_events=tuple(events),
        quotas=tuple(one for one in (thinned(one, chance) for one in case["quotas"]) if isinstance(one, dict)),
        nodes=tuple(nodes),
        claim=case["claims"][0] if case["claims"] else None,
    )
    for one in state.State:
        shown = state.Snapshot(**{**vars(run), "state": one})
        facts.needs_nodes(shown)
        facts.suspected_claim(shown)
        causes = diagnosis.explain(shown, found)
        lines(Status(shown, None, tuple(causes)), NOW)
        status.as_object(Status(shown, None, tuple(causes)))
