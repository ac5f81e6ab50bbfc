"""Whether there is a place for the gang: nodes, queues, and what the namespace lets it ask for."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.checks.cluster import captured, node, queue, quota, requesting, run
from trainchart.checks.finding import Finding
from trainchart.checks.limit_range import check_limit_ranges
from trainchart.checks.nodes import check_network_topology, check_nodes
from trainchart.checks.queue import check_guarantees, check_queue
from trainchart.checks.quota import check_quota
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster.quantities import of_pod

GPU = {"profile": "nvidia", "count": 2}


def on_nodes(ask: RunSpec, *nodes: Any, pods: list[Any] | None = None) -> list[tuple[str, str]]:
    findings = check_nodes(ask, nodes, pods or [])
    return [(finding.severity, finding.text) for finding in findings]


# -- nodes


def test_the_real_node_takes_the_small_run_beside_what_runs_there() -> None:
    [(severity, text)] = on_nodes(run(), *captured("nodes"), pods=captured("pods"))
    assert severity == "ok"
    assert text.startswith("trainchart-control-plane could take ")


def test_without_a_right_to_see_pods_nodes_count_as_empty_and_the_line_says_so() -> None:
    ask = run()
    [check] = check_nodes(ask, captured("nodes"))
    assert check.text == "trainchart-control-plane could take 40: room for 40 pods while they are empty"


def test_the_best_nodes_are_named_with_their_number_of_pods() -> None:
    ask = run(accelerator=GPU, replicas=3)
    nodes = [node("small", nvidia_com__gpu="2"), node("large", nvidia_com__gpu="8")]
    assert on_nodes(ask, *nodes) == [
        ("ok", "nodes have nvidia.com/gpu"),
        ("ok", "large could take 4, small could take 1: room for 5 pods now, 3 needed"),
    ]


def test_a_resource_that_no_node_has_is_told_beside_devices_that_nodes_have() -> None:
    """It is no part of them, as memory and cores of HAMi's devices are."""
    ask = run(accelerator=GPU, resources={"limits": {"rdma/hca": 1}})
    [(severity, text)] = on_nodes(ask, node(nvidia_com__gpu="2"))
    lacks = "no node has rdma/hca, of which each pod requests 1; nodes have nvidia.com/gpu"
    assert (severity, text) == ("problem", lacks)
    assert on_nodes(ask, node(nvidia_com__gpu="2", rdma__hca="1"))[0] == ("ok", "nodes have nvidia.com/gpu, rdma/hca")


def test_huge_pages_that_no_node_has_reserved_are_told() -> None:
    ask = run(resources={"limits": {"memory": "8Gi", "hugepages-2Mi": "1Gi"}})
    [(severity, text)] = on_nodes(ask, node())
    assert severity == "problem"
    assert text.startswith("each pod requests hugepages-2Mi 1Gi, and the largest node (")


@pytest.mark.parametrize(
    ("topology", "tiers", "key"),
    [
        ({"mode": "soft"}, {}, "no-hypernode"),
        ({"mode": "soft"}, {2: "rack"}, "ok"),
        ({"mode": "hard", "highestTierAllowed": 1}, {2: "rack"}, "no-hypernode-tier"),
        ({"mode": "hard", "highestTierAllowed": 2}, {2: "rack", 3: "row"}, "ok"),
        ({"mode": "hard", "highestTierName": "row"}, {2: "rack"}, "no-hypernode-tier"),
        ({"mode": "hard", "highestTierName": "rack"}, {2: "rack"}, "ok"),
    ],
)
def test_hyper_nodes_have_a_tier_that_the_run_allows(topology: Any, tiers: dict[int, str], key: str) -> None:
    found = [{"spec": {"tier": tier, "tierName": name}} for tier, name in tiers.items()]
    assert check_network_topology(run(networkTopology=topology), found).key == key


def test_devices_that_others_hold_make_the_run_wait() -> None:
    held = {
        "metadata": {"name": "other"},
        "spec": {"nodeName": "n1", "containers": [{"resources": {"limits": {"nvidia.com/gpu": "3"}}}]},
    }
    [_, waits] = on_nodes(run(accelerator=GPU), node(nvidia_com__gpu="4"), pods=[held])
    assert waits == (
        "waiting",
        "the nodes are large enough, but take 0 of 1 pod now: "
        "each pod requests nvidia.com/gpu 2, at most 1 is free on a node",
    )


def test_a_device_that_no_node_offers_is_told_with_those_that_there_are() -> None:
    [(severity, text)] = on_nodes(run(accelerator=GPU), node(amd_com__gpu="8"))
    assert severity == "problem"
    assert text == "no node has nvidia.com/gpu, of which each pod requests 2; nodes have amd.com/gpu"


