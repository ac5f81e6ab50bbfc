"""Claims: those that the run makes, and those that it finds."""

from __future__ import annotations

from collections.abc import Iterator

from trainchart.checks.finding import Finding, listed, ok, problem, warning
from trainchart.checks.reader import ClusterReader, NoRight
from trainchart.checks.run_spec import Claim, RunSpec
from trainchart.cluster import kinds
from trainchart.cluster.fields import Object

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


def storage_checks(reader: ClusterReader, spec: RunSpec) -> Iterator[Finding]:
    for made in spec.made("PersistentVolumeClaim"):
        classes = reader.objects(kinds.STORAGE_CLASSES)
        if isinstance(classes, NoRight):
            yield classes.check(f"StorageClass {made['spec'].get('storageClassName') or '(default)'}")
        else:
            yield check_new_claim(made, classes, spec.replicas)
    for claim in spec.claims:
        topic = f"claim {claim.name}"
        found = reader.get(kinds.CLAIMS, claim.name)
        if isinstance(found, NoRight):
            yield found.check(topic)
            continue
        pending = found is not None and (found.get("status") or {}).get("phase") == "Pending"
        classes = reader.objects(kinds.STORAGE_CLASSES) if pending else []
        yield check_claim(claim, found, [] if isinstance(classes, NoRight) else classes, spec.replicas)


def check_new_claim(claim: Object, classes: list[Object], replicas: int) -> Finding:
    wanted = claim["spec"].get("storageClassName") or ""
    topic = f"StorageClass {wanted or '(default)'}"
    names = sorted(one["metadata"]["name"] for one in classes)
    there = f"there are {listed(names)}" if names else "there is none"
    if wanted:
        chosen = [one for one in classes if one["metadata"]["name"] == wanted]
        if not chosen:
            return problem(topic, f"does not exist; {there}", "name one of them in workspace.storageClassName")
    else:
        chosen = [one for one in classes if (one["metadata"].get("annotations") or {}).get(_DEFAULT) == "true"]
        if not chosen:
            return problem(topic, f"no StorageClass is the default; {there}", "name one in workspace.storageClassName")
    one, modes = chosen[0], claim["spec"]["accessModes"]
    provisioner, binding = one.get("provisioner", ""), one.get("volumeBindingMode") or "Immediate"
    if "ReadWriteMany" in modes and provisioner in _OF_ONE_NODE:
        fix = "name a StorageClass of a shared file system in workspace.storageClassName"
        return warning(topic, f"{provisioner} makes volumes of one node, and the claim is ReadWriteMany", fix)
    if replicas > 1 and "ReadWriteOncePod" in modes:
        return problem(
            topic, f"ReadWriteOncePod admits one pod of {replicas}", "set workspace.accessMode: ReadWriteMany"
        )
    if replicas > 1 and "ReadWriteMany" not in modes:
        text = f"{listed(modes)} brings all {replicas} pods to one node"
        return warning(topic, text, "set workspace.accessMode: ReadWriteMany for several nodes")
    when = "when the first pod comes" if binding == _LATER else "at once, on any node"
    return ok(topic, f"{one['metadata']['name']} by {provisioner}; the volume is made {when}")


def check_claim(wanted: Claim, claim: Object | None, classes: list[Object], replicas: int) -> Finding:
    topic = f"claim {wanted.name}"
    if claim is None:
        return problem(topic, "does not exist", "make it, or name another of this namespace")
    if claim["metadata"].get("deletionTimestamp"):
        return problem(topic, "is being deleted, and goes when the last pod lets it", "name another")
    spec, phase = claim.get("spec") or {}, (claim.get("status") or {}).get("phase") or "Pending"
    modes = spec.get("accessModes") or []
    if phase == "Lost":
        return problem(topic, "has lost its volume", "make it anew, or name another")
    if not wanted.read_only and set(modes) == {"ReadOnlyMany"}:
        return problem(topic, "can only be read, and the run writes to it", "name one with ReadWriteMany")
    if replicas > 1 and set(modes) == {"ReadWriteOncePod"}:
        return problem(topic, f"ReadWriteOncePod admits one pod of {replicas}", "name one with ReadWriteMany")
    if phase == "Pending":
        modes_of = {one["metadata"]["name"]: one.get("volumeBindingMode") for one in classes}
        if modes_of.get(spec.get("storageClassName", "")) == _LATER:
            return ok(topic, "gets its volume when the first pod comes")
        namespace = claim["metadata"].get("namespace", "default")
        return warning(topic, "has no volume yet", f"`kubectl -n {namespace} describe pvc {wanted.name}` says why")
    if replicas > 1 and not set(modes) & {"ReadWriteMany", "ReadOnlyMany"}:
        text = f"is {listed(modes)}, which brings all {replicas} pods to one node"
        return warning(topic, text, "name one with ReadWriteMany for several nodes")
    return ok(topic, f"is bound, {listed(modes)}")
