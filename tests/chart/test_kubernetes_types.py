"""The parts of Kubernetes objects that values hand on are written out as Kubernetes publishes them, and are refused as it refuses them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.schemas import PUBLISHED
from tests.values.test_parity import SCHEMA
from trainchart.chart.paths import CHART
from trainchart.files import Tree
from trainchart.values.schema_errors import violations

DEFINITIONS: Tree = json.loads((PUBLISHED / "_definitions.json").read_text(encoding="utf-8"))["$defs"]
ROOTS = {
    "Affinity": "io.k8s.api.core.v1.Affinity",
    "Toleration": "io.k8s.api.core.v1.Toleration",
    "Egress": "io.k8s.api.networking.v1.NetworkPolicyEgressRule",
}


def resolved(node: Tree, definitions: Tree) -> Tree:
    (node,) = [part for part in node.get("anyOf", [node]) if "$ref" in part or part is node]
    return definitions[node["$ref"].rpartition("/")[2]] if "$ref" in node else node


def compared(ours: Tree, theirs: Tree, path: str) -> Iterator[tuple[str, Any, Any]]:
    """What there is at every depth: fields, and which of them are required."""
    ours, theirs = resolved(ours, SCHEMA["$defs"]), resolved(theirs, DEFINITIONS)
    if "properties" in theirs:
        yield f"{path}: fields", set(ours["properties"]), set(theirs["properties"])
        yield f"{path}: required", set(theirs.get("required", ())) - set(ours.get("required", ())), set()
        for field, below in theirs["properties"].items():
            yield from compared(ours["properties"][field], below, f"{path}.{field}")
    elif "items" in theirs:
        yield from compared(ours["items"], theirs["items"], f"{path}[]")


@pytest.mark.parametrize("name", ROOTS)
def test_every_field_of_kubernetes_is_there_and_no_other(name: str) -> None:
    found = list(compared({"$ref": f"#/$defs/{name}"}, {"$ref": f"#/$defs/{ROOTS[name]}"}, name))
    assert len(found) > 1
    assert [(path, ours, theirs) for path, ours, theirs in found if ours != theirs] == []


SELECTOR = {
    "matchLabels": {"app.kubernetes.io/name": "a", "b": ""},
    "matchExpressions": [
        {"key": "a", "operator": "In", "values": ["x", ""]},
        {"key": "a", "operator": "NotIn", "values": ["x"]},
        {"key": "a.b/c_d.e", "operator": "Exists"},
        {"key": "a", "operator": "DoesNotExist", "values": []},
    ],
}
POD_TERM = {
    "topologyKey": "kubernetes.io/hostname",
    "labelSelector": SELECTOR,
    "namespaces": ["a", "team-b"],
    "namespaceSelector": {},
    "matchLabelKeys": ["pod-template-hash"],
    "mismatchLabelKeys": ["tenant"],
}
NODE_TERM = {
    "matchExpressions": [
        {"key": "gpus", "operator": "Gt", "values": ["4"]},
        {"key": "gpus", "operator": "Lt", "values": ["16"]},
        {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a", "b"]},
        {"key": "node-role.kubernetes.io/control-plane", "operator": "DoesNotExist"},
    ],
    "matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["node-1.example.com"]}],
}
REQUIRED, PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
PODS = {REQUIRED: [POD_TERM], PREFERRED: [{"weight": 1, "podAffinityTerm": POD_TERM}]}
LEGAL: Tree = {
    "affinity": {
        "nodeAffinity": {
            REQUIRED: {"nodeSelectorTerms": [NODE_TERM, {}]},
            PREFERRED: [{"weight": 100, "preference": NODE_TERM}],
        },
        "podAffinity": PODS,
        "podAntiAffinity": PODS,
    },
    "tolerations": [
        {"operator": "Exists"},
        {"key": "", "operator": "Exists", "effect": "", "value": ""},
        {"key": "nvidia.com/gpu"},
        {"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute", "tolerationSeconds": -1},
        {"key": "a", "operator": "", "value": "", "effect": "PreferNoSchedule"},
        {"key": "a", "effect": "NoSchedule"},
    ],
    "networkPolicy": {
        "enabled": True,
        "egress": [
            {},
            {"to": [], "ports": []},
            {
                "to": [
                    {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.2.3.4/32"]}},
                    {"ipBlock": {"cidr": "0.0.0.0/0"}},
                    {"ipBlock": {"cidr": "2001:db8::/32", "except": ["2001:db8:1::/48"]}},
                    {"ipBlock": {"cidr": "::/0"}},
                    {"podSelector": {}},
                    {"podSelector": SELECTOR, "namespaceSelector": SELECTOR},
                ],
                "ports": [
                    {"port": 443},
                    {"protocol": "UDP", "port": 53},
                    {"protocol": "SCTP"},
                    {"port": "https-alt"},
                    {"protocol": "TCP", "port": 30000, "endPort": 32767},
                    {},
                ],
            },
        ],
    },
}


def test_what_is_legal_is_allowed() -> None:
    assert violations(LEGAL, CHART / "values.schema.json") == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("tolerations", 0, "key"), "a b"),
        (("tolerations", 0, "value"), "a" * 64),
        (("tolerations", 0, "tolerationSeconds"), "5"),
        (("tolerations", 0, "tolerationSeconds"), 2**63 - 1),
        (("affinity", "nodeAffinity", PREFERRED, 0, "weight"), 101),
        (("affinity", "podAffinity", REQUIRED, 0, "topologyKey"), ""),
        (("affinity", "podAffinity", REQUIRED, 0, "namespaces", 0), "a.b"),
        (("affinity", "podAffinity", REQUIRED, 0, "labelSelector", "matchLabels", "a"), "b c"),
        (("affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms", 0, "matchFields", 0, "key"), "metadata.uid"),
        (("networkPolicy", "egress", 2, "to", 0, "ipBlock", "cidr"), "10.0.0.256/8"),
        (("networkPolicy", "egress", 2, "to", 0, "ipBlock", "cidr"), "1:2:3:4:5:6:7::1:2/64"),
        (("networkPolicy", "egress", 2, "to", 0, "ipBlock", "cidr"), "1:2:3:4::5:6:7:8/64"),
        (("networkPolicy", "egress", 2, "to", 0, "ipBlock", "cidr"), "10.0.0.0/33"),
        (("networkPolicy", "egress", 2, "ports", 0, "port"), 65536),
        (("networkPolicy", "egress", 2, "ports", 0, "port"), "443"),
        (("networkPolicy", "egress", 2, "ports", 0, "port"), "much-too-long-name"),
        (("networkPolicy", "egress", 2, "ports", 0, "protocol"), "tcp"),
    ],
)
def test_what_the_api_server_would_refuse_is_refused(path: tuple[str | int, ...], value: object) -> None:
    broken: Any = json.loads(json.dumps(LEGAL))
    below = broken
    for key in path[:-1]:
        below = below[key]
    below[path[-1]] = value
    (violation,) = violations(broken, CHART / "values.schema.json")
    assert violation.path == path