def test_a_part_of_a_device_that_nodes_do_not_list_is_doubtful_and_no_more() -> None:
    shared = run(accelerator={"profile": "hami-alauda", "count": 1, "corePercent": 50, "memory": "4Gi"})
    checks = on_nodes(shared, node(nvidia_com__gpualloc="10"))
    assert checks[0][0] == "warning"
    assert "no node lists nvidia.com/gpucores, nvidia.com/gpumem" in checks[0][1]
    assert checks[1][0] == "ok"


def test_a_request_above_every_node_names_the_resource_and_the_largest_node() -> None:
    ask = run(resources={"requests": {"cpu": 3}, "limits": {"cpu": 4}})
    assert on_nodes(ask, node("a"), node("b", cpu="2500m")) == [
        ("problem", "each pod requests cpu 3, and the largest node (b) has 2500m")
    ]


def test_nodes_that_each_lack_something_else_are_told_so() -> None:
    ask = run(resources={"requests": {"cpu": 3, "memory": "4Gi"}, "limits": {"cpu": 4, "memory": "8Gi"}})
    [(severity, text)] = on_nodes(ask, node("a", cpu="8", memory="1Gi"), node("b", cpu="1", memory="16Gi"))
    assert severity == "problem"
    assert text == (
        "of the 2 nodes that the run may go to, none is large enough: none has all of cpu 3, memory 4Gi at once"
    )


def test_a_gang_that_does_not_fit_even_into_an_empty_cluster_is_a_problem() -> None:
    [(severity, text)] = on_nodes(run(replicas=50), node())
    assert severity == "problem"
    assert "the gang is 50 pods of cpu 50m, memory 128Mi; all nodes together take 40 of them" in text


TAINT = {"key": "gpu", "value": "true", "effect": "NoSchedule"}


def test_taints_are_told_unless_they_are_tolerated() -> None:
    tainted = node(taints=[TAINT])
    text = "1 node could take the pods, but for taints that they do not tolerate: gpu=true:NoSchedule"
    assert on_nodes(run(), tainted) == [("problem", text)]
    for toleration in (
        {"key": "gpu", "operator": "Exists"},
        {"key": "gpu", "value": "true", "effect": "NoSchedule"},
        {"operator": "Exists"},
    ):
        assert on_nodes(run(tolerations=[toleration]), tainted)[0][0] == "ok"
    assert on_nodes(run(tolerations=[{"key": "gpu", "value": "no"}]), tainted)[0][0] == "problem"
    assert on_nodes(run(), node(taints=[{**TAINT, "effect": "PreferNoSchedule"}]))[0][0] == "ok"


def test_labels_that_no_node_has_are_told() -> None:
    text = "no node has the label disk=fast of nodeSelector; no node has the label disk at all"
    assert on_nodes(run(nodeSelector={"disk": "fast"}), node()) == [("problem", text)]
    assert on_nodes(run(nodeSelector={"disk": "fast"}), node(labels={"disk": "fast"}))[0][0] == "ok"


@pytest.mark.parametrize(
    ("expression", "fits"),
    [
        ({"key": "zone", "operator": "In", "values": ["a", "b"]}, True),
        ({"key": "zone", "operator": "NotIn", "values": ["a"]}, False),
        ({"key": "zone", "operator": "Exists"}, True),
        ({"key": "zone", "operator": "DoesNotExist"}, False),
        ({"key": "cards", "operator": "Gt", "values": ["4"]}, True),
        ({"key": "cards", "operator": "Lt", "values": ["4"]}, False),
        ({"key": "zone", "operator": "Gt", "values": ["4"]}, False),
    ],
)
def test_required_affinity_is_judged_as_the_scheduler_does(expression: dict[str, Any], fits: bool) -> None:
    required = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    ask = run(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}})
    severity, _ = on_nodes(ask, node(labels={"zone": "a", "cards": "8"}))[0]
    assert severity == ("ok" if fits else "problem")


def test_a_cluster_without_a_ready_node_is_a_problem() -> None:
    cordoned = node()
    cordoned["spec"]["unschedulable"] = True
    assert on_nodes(run(), cordoned) == [("problem", "no node that could take the pods is open: n1 is cordoned")]


# -- queue


def in_queue(name: str, *queues: Any, **gang: str) -> Finding:
    return check_queue(requesting(gang or {"cpu": "1"}, queue=name), queues)


def test_the_real_queue_takes_the_run() -> None:
    check = in_queue("default", *captured("queues"), cpu="8", memory="16Gi")
    assert (check.severity, check.text) == ("ok", "queue default is open and takes cpu 8, memory 16Gi")


