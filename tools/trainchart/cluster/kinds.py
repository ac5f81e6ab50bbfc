"""The kinds of objects that trainchart uses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A resource as RBAC names it: its plural, and its API group, which is empty for the core."""

    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


JOBS = Kind("jobs", "batch.volcano.sh", "v1alpha1")
COMMANDS = Kind("commands", "bus.volcano.sh", "v1alpha1")
POD_GROUPS = Kind("podgroups", "scheduling.volcano.sh", "v1beta1")
QUEUES = Kind("queues", "scheduling.volcano.sh", "v1beta1", namespaced=False)
HYPER_NODES = Kind("hypernodes", "topology.volcano.sh", "v1alpha1", namespaced=False)
PODS = Kind("pods")
EVENTS = Kind("events")
CONFIG_MAPS = Kind("configmaps")
SECRETS = Kind("secrets")
SERVICE_ACCOUNTS = Kind("serviceaccounts")
SERVICES = Kind("services")
CLAIMS = Kind("persistentvolumeclaims")
RESOURCE_QUOTAS = Kind("resourcequotas")
LIMIT_RANGES = Kind("limitranges")
NAMESPACES = Kind("namespaces", namespaced=False)
NODES = Kind("nodes", namespaced=False)
STORAGE_CLASSES = Kind("storageclasses", "storage.k8s.io", namespaced=False)
PRIORITY_CLASSES = Kind("priorityclasses", "scheduling.k8s.io", namespaced=False)
DEVICE_CLASSES = Kind("deviceclasses", "resource.k8s.io", namespaced=False)
CLAIM_TEMPLATES = Kind("resourceclaimtemplates", "resource.k8s.io")
NETWORK_POLICIES = Kind("networkpolicies", "networking.k8s.io")
ACCESS_REVIEWS = Kind("selfsubjectaccessreviews", "authorization.k8s.io", namespaced=False)
RULES_REVIEWS = Kind("selfsubjectrulesreviews", "authorization.k8s.io", namespaced=False)
