"""What the pods mount by name: Secrets and ConfigMaps with their keys. Values are looked at nowhere."""

from __future__ import annotations

import base64
import re
import ssl

from trainchart.checks.finding import Finding, enumerate_names, ok, problem
from trainchart.checks.reader import Secret
from trainchart.checks.run_spec import Keys, RunSpec
from trainchart.cluster.fields import Object, mapping, text

_PULL_TYPES = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg")


def check_secret(spec: RunSpec, wanted: Keys, secret: Secret | None) -> Finding:
    if secret is None:
        return missing("Secret", wanted, spec)
    return _check_keys("Secret", wanted, sorted(secret.keys))


def check_config_map(spec: RunSpec, wanted: Keys, found: Object | None) -> Finding:
    if found is None:
        return missing("ConfigMap", wanted, spec)
    keys = _check_keys("ConfigMap", wanted, sorted({*mapping(found, "data"), *mapping(found, "binaryData")}))
    key = spec.authorities.get(wanted.name, "")
    return keys if keys.severity != "ok" or not key else _check_authorities(keys, wanted.name, key, found)


def _check_authorities(fine: Finding, name: str, key: str, found: Object) -> Finding:
    """Whether the runner can load the certificates of `caBundle`, as it will."""
    content = text(found, "data", key).encode() or base64.b64decode(text(found, "binaryData", key))
    try:  # a comment may have any characters
        ssl.create_default_context().load_verify_locations(cadata=content.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError):
        subject, fix = f"ConfigMap {name}", "put certificates that begin with -----BEGIN CERTIFICATE----- into the key"
        return problem(
            "ca-bundle-invalid", subject, f"key {key} of {subject} has no CA certificates in PEM format", fix
        )
    return fine


def _check_keys(kind: str, wanted: Keys, there: list[str]) -> Finding:
    lacking = [key for key in wanted.keys if key not in there and key not in wanted.optional]
    if lacking:
        has = f"it has {enumerate_names(there)}" if there else "it is empty"
        return missing_key(f"{kind} {wanted.name}", enumerate_names(lacking), has)
    has = enumerate_names(key for key in wanted.keys or there if key in there) or "no keys"
    return ok(f"{kind} {wanted.name}", f"{kind} {wanted.name} has {has}")


def check_pull_secret(spec: RunSpec, name: str, secret: Secret | None, details: str = "") -> Finding:
    subject = f"image pull secret {name}"
    create = f"`kubectl -n {spec.namespace} create secret docker-registry {name} --docker-server=REGISTRY ...`"
    if secret is None:
        return problem("pull-secret-missing", subject, f"{subject} does not exist", create, details)
    if secret.kind not in _PULL_TYPES:
        text_ = f"{subject} is of type {secret.kind}, of which no registry's password is read"
        return problem("pull-secret-type", subject, text_, create)
    return ok(subject, f"{subject} is of type {secret.kind}")


def missing(kind: str, wanted: Keys, spec: RunSpec, details: str = "") -> Finding:
    """A Secret or ConfigMap that does not exist."""
    name = wanted.name
    command = "secret generic" if kind == "Secret" else "configmap"
    files = " ".join(f"--from-file={key}=FILE" for key in wanted.keys or ("KEY",))
    fix = f"`kubectl -n {spec.namespace} create {command} {name} {files}`, or correct its name"
    if name == f"{spec.name}-run":
        fix = "it belongs to the release: install a new one"
    text_ = f"{kind} {name} does not exist in namespace {spec.namespace}"
    return problem("secret-missing" if kind == "Secret" else "configmap-missing", f"{kind} {name}", text_, fix, details)


def missing_key(holder: str, key: str, has: str = "", details: str = "") -> Finding:
    fix = f"add it to the {holder.partition(' ')[0]}, or name the key that it has in the values"
    return problem("key-missing", holder, f"{holder} has no key {key}" + (f"; {has}" if has else ""), fix, details)


def explain_kubelet(spec: RunSpec, message: str) -> Finding | None:
    """A Secret or ConfigMap, or a key of one, that a pod cannot do without, by the kubelet's message. (Those that the values
    name are optional, and the runner says what they lack.)"""
    if found := re.search(r'\b(secret|configmap) "([^"]+)" not found', message, re.IGNORECASE):
        kind, mounted = ("Secret", spec.secrets) if found[1].lower() == "secret" else ("ConfigMap", spec.config_maps)
        return missing(kind, next((one for one in mounted if one.name == found[2]), Keys(found[2])), spec, message)
    if found := re.search(r"key:? (\S+?)(?: in (Secret|ConfigMap) \S+?/(\S+))?$", message):
        holder = f"{found[2]} {found[3]}" if found[2] else "Secret or ConfigMap"
        return missing_key(holder, found[1], "", message)
    return None