@pytest.mark.parametrize("state", ["Closed", "Closing", "", "Unknown"])
def test_a_queue_that_is_not_open_takes_nothing(state: str) -> None:
    check = in_queue("team", queue("team", state), queue("default"))
    assert (check.severity, check.key) == ("problem", "queue-closed")
    assert check.text == f"queue team takes no runs: its state is {state or 'not set yet'}"
    assert check.fix.startswith("name an open one in queue: (default)")


def test_queues_above_others_and_the_root_take_no_runs_themselves() -> None:
    queues = [*captured("queues"), queue("team"), queue("team-a", parent="team")]
    assert in_queue("team", *queues).text == "queue team takes no runs itself: it has queues below it (team-a)"
    assert in_queue("root", *queues).text == "queue root takes no runs itself: it is the root of all queues"


def test_more_than_the_capability_never_fits_and_more_than_is_free_waits() -> None:
    team = queue("team", capability={"cpu": "4", "nvidia.com/gpu": "8"})
    team["status"]["allocated"] = {"cpu": "3", "nvidia.com/gpu": "0"}
    assert in_queue("team", team, cpu="5").severity == "problem"
    waits = in_queue("team", team, cpu="2", memory="900Gi")
    assert waits.severity == "waiting"
    text = "queue team has no room for it now: the gang requests cpu 2, and the queue has left 1 of 4"
    assert waits.text == text
    assert in_queue("team", team, cpu="1").severity == "ok"


def test_the_capability_of_the_queues_above_counts_too() -> None:
    above = queue("team", capability={"cpu": "2"})
    check = in_queue("team-a", above, queue("team-a", parent="team"), cpu="3")
    assert check.severity == "problem"
    assert check.text == "queue team is too small: the gang requests cpu 3, and the queue may have 2"


def test_what_other_queues_are_guaranteed_is_not_there() -> None:
    queues = [queue("default"), queue("first", guarantee={"resource": {"cpu": "1500m"}})]
    [check] = check_guarantees(requesting({"cpu": "1"}), queues, [node()])
    assert check.text == (
        "other queues are guaranteed too much: the gang requests cpu 1, and the cluster has left 500m"
    )
    assert list(check_guarantees(requesting({"cpu": "1"}, queue="first"), queues, [node()])) == []


# -- LimitRange, ResourceQuota


def limits(**limit: Any) -> list[Any]:
    return [{"metadata": {"name": "range"}, "spec": {"limits": [{"type": "Container", **limit}]}}]


def limited(ranges: list[Any], **values: Any) -> Finding:
    return check_limit_ranges(replace(run(**values), limit_ranges=tuple(ranges)))


def test_a_namespace_without_limits_is_fine() -> None:
    assert limited([]).text == "the namespace has no LimitRange"


def test_limits_are_told_in_numbers() -> None:
    assert limited(limits(max={"memory": "1Gi"})).severity == "ok"
    check = limited(limits(min={"cpu": "100m"}, max={"memory": "256Mi"}))
    assert check.text == (
        "a LimitRange of the namespace does not admit it: a container requests cpu 50m and must request 100m at least, "
        "a container has a limit of memory 512Mi where 256Mi is the most"
    )
    assert "more than 4 times" in limited(limits(maxLimitRequestRatio={"cpu": "4"})).text


