"""All checks together, against an API server of the test's own: rights that are lacking, repeated causes, and secrets."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.checks.cluster import CANARY, CODED, ROOT, quota, run, stocked
from tests.fakes.api import FakeApi
from trainchart.checks.doctor import examine
from trainchart.checks.finding import Finding
from trainchart.checks.reader import ClusterReader, Secret
from trainchart.checks.run_spec import RunSpec
from trainchart.cli import doctor as command
from trainchart.cli import main as cli
from trainchart.cluster import kinds
from trainchart.cluster.errors import ForbiddenError, RefusedError, UnauthorizedError, UnreachableError


def found(server: FakeApi, ask: RunSpec | None = None, **options: Any) -> list[Finding]:
    return list(examine(server, ask or run(), **options))  # type: ignore[arg-type]


def problems(checks: list[Finding]) -> list[str]:
    return [check.text for check in checks if check.severity == "problem"]


def test_a_run_for_which_all_is_there_has_only_good_lines() -> None:
    checks = found(stocked(FakeApi()))
    assert {check.severity for check in checks} == {"ok"}, checks


def test_hyper_nodes_are_looked_for_where_the_run_asks_for_their_topology() -> None:
    checks = found(stocked(FakeApi()), run(networkTopology={"mode": "soft"}))
    (told,) = [check for check in checks if check.severity != "ok"]
    assert (told.key, told.severity) == ("no-hypernode", "warning")


def test_nothing_is_asked_twice() -> None:
    server = stocked(FakeApi())
    found(server)
    assert server.calls == 24
    quick = stocked(FakeApi())
    found(quick, quick=True)
    assert quick.calls == 13


@pytest.mark.parametrize(
    "kind", ["queues", "nodes", "secrets", "configmaps", "resourcequotas", "limitranges", "namespaces"]
)
def test_a_right_that_is_lacking_makes_one_check_not_checked_and_hides_no_other(kind: str) -> None:
    server = stocked(FakeApi())
    server.forbidden = {kind}
    checks = found(server)
    unknown = [check for check in checks if check.severity == "not-checked"]
    assert unknown
    assert all(kind in check.text and " has it (trainchart docs rights)" in check.fix for check in unknown)
    assert problems(checks) == []
    assert len(checks) >= 13


def test_no_value_of_a_secret_is_printed_or_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = stocked(FakeApi())
    monkeypatch.setattr(command, "connect", lambda _: server)
    files = ("values/custom.yaml", "values/accelerators/cpu.yaml", "e2e/values/custom.yaml")
    arguments = [word for file in files for word in ("-f", file)]
    assert cli.main(["doctor", *arguments]) == 0
    assert cli.main(["doctor", *arguments, "--output", "json"]) == 0
    server.there[kinds.SECRETS][0]["data"] = {"other": CODED}
    assert cli.main(["doctor", *arguments, "--output", "json"]) == 8
    printed = capsys.readouterr()
    assert "it has other" in printed.out
    assert CANARY not in printed.out + printed.err
    assert CODED not in printed.out + printed.err
    look = ClusterReader(server)  # type: ignore[arg-type]
    assert look.secret("git-credentials") == Secret("Opaque", frozenset({"other"}))
    assert CODED not in repr(look)


def test_one_cause_is_told_once() -> None:
    server = stocked(FakeApi())
    refusal = 'admission webhook "validatejob.volcano.sh" denied the request: unable to find job queue: queue "nope" not found;'
    server.refused = {kinds.JOBS: RefusedError(refusal)}
    assert problems(found(server, run(queue="nope"))) == ["queue nope does not exist"]
    server.forbidden = {"queues"}
    assert problems(found(server, run(queue="nope"))) == ["Job run-42 would be refused: queue nope does not exist"]


def test_a_priority_class_that_is_missing_hides_nothing_else_of_a_pod() -> None:
    class Admitting(FakeApi):
        def create(self, kind: Any, body: Any, *, dry_run: bool = False) -> Any:
            if kind is kinds.PODS and "priorityClassName" in body["spec"]:
                raise RefusedError('pods "a" is forbidden: no PriorityClass with name nope was found')
            return super().create(kind, body, dry_run=dry_run)

    checks = found(stocked(Admitting()), run(priorityClassName="nope"))
    assert [check.key for check in checks if check.severity == "problem"] == ["priority-class"]
    assert any(check.subject == "a pod of the gang" and check.severity == "ok" for check in checks)


def test_a_runtime_class_that_is_missing_hides_nothing_else_of_a_pod() -> None:
    class Admitting(FakeApi):
        def create(self, kind: Any, body: Any, *, dry_run: bool = False) -> Any:
            if kind is kinds.PODS and "runtimeClassName" in body["spec"]:
                raise RefusedError('pods "a" is forbidden: pod rejected: RuntimeClass "nope" not found')
            if kind is kinds.PODS:
                raise RefusedError('pods "a" is forbidden: violates PodSecurity "restricted:latest": hostPath volumes')
            return super().create(kind, body, dry_run=dry_run)

    checks = found(stocked(Admitting()), run(runtimeClassName="nope"))
    assert [check.key for check in checks if check.severity == "problem"] == ["runtime-class", "pod-security"]


def test_huge_pages_that_no_node_has_are_told_with_the_key_that_asks_for_them() -> None:
    (told,) = [
        check
        for check in found(stocked(FakeApi()), run(resources={"limits": {"hugepages-2Mi": "64Mi"}}))
        if check.severity == "problem"
    ]
    assert (told.key, told.fix.partition(",")[0]) == ("above-every-node", "lower resources.limits.hugepages-2Mi")


def test_an_account_that_may_read_one_queue_alone_is_told_about_it() -> None:
    server = stocked(FakeApi())
    server.forbidden = {"list queues.scheduling.volcano.sh"}
    [finding] = [one for one in found(server) if one.subject == "queue default"]
    assert (finding.severity, finding.text) == ("ok", "queue default is open and takes cpu 50m, memory 128Mi")


def test_a_policy_that_the_account_may_not_make_is_a_problem() -> None:
    server = stocked(FakeApi())
    server.forbidden = {"networkpolicies"}
    refused = "this account has no permission to create networkpolicies in namespace training"
    assert problems(found(server)) == [f"NetworkPolicy run-42-run would be refused: {refused}"]
    assert problems(found(server, run(networkPolicy={"enabled": False}))) == []


def test_a_webhook_that_is_down_is_told_once_and_ends_nothing() -> None:
    server = stocked(FakeApi())
    down = 'Internal error occurred: failed calling webhook "validatejob.volcano.sh": connection refused'
    server.refused = {kinds.JOBS: UnreachableError(down), kinds.PODS: UnreachableError(down)}
    assert len(problems(found(server))) == 1


def test_a_quota_that_is_full_now_makes_the_run_wait_and_is_no_problem() -> None:
    server = stocked(FakeApi())
    said = 'pods "a" is forbidden: exceeded quota: tight, requested: pods=1, used: pods=2, limited: pods=2'
    server.refused = {kinds.PODS: RefusedError(said)}
    server.forbidden = {"resourcequotas"}
    checks = found(server)
    assert problems(checks) == []
    [check] = [check for check in checks if check.key == "quota"]
    assert (check.severity, check.subject) == ("waiting", "a pod of the gang")
    assert "would be refused: ResourceQuota tight has no room for it now" in check.text


def test_where_discovery_is_restricted_the_rest_is_looked_at() -> None:
    class Closed(FakeApi):
        def raw(self, path: str) -> Any:
            raise ForbiddenError(f"no permission to get {path}")

    checks = found(stocked(Closed()))
    assert [check.subject for check in checks if check.severity == "not-checked"] == ["API server", "Volcano"]
    assert len(checks) > 10


def test_without_volcano_the_rest_is_looked_at() -> None:
    server = stocked(FakeApi())
    server.missing_groups = {"batch.volcano.sh", "scheduling.volcano.sh", "bus.volcano.sh"}
    assert any("the API server knows no jobs.batch.volcano.sh" in line for line in problems(found(server)))


def test_in_a_namespace_that_is_not_there_nothing_more_is_looked_for() -> None:
    server = stocked(FakeApi())
    server.there[kinds.NAMESPACES] = []
    checks = found(server)
    assert problems(checks) == ["namespace training does not exist"]
    assert checks[-1].subject == "namespace training"


def test_an_authorizer_that_cannot_list_its_rules_is_asked_about_each() -> None:
    server = stocked(FakeApi())
    server.rules = {"resourceRules": [], "incomplete": True}
    server.forbidden = {"create commands.bus.volcano.sh"}
    check = next(check for check in found(server) if check.subject == "rights in training")
    assert (check.severity, check.text) == (
        "warning",
        "this account has no permission in training to create commands (stop, submit --on-signal stop, guard)",
    )


@pytest.mark.parametrize("error", [UnauthorizedError("log in again"), UnreachableError("away")])
def test_where_nothing_can_be_asked_nothing_is_judged(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: str) -> Any:
        raise error

    server = stocked(FakeApi())
    monkeypatch.setattr(server, "raw", away)
    with pytest.raises(type(error)):
        found(server)


def test_json_is_stable(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "connect", lambda _: stocked(FakeApi()))
    assert cli.main(["doctor", "--output", "json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report.keys() == {"ok", "findings", "calls"}
    assert report["findings"][0] == {
        "key": "ok",
        "severity": "ok",
        "subject": "API server",
        "text": "Kubernetes 1.35.3 runs at https://cluster.example",
        "fix": "",
        "details": "",
    }


def test_a_name_belongs_to_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--name", "run-42"]) == 2
    assert "--name needs the values of the run; name its files by -f" in capsys.readouterr().err


def test_without_a_name_none_is_tried_that_a_run_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    monkeypatch.setattr(command, "connect", lambda _: stocked(FakeApi()))
    monkeypatch.setattr(command, "valid_run_spec", lambda *_, name, namespace: names.append(name))
    assert cli.main(["doctor", "-f", "values/yolov5.yaml"]) == 2
    assert cli.main(["doctor", "--family", "yolov5", "--param", "REPLICAS=2"]) == 2
    assert names == ["trainchart-doctor"] * 2


def test_values_of_the_command_line_are_those_of_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "connect", lambda _: stocked(FakeApi()))
    files = ["-f", str(ROOT / "values/custom.yaml"), "-f", str(ROOT / "values/accelerators/cpu.yaml")]
    assert cli.main(["doctor", *files, "--param", "GIT_CREDENTIAL_SECRET_NAME=nowhere"]) == 8
    assert "Secret nowhere does not exist" in capsys.readouterr().out
    assert cli.main(["doctor", *files, "--param", "REPLICAS=x", "--set", "queue"]) == 2
    error = capsys.readouterr().err
    assert "--param REPLICAS: error: 'x' is not a whole number" in error
    assert """--set: error: 'queue': key "queue" has no value""" in error


def test_a_claim_of_the_default_class_counts_for_the_quota_of_that_class() -> None:
    server = stocked(FakeApi())
    server.put(kinds.RESOURCE_QUOTAS, quota({"standard.storageclass.storage.k8s.io/requests.storage": "1Gi"}))
    (told,) = [
        check for check in found(server, run(workspace={"type": "ephemeral", "size": "2Gi"})) if check.key == "quota"
    ]
    assert "needs standard.storageclass.storage.k8s.io/requests.storage 2Gi, and 1Gi is allowed" in told.text
    assert problems(found(server)) == []


INJECTED = {
    "native": ({"initContainers": [{"name": "vault", "restartPolicy": "Always"}]}, {}, [("ok", "vault")]),
    "no sidecar": ({"initContainers": [{"name": "istio-init"}]}, {}, []),
    "ended by the run": ({"containers": [{"name": "istio-proxy"}]}, {"sidecars": "allow"}, [("ok", "istio-proxy")]),
    "could be ended": ({"containers": [{"name": "linkerd-proxy"}]}, {}, [("warning", "set sidecars: allow")]),
    "unknown": ({"containers": [{"name": "aaa"}]}, {"sidecars": "allow"}, [("warning", "podAnnotations")]),
    "first by name": (
        {"containers": [{"name": "0"}]},
        {},
        [("warning", "never finishes"), ("warning", "whose exit code Volcano would take")],
    ),
}


class Admitting(FakeApi):
    """Adds to the spec of a pod what a test wants it to."""

    added: dict[str, Any]

    def create(self, kind: kinds.Kind, body: dict[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        made = copy.deepcopy(super().create(kind, body, dry_run=dry_run))
        if kind is kinds.PODS:
            for key, value in self.added.items():
                made["spec"][key] = [*value, *made["spec"].get(key, [])] if isinstance(value, list) else value
        return made


def admitting(**added: Any) -> FakeApi:
    server = stocked(Admitting())
    server.added = added  # type: ignore[attr-defined]
    return server


def test_what_a_runtime_class_adds_to_a_pod_counts_for_nodes_and_quotas() -> None:
    """Its admission plugin writes them into the pod."""
    checks = found(admitting(nodeSelector={"runtime": "kata"}))
    assert any("runtime=kata" in text for text in problems(checks)), problems(checks)
    server = admitting(overhead={"memory": "100Gi"})
    server.put(kinds.RESOURCE_QUOTAS, quota({"requests.memory": "50Gi"}))
    keys = {check.key for check in found(server) if check.severity == "problem"}
    assert keys == {"above-every-node", "quota"}


@pytest.mark.parametrize(("added", "values", "expected"), INJECTED.values(), ids=INJECTED)
def test_what_webhooks_inject_is_told_from_the_dry_run_of_a_pod(
    added: dict[str, Any], values: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    told = [check for check in found(admitting(**added), run(**values)) if check.subject == "sidecars"]
    assert len(told) == len(expected)
    for check, (severity, words) in zip(told, expected, strict=True):
        assert (check.severity, words in f"{check.text}; {check.fix}") == (severity, True), check
