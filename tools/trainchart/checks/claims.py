"""PersistentVolumeClaims and their StorageClasses: those that the run makes, and those that it finds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from trainchart.checks.finding import Finding, enumerate_names, ok, problem, waiting, warning
from trainchart.checks.run_spec import Claim, RunSpec
from trainchart.cluster.fields import Object, mapping, text, texts

_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_LATER = "WaitForFirstConsumer"
# Block devices and folders of a node: what these make can be mounted on one node only.
_OF_ONE_NODE = (
    "rancher.io/local-path",
    "ebs.csi.aws.com",
    "pd.csi.storage.gke.io",
    "disk.csi.azure.com",
    "cinder.csi.openstack.org",
    "topolvm.io",
    "local.csi.openebs.io",
)


def check_new_claim(claim: Object, replicas: int, classes: list[Object]) -> Finding:
    """Whether a claim that the run brings along would get a volume, which its pods can share if there are several."""
    wanted = text(claim, "spec", "storageClassName")
    subject = f"StorageClass {wanted or '(default)'}"
    names = sorted(text(one, "metadata", "name") for one in classes)
    if wanted:
        chosen = [one for one in classes if text(one, "metadata", "name") == wanted]
        if not chosen:
            return missing_class(wanted, names)
    else:
        chosen = default_classes(classes)
        if not chosen:
            return problem("storage-class-default", subject, "no StorageClass is the default", _choose_class(names))
    one, modes = chosen[0], texts(claim, "spec", "accessModes")
    name, provisioner = text(one, "metadata", "name"), text(one, "provisioner")
    if "ReadWriteMany" in modes and provisioner in _OF_ONE_NODE:
        fix = "name a StorageClass of a shared file system in workspace.storageClassName"
        text_ = f"StorageClass {name} by {provisioner} makes volumes of one node, and the claim is ReadWriteMany"
        return warning("claim-access-mode", subject, text_, fix)
    if shared := _cannot_be_shared(
        subject, "the new claim", modes, replicas, "set workspace.accessMode: ReadWriteMany"
    ):
        return shared
    when = "when the first pod comes" if text(one, "volumeBindingMode") == _LATER else "at once, on any node"
    return ok(subject, f"StorageClass {name} by {provisioner}; the volume is made {when}")


def default_classes(classes: Iterable[Object]) -> list[Object]:
    """The StorageClasses that are the default. Of several the API server takes the newest, which is the first."""
    defaults = [one for one in classes if text(mapping(one, "metadata", "annotations"), _DEFAULT) == "true"]
    return sorted(defaults, key=lambda one: text(one, "metadata", "creationTimestamp"), reverse=True)


def check_claim(spec: RunSpec, wanted: Claim, claim: Object | None, classes: Iterable[Object] | None = None) -> Finding:
    """Whether a claim that the run mounts can be used by its pods. Without `classes` one that is not bound is doubtful."""
    subject, replicas = f"claim {wanted.name}", spec.replicas
    if claim is None:
        return missing(wanted.name, spec.namespace)
    if text(claim, "metadata", "deletionTimestamp"):
        text_ = f"{subject} is being deleted, and goes when the last pod lets go of it"
        return problem("claim-deleting", subject, text_, "name another")
    modes, phase = texts(claim, "spec", "accessModes"), text(claim, "status", "phase") or "Pending"
    if phase == "Lost":
        return problem("claim-lost", subject, f"{subject} has lost its volume", "create it again, or name another")
    if text(claim, "spec", "volumeMode") == "Block":
        text_ = f"{subject} is a block device (volumeMode: Block), which no pod can mount as a folder"
        return problem("claim-block", subject, text_, "name one with volumeMode: Filesystem")
    if not wanted.read_only and set(modes) == {"ReadOnlyMany"}:
        text_ = f"{subject} can only be read, and the run writes to it"
        return problem("claim-access-mode", subject, text_, "name one with ReadWriteMany")
    if replicas > 1 and set(modes) == {"ReadWriteOncePod"}:
        return _cannot_be_shared(subject, subject, modes, replicas, "name one with ReadWriteMany") or ok(subject, "")
    if phase == "Pending":
        return _pending(spec, subject, claim, classes)
    fix = "name one with ReadWriteMany for several nodes"
    return _cannot_be_shared(subject, subject, modes, replicas, fix) or ok(
        subject, f"{subject} is bound, {enumerate_names(modes)}"
    )


def _pending(spec: RunSpec, subject: str, claim: Object, classes: Iterable[Object] | None) -> Finding:
    of_class = text(claim, "spec", "storageClassName")
    known = {text(one, "metadata", "name"): one for one in classes or []}
    if of_class and classes is not None and of_class not in known:
        return missing_class(of_class, sorted(known), text(claim, "metadata", "name"))
    if text(known.get(of_class, {}), "volumeBindingMode") == _LATER:
        return ok(subject, f"{subject} gets its volume when the first pod comes")
    finding = unbound(text(claim, "metadata", "name"), spec.namespace)
    return finding if classes is not None else replace(finding, severity="warning")


def _cannot_be_shared(subject: str, what: str, modes: list[str], replicas: int, fix: str) -> Finding | None:
    if replicas == 1 or set(modes) & {"ReadWriteMany", "ReadOnlyMany"}:
        return None
    if "ReadWriteOncePod" in modes:
        text_ = f"{what} is ReadWriteOncePod, which admits one pod of {replicas}"
        return problem("claim-access-mode", subject, text_, fix)
    text_ = f"{what} is {enumerate_names(modes)}, which brings all {replicas} pods to one node"
    return warning("claim-access-mode", subject, text_, fix)


def missing(claim: str, namespace: str, details: str = "") -> Finding:
    return problem(
        "claim-missing",
        f"claim {claim}",
        f"PersistentVolumeClaim {claim} does not exist in namespace {namespace}",
        f"create it, or name one that exists (`kubectl -n {namespace} get pvc` lists them)",
        details,
    )


def missing_class(name: str, names: Iterable[str] = (), claim: str = "", details: str = "") -> Finding:
    whose = f", which PersistentVolumeClaim {claim} requests" if claim else ""
    text_, fix = f"StorageClass {name} does not exist{whose}", _choose_class(names)
    return problem("storage-class-missing", f"StorageClass {name}", text_, fix, details)


def _choose_class(names: Iterable[str]) -> str:
    existing = enumerate_names(names) or "`kubectl get storageclasses` lists them"
    return f"name one that exists in storageClassName ({existing})"


def unbound(claim: str, namespace: str, why: str = "", details: str = "") -> Finding:
    return problem(
        "claim-unbound",
        f"claim {claim}",
        f"PersistentVolumeClaim {claim} is not bound to a volume" + (f": {why}" if why else ""),
        f"`kubectl -n {namespace} describe pvc {claim}` says what it waits for",
        details,
    )


def explain_unscheduled(spec: RunSpec, message: str, claim: Object | None, why: str) -> Finding | None:
    """The claim for which the scheduler finds no node, by its message; `claim` is the one that it means, as far as is known."""
    if found := re.search(r'persistentvolumeclaim "([^"]+)" not found', message):
        return missing(found[1], spec.namespace, message)
    if found := re.search(r'storageclass\.storage\.k8s\.io "([^"]+)" not found', message):
        return missing_class(found[1], (), text(claim, "metadata", "name"), message)
    name = text(claim, "metadata", "name") or next((one.name for one in spec.claims), "of the workspace")
    if "ReadWriteOncePod" in message:
        text_ = f"PersistentVolumeClaim {name} is ReadWriteOncePod, and another pod uses it"
        fix = (
            "it starts when that pod has ended; name a claim with another access mode where several pods are to use it"
        )
        return waiting("claim-access-mode", f"claim {name}", text_, fix, message)
    if re.search(r"had no pv name|unbound immediate|PersistentVolume", message, re.IGNORECASE):
        return unbound(name, spec.namespace, why, message)
    return None