def test_the_limits_of_claims_count_for_the_workspace() -> None:
    ranges = [
        {"metadata": {"name": "r"}, "spec": {"limits": [{"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]}}
    ]
    check = limited(ranges, workspace={"type": "newClaim", "size": "2Gi"})
    assert check.text.endswith(": a claim has a limit of storage 2Gi where 1Gi is the most")


def test_defaults_of_the_namespace_fill_in_what_the_values_leave_out() -> None:
    ask = run(resources={"requests": None, "limits": None})
    ranges = limits(default={"cpu": "2", "memory": "1Gi"}, defaultRequest={"cpu": "500m"})
    requests, given = of_pod(replace(ask, limit_ranges=tuple(ranges)).pod)
    assert [requests["cpu"], given["cpu"], requests["memory"]] == [Decimal("0.5"), Decimal(2), Decimal(1 << 30)]
    assert of_pod(ask.pod_template) == ({}, {}), "the pod itself is not touched"


def in_quota(made: Any, **values: Any) -> Finding:
    return check_quota(run(**values), made)


def test_a_quota_is_held_against_all_pods_together() -> None:
    hard = {"requests.cpu": "120m", "pods": "5", "limits.memory": "2Gi"}
    assert in_quota(quota(hard), replicas=2).severity == "ok"
    check = in_quota(quota(hard), replicas=3)
    assert check.severity == "problem"
    assert check.text == "ResourceQuota tight is too small: the run needs requests.cpu 150m, and 120m is allowed"
    waits = in_quota(quota(hard, {"requests.cpu": "100m"}))
    assert waits.severity == "waiting"
    assert waits.text.endswith("no room for it now: the run needs requests.cpu 50m, and 20m of 120m is left")


def test_of_a_submitted_run_only_the_missing_pods_are_held_against_what_is_left() -> None:
    used = quota({"requests.cpu": "120m"}, {"requests.cpu": "50m"})
    spec = run(replicas=2)
    assert check_quota(spec, used).severity == "waiting"
    assert check_quota(replace(spec, missing_pods=1), used).severity == "ok"


def test_a_quota_of_objects_that_helm_makes_refuses_at_once() -> None:
    full = quota({"count/jobs.batch.volcano.sh": "3"}, {"count/jobs.batch.volcano.sh": "3"})
    assert in_quota(full).severity == "problem"
    claims = quota({"persistentvolumeclaims": "0"})
    assert in_quota(claims).severity == "ok"
    assert in_quota(claims, workspace={"type": "newClaim"}).severity == "problem"
    of_class = quota({"fast.storageclass.storage.k8s.io/requests.storage": "1Gi"})
    kept = {"type": "newClaim", "size": "2Gi", "storageClassName": "fast"}
    assert "2Gi, and 1Gi is allowed" in in_quota(of_class, workspace=kept).text


def test_claims_that_kubernetes_makes_for_every_pod_are_counted_with_the_pods() -> None:
    scratch = {"name": "scratch", "mountPath": "/scratch", "ephemeral": {"size": "1Gi", "storageClassName": "fast"}}
    gang = {"replicas": 2, "workspace": {"type": "ephemeral", "size": "3Gi"}, "volumes": [scratch]}
    for key, needed in (
        ("requests.storage", "8Gi"),
        ("persistentvolumeclaims", "4"),
        ("count/persistentvolumeclaims", "4"),
        ("fast.storageclass.storage.k8s.io/requests.storage", "2Gi"),
        ("fast.storageclass.storage.k8s.io/persistentvolumeclaims", "2"),
    ):
        assert in_quota(quota({key: needed}), **gang).severity == "ok"
        small = in_quota(quota({key: "1"}), **gang)
        assert (small.severity, f"needs {key} {needed}" in small.text) == ("problem", True), small
        assert in_quota(quota({key: needed}, {key: "1"}), **gang).severity == "waiting"
    by_default = quota({"slow.storageclass.storage.k8s.io/requests.storage": "5Gi"})
    assert in_quota(by_default, **gang).severity == "ok"
    assert check_quota(replace(run(**gang), default_class="slow"), by_default).severity == "problem"


def test_pods_must_say_what_a_quota_counts() -> None:
    check = in_quota(quota({"limits.cpu": "100"}), resources={"limits": {"cpu": None}})
    assert check.severity == "problem"
    assert "counts limits.cpu, which the pods do not set" in check.text


@pytest.mark.parametrize(
    ("scopes", "counts"),
    [
        ({"scopes": ["Terminating"]}, True),  # every pod of the chart has a deadline
        ({"scopes": ["NotTerminating"]}, False),
        ({"scopes": ["BestEffort"]}, False),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]
                }
            },
            True,
        ),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high"]}]
                }
            },
            False,
        ),
    ],
)
def test_only_quotas_of_the_pods_own_scope_count(scopes: dict[str, Any], counts: bool) -> None:
    check = in_quota(quota({"pods": "1"}, **scopes), replicas=2, priorityClassName="high")
    assert check.severity is ("problem" if counts else "ok")


@pytest.mark.parametrize("huge", ["1e30", "1e999"])
def test_a_node_that_claims_to_have_everything_has_room(huge: str) -> None:
    nodes = [node(cpu=huge, memory=huge, pods="10")]
    (found,) = check_nodes(requesting({"cpu": "50m", "memory": "1Gi"}), nodes, [])
    assert found.severity == "ok"


@pytest.mark.parametrize(
    ("term", "counts"),
    [
        ({}, False),
        ({"namespaces": []}, False),
        ({"namespaces": ["other"]}, True),
        ({"namespaceSelector": {}}, True),
    ],
)
@pytest.mark.parametrize("weight", [0, 1])
def test_a_quota_of_affinities_to_other_namespaces_counts_pods_that_have_one(
    term: dict[str, Any], weight: int, counts: bool
) -> None:
    one = {"topologyKey": "zone", **term}
    terms = {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": weight, "podAffinityTerm": one}]}
    affinity = {"podAntiAffinity": terms if weight else {"requiredDuringSchedulingIgnoredDuringExecution": [one]}}
    check = in_quota(quota({"pods": "0"}, scopes=["CrossNamespacePodAffinity"]), affinity=affinity)
    assert check.severity == ("problem" if counts else "ok")


def test_a_scope_that_is_not_known_is_not_judged() -> None:
    check = in_quota(quota({"pods": "1"}, scopes=["VolumeAttributesClass"]))
    assert check.severity == "not-checked"
