"""What the pods mount by name: Secrets and ConfigMaps with their keys. Values are looked at nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from trainchart.checks.finding import Finding, listed, ok, problem
from trainchart.checks.reader import ClusterReader, NoRight, Secret
from trainchart.checks.run_spec import Keys, RunSpec
from trainchart.cluster import kinds
from trainchart.cluster.fields import Object

_PULL_TYPES = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg")


def secret_checks(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    for wanted in spec.secrets:
        secret = reader.secret(wanted.name)
        yield (
            secret.check(f"secret {wanted.name}")
            if isinstance(secret, NoRight)
            else check_secret(wanted, secret, reader.namespace)
        )
    for name in spec.pull_secrets:
        secret = reader.secret(name)
        topic = f"image pull secret {name}"
        yield secret.check(topic) if isinstance(secret, NoRight) else check_pull_secret(name, secret, reader.namespace)
    for wanted in spec.config_maps:
        found = reader.get(kinds.CONFIG_MAPS, wanted.name)
        topic = f"ConfigMap {wanted.name}"
        yield found.check(topic) if isinstance(found, NoRight) else check_config_map(wanted, found, reader.namespace)


def check_secret(wanted: Keys, secret: Secret | None, namespace: str) -> Finding:
    topic = f"secret {wanted.name}"
    if secret is None:
        literals = " ".join(f"--from-file={key}=FILE" for key in wanted.keys)
        return problem(
            topic, "does not exist", f"`kubectl -n {namespace} create secret generic {wanted.name} {literals}`"
        )
    return _check_keys(topic, wanted, sorted(secret.keys), "Secret")


def check_config_map(wanted: Keys, found: Object | None, namespace: str) -> Finding:
    topic = f"ConfigMap {wanted.name}"
    if found is None:
        literals = " ".join(f"--from-file={key}=FILE" for key in wanted.keys)
        return problem(topic, "does not exist", f"`kubectl -n {namespace} create configmap {wanted.name} {literals}`")
    return _check_keys(
        topic, wanted, sorted({*(found.get("data") or {}), *(found.get("binaryData") or {})}), "ConfigMap"
    )


def _check_keys(topic: str, wanted: Keys, there: list[str], kind: str) -> Finding:
    lacking = [key for key in wanted.keys if key not in there and key not in wanted.optional]
    if lacking:
        has = f"it has {listed(there)}" if there else "it is empty"
        return problem(
            topic, f"has no key {listed(lacking)}; {has}", f"add it to the {kind}, or name its key in the values"
        )
    return ok(topic, f"has {listed([key for key in wanted.keys if key in there])}")


def check_pull_secret(name: str, secret: Secret | None, namespace: str) -> Finding:
    topic = f"image pull secret {name}"
    create = f"`kubectl -n {namespace} create secret docker-registry {name} --docker-server=REGISTRY ...`"
    if secret is None:
        return problem(topic, "does not exist", create)
    if secret.kind not in _PULL_TYPES:
        return problem(topic, f"is of type {secret.kind}, of which no registry's password is read", create)
    return ok(topic, f"is of type {secret.kind}")
