"""What a run requests of the cluster, read from its rendered objects or from its Job in the cluster."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from trainchart.cluster.fields import Object, items, mapping, number, parsed, text
from trainchart.cluster.quantities import Amounts, of_pod, pod_requests, times
from trainchart.run.state import Snapshot


@dataclass(frozen=True)
class Keys:
    """Keys that a pod mounts of a Secret or a ConfigMap."""

    name: str
    keys: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()  # those of them that may be missing


@dataclass(frozen=True)
class Claim:
    """A claim that a pod mounts, and that the release does not make."""

    name: str
    read_only: bool = False


@dataclass(frozen=True)
class RunSpec:
    """The objects of a release, without those of `helm test`; of a submitted run its Job alone."""

    name: str
    manifests: tuple[Object, ...]
    namespace: str = "default"
    limit_ranges: tuple[Object, ...] = ()
    """The namespace's, which fill in what the pods leave out."""
    default_class: str = ""
    """The StorageClass of claims that name none, where it is known."""
    missing_pods: int | None = None
    """How many pods of a submitted run do not exist; None where nothing of the run exists yet."""
    admitted: Object = field(default_factory=dict)
    """The spec of a pod as the API server has admitted it in a dry run: with the overhead and node selector of its RuntimeClass,
    and containers that webhooks inject."""
    check_pod: Object = field(default_factory=dict)
    """The pod of `helm test`; of a submitted run it is not known."""

    @cached_property
    def job(self) -> Object:
        return next(
            (item for item in self.manifests if text(item, "apiVersion").startswith("batch.volcano.sh/")),
            self.manifests[0] if self.manifests else {},
        )

    @property
    def is_submitted(self) -> bool:
        return self.missing_pods is not None

    @property
    def queue(self) -> str:
        return text(self.job, "spec", "queue")

    @property
    def priority_class(self) -> str:
        return text(self.job, "spec", "priorityClassName") or text(self.pod_template, "priorityClassName")

    @property
    def scheduler(self) -> str:
        """Who places its pods: Volcano, or a scheduler that the devices bring along."""
        return text(self.pod_template, "schedulerName") or text(self.job, "spec", "schedulerName")

    @property
    def is_placed_by_another(self) -> bool:
        return self.scheduler not in ("", "volcano")

    @property
    def network_topology(self) -> Object:
        return mapping(self.job, "spec", "networkTopology")

    @property
    def replicas(self) -> int:
        return number(self.job, "spec", "tasks", 0, "replicas") or 1

    @property
    def pod_template(self) -> Object:
        """The spec of every pod of the gang, as the Job has it."""
        return mapping(self.job, "spec", "tasks", 0, "template", "spec")

    @property
    def pod_metadata(self) -> Object:
        return mapping(self.job, "spec", "tasks", 0, "template", "metadata")

    @cached_property
    def pod(self) -> Object:
        """The same as the API server fills it in, at least from the namespace's LimitRanges."""
        filled: Object = copy.deepcopy(self.admitted or self.pod_template)
        for limit in limits_of(self.limit_ranges, "Container"):
            for container in items(filled, "containers"):
                requests = dict(mapping(container, "resources", "requests"))
                limits = dict(mapping(container, "resources", "limits"))
                for name, value in mapping(limit, "defaultRequest").items():
                    if name not in limits:
                        requests.setdefault(name, value)
                for name, value in mapping(limit, "default").items():
                    limits.setdefault(name, value)
                container["resources"] = {**mapping(container, "resources"), "requests": requests, "limits": limits}
        return filled

    @property
    def pod_requests(self) -> Amounts:
        """What a pod requests of a node."""
        return pod_requests(self.pod)

    @property
    def gang_requests(self) -> Amounts:
        """The requests of all pods together."""
        return times(of_pod(self.pod)[0], self.replicas)

    def made(self, kind: str) -> list[Object]:
        """The objects of a kind that the release brings along."""
        return [item for item in self.manifests if item.get("kind") == kind]

    def _makes(self, kind: str, name: str) -> bool:
        return any(item["metadata"]["name"] == name for item in self.made(kind))

    @cached_property
    def secrets(self) -> list[Keys]:
        return _merged(
            Keys(
                text(secret, "secretName") or text(secret, "name"), _keys(secret), self._optional(text(volume, "name"))
            )
            for volume in items(self.pod_template, "volumes")
            for part in [volume, *items(volume, "projected", "sources")]
            if (secret := mapping(part, "secret"))
        )

    @cached_property
    def settings(self) -> Object:
        """The runner's settings; empty for a submitted run."""
        runs = [text(item, "data", "settings.json") for item in self.made("ConfigMap")]
        return parsed(next(filter(None, runs), ""))

    def _optional(self, volume: str) -> tuple[str, ...]:
        """Keys of a mounted Secret that the run does without: a git server takes a token without a user, and a permanent
        key of an object store has no session token.
        """
        git, of_git = mapping(self.settings, "git"), mapping(self.settings, "run", "credentials").values()
        place = mapping(self.settings, volume)
        is_git = volume in of_git or volume.endswith("-lfs")
        keys = [text(git, "userKey")] if is_git and git["userKey"] != git["tokenKey"] else []
        if text(place, "type") == "s3":
            keys.append(text(place, "sessionTokenKey"))
        return tuple(keys)

    @cached_property
    def config_maps(self) -> list[Keys]:
        return _merged(
            Keys(text(config_map, "name"), _keys(config_map))
            for volume in items(self.pod_template, "volumes")
            if (config_map := mapping(volume, "configMap")) and not self._makes("ConfigMap", text(config_map, "name"))
        )

    @property
    def authorities(self) -> dict[str, str]:
        """The ConfigMap of `caBundle`, with the key of the CA certificates in it."""
        mounted = (mapping(one, "configMap") for one in items(self.pod_template, "volumes") if one["name"] == "ca")
        return {text(one, "name"): text(one, "items", 0, "key") for one in mounted}

    @cached_property
    def claims(self) -> list[Claim]:
        mounted: dict[str, bool] = {}
        for volume in items(self.pod_template, "volumes"):
            claim = mapping(volume, "persistentVolumeClaim")
            name = text(claim, "claimName")
            if name and not self._makes("PersistentVolumeClaim", name):
                mounted[name] = bool(claim.get("readOnly")) and mounted.get(name, True)
        return [Claim(name, read_only) for name, read_only in mounted.items()]

    @property
    def ephemeral_claims(self) -> list[Object]:
        """The claims that Kubernetes makes for every pod."""
        templates = (
            mapping(volume, "ephemeral", "volumeClaimTemplate") for volume in items(self.pod_template, "volumes")
        )
        return [template for template in templates if template]

    @property
    def pull_secrets(self) -> list[str]:
        return [text(entry, "name") for entry in items(self.pod_template, "imagePullSecrets")]

    @property
    def account(self) -> str:
        """The pods' ServiceAccount where the release does not make it."""
        name = text(self.pod_template, "serviceAccountName") or "default"
        return "" if self._makes("ServiceAccount", name) else name

    @property
    def device_classes(self) -> list[str]:
        names = [
            text(mapping(request, "exactly") or request, "deviceClassName")
            for template in self.made("ResourceClaimTemplate")
            for request in items(template, "spec", "spec", "devices", "requests")
        ]
        return sorted({name for name in names if name})


