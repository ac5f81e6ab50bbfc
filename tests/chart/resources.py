"""Requests and limits, and whether Kubernetes takes a pod with them: e2e/test_admission.py asks the API server."""

from __future__ import annotations

from trainchart.files import Tree

MEMORY: Tree = {"memory": "8Gi"}

RESOURCES: dict[str, tuple[Tree, Tree, bool]] = {
    "an extended resource": ({}, {"rdma/hca": 1}, True),
    "one as text": ({}, {"vpc.amazonaws.com/efa": "4"}, True),
    "one in thousands": ({}, {"example.com/units": "8k"}, True),
    "one in thousandths that are whole": ({}, {"example.com/units": "2000m"}, True),
    "none of one": ({}, {"rdma/hca": "0"}, True),
    "half of one": ({}, {"rdma/hca": 0.5}, False),
    "thousandths of one": ({}, {"rdma/hca": "500m"}, False),
    "one and a half thousandths": ({}, {"rdma/hca": "1.5"}, False),
    "a request that is the limit": ({"rdma/hca": 1}, {"rdma/hca": 1}, True),
    "a request that is the limit in other units": ({"rdma/hca": "1k"}, {"rdma/hca": 1000}, True),
    "a request below the limit": ({"rdma/hca": 1}, {"rdma/hca": 2}, False),
    "a request above the limit": ({"rdma/hca": 2}, {"rdma/hca": 1}, False),
    "a request without a limit": ({"rdma/hca": 1}, {}, False),
    "a name with capitals": ({}, {"openshift.io/Mlnx_NICs.1": 1}, True),
    "the longest domain": ({}, {f"{'a.' * 121}bb/c": 1}, True),
    "a domain that is too long": ({}, {f"{'a.' * 122}b/c": 1}, False),
    "a name that begins like a quota's": ({}, {"requests.example.com/a": 1}, False),
    "storage": ({"ephemeral-storage": "1Gi"}, {"ephemeral-storage": "20Gi"}, True),
    "storage that is only requested": ({"ephemeral-storage": "1Gi"}, {}, True),
    "more storage than the limit": ({"ephemeral-storage": "21Gi"}, {"ephemeral-storage": "20Gi"}, False),
    "huge pages": ({}, {**MEMORY, "hugepages-2Mi": "512Mi"}, True),
    "huge pages of two sizes": ({}, {**MEMORY, "hugepages-2Mi": "4Mi", "hugepages-1Gi": "1Gi"}, True),
    "huge pages with requested memory": (MEMORY, {"hugepages-2Mi": "4194304"}, True),
    "huge pages with CPU": ({"cpu": "1"}, {"hugepages-2Mi": "4Mi"}, True),
    "huge pages alone": ({}, {"hugepages-2Mi": "4Mi"}, False),
    "a part of a huge page": ({}, {**MEMORY, "hugepages-2Mi": "3Mi"}, False),
    "a byte more than a huge page": ({}, {**MEMORY, "hugepages-2Mi": 2097153}, False),
    "huge pages without a limit": ({**MEMORY, "hugepages-2Mi": "4Mi"}, {}, False),
    "huge pages with another request": ({"hugepages-2Mi": "2Mi"}, {**MEMORY, "hugepages-2Mi": "4Mi"}, False),
    "huge pages of a size in bytes": ({}, {**MEMORY, "hugepages-64Ki": "128Ki"}, True),
}
