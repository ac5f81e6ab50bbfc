"""What a run asks of the cluster, read from its rendered objects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from trainchart.cluster.fields import Object, mapping, parsed, text
from trainchart.cluster.quantities import Amounts, of_pod, times


@dataclass(frozen=True)
class Keys:
    """Keys that a pod mounts of a Secret or a ConfigMap."""

    name: str
    keys: tuple[str, ...]
    optional: tuple[str, ...] = ()  # those of them that may be missing


@dataclass(frozen=True)
class Claim:
    """A claim that a pod mounts, and that the release does not make."""

    name: str
    read_only: bool


@dataclass(frozen=True)
class RunSpec:
    """The objects of a release, without those of `helm test`."""

    name: str
    manifests: tuple[Object, ...]

    @cached_property
    def job(self) -> Object:
        return next(item for item in self.manifests if item["apiVersion"].startswith("batch.volcano.sh/"))

    @property
    def queue(self) -> str:
        return str(self.job["spec"]["queue"])

    @property
    def priority_class(self) -> str:
        return str(self.job["spec"].get("priorityClassName") or "")

    @property
    def _task(self) -> Object:
        task: Object = self.job["spec"]["tasks"][0]
        return task

    @property
    def replicas(self) -> int:
        return int(self._task["replicas"])

    @property
    def pod(self) -> Object:
        """The spec of every pod of the gang."""
        spec: Object = self._task["template"]["spec"]
        return spec

    @property
    def pod_metadata(self) -> Object:
        metadata: Object = self._task["template"].get("metadata") or {}
        return metadata

    def of_gang(self, pod: Object) -> Amounts:
        """Requests of all pods together."""
        return times({**of_pod(pod)[0]}, self.replicas)

    def made(self, kind: str) -> list[Object]:
        """The objects of a kind that the release brings along."""
        return [item for item in self.manifests if item["kind"] == kind]

    def _makes(self, kind: str, name: str) -> bool:
        return any(item["metadata"]["name"] == name for item in self.made(kind))

    @cached_property
    def secrets(self) -> list[Keys]:
        return _merged(
            Keys(
                volume["secret"]["secretName"],
                tuple(item["key"] for item in volume["secret"].get("items") or []),
                self._optional(volume["name"]),
            )
            for volume in self.pod.get("volumes") or []
            if "secret" in volume
        )

    def _optional(self, volume: str) -> tuple[str, ...]:
        """Keys of a mounted Secret that the run does without: a git server takes a token without a user."""
        runs = [text(item, "data", "settings.json") for item in self.made("ConfigMap")]
        git = mapping(parsed(next(filter(None, runs), "")), "git")
        of_git = [text(one, "folder").rpartition("/")[2] for one in mapping(git, "credentials").values()]
        return (text(git, "userKey"),) if volume in of_git and git["userKey"] != git["tokenKey"] else ()

    @cached_property
    def config_maps(self) -> list[Keys]:
        return _merged(
            Keys(volume["configMap"]["name"], tuple(item["key"] for item in volume["configMap"].get("items") or []))
            for volume in self.pod.get("volumes") or []
            if "configMap" in volume and not self._makes("ConfigMap", volume["configMap"]["name"])
        )

    @cached_property
    def claims(self) -> list[Claim]:
        mounted: dict[str, bool] = {}
        for volume in self.pod.get("volumes") or []:
            claim = volume.get("persistentVolumeClaim")
            if claim and not self._makes("PersistentVolumeClaim", claim["claimName"]):
                read_only = bool(claim.get("readOnly"))
                mounted[claim["claimName"]] = read_only and mounted.get(claim["claimName"], True)
        return [Claim(name, read_only) for name, read_only in mounted.items()]

    @property
    def pull_secrets(self) -> list[str]:
        return [entry["name"] for entry in self.pod.get("imagePullSecrets") or []]

    @property
    def account(self) -> str:
        """The pods' ServiceAccount where the release does not make it."""
        name = str(self.pod.get("serviceAccountName") or "default")
        return "" if self._makes("ServiceAccount", name) else name

    @property
    def device_classes(self) -> list[str]:
        names = [
            (request.get("exactly") or request).get("deviceClassName", "")
            for template in self.made("ResourceClaimTemplate")
            for request in template["spec"]["spec"]["devices"]["requests"]
        ]
        return sorted({name for name in names if name})


def run_spec(manifests: Iterable[Object], name: str) -> RunSpec:
    """What `helm install NAME` would make."""
    kept = (item for item in manifests if "helm.sh/hook" not in (item["metadata"].get("annotations") or {}))
    return RunSpec(name, tuple(kept))


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