def run_spec(manifests: Iterable[Object], name: str, namespace: str = "default") -> RunSpec:
    """What `helm install NAME` would make."""
    kept: list[Object] = []
    hooks: list[Object] = []
    for item in manifests:
        (hooks if "helm.sh/hook" in (item["metadata"].get("annotations") or {}) else kept).append(item)
    return RunSpec(name, tuple(kept), namespace, check_pod=next(iter(hooks), {}))


def submitted(run: Snapshot) -> RunSpec:
    """What a run in the cluster requests, by its Job."""
    missing = max(run.replicas - len(run.pods), 0)
    return RunSpec(run.name, (run.job or {},), run.namespace, missing_pods=missing)


def limits_of(ranges: Iterable[Object], kind: str) -> Iterator[Object]:
    """The limits of LimitRanges on a kind: Container, Pod or PersistentVolumeClaim."""
    for item in ranges:
        for limit in items(item, "spec", "limits"):
            if text(limit, "type") == kind:
                yield limit


def _keys(volume: Object) -> tuple[str, ...]:
    return tuple(text(item, "key") for item in items(volume, "items"))


def _merged(all_keys: Iterable[Keys]) -> list[Keys]:
    """One entry per name: two volumes may show keys of the same Secret."""
    merged: dict[str, dict[str, bool]] = {}  # name -> key -> whether it may be missing
    for one in all_keys:
        keys = merged.setdefault(one.name, {})
        keys.update({key: keys.get(key, True) and key in one.optional for key in one.keys})
    return [
        Keys(name, tuple(keys), tuple(key for key, optional in keys.items() if optional))
        for name, keys in merged.items()
    ]
