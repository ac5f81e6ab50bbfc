"""Claims that are not bound, and volumes that cannot be mounted."""

from __future__ import annotations

import re

from trainchart.checks.cause import last_words, problem
from trainchart.checks.facts import Facts
from trainchart.checks.finding import Finding
from trainchart.cluster.fields import text
from trainchart.run.state import Snapshot


def unbound_claim(run: Snapshot, words: str, facts: Facts) -> Finding | None:
    if found := re.search(r'persistentvolumeclaim "([^"]+)" not found', words):
        return problem(
            "claim-missing",
            f"there is no PersistentVolumeClaim {found[1]} in namespace {run.namespace}",
            f"make it, and the run starts; or name one that is there (`kubectl -n {run.namespace} get pvc`)",
            words,
        )
    name, why = text(facts.claim, "metadata", "name"), last_words(facts.claim_events, "")
    named = f"PersistentVolumeClaim {name}" if name else "its PersistentVolumeClaim"
    if found := re.search(r'storageclass\.storage\.k8s\.io "([^"]+)" not found', words):
        return problem(
            "storage-class-missing",
            f"there is no StorageClass {found[1]}, which {named} asks for",
            "install a new release with a storageClassName that is there (`kubectl get storageclasses`)",
            words,
        )
    if re.search(r"had no pv name|unbound immediate|PersistentVolume", words, re.IGNORECASE):
        return problem(
            "claim-unbound",
            f"{named} is not bound to a volume" + (f": {why}" if why else ""),
            f"`kubectl -n {run.namespace} describe pvc{f' {name}' if name else ''}` says what it waits for",
            words,
        )
    return None


def no_mount(run: Snapshot, words: str) -> Finding:
    return absent(run, words) or problem(
        "mount",
        f"a volume cannot be mounted: {words}",
        "the kubelet tries again by itself; the words are its own",
        words,
    )


def absent(run: Snapshot, words: str) -> Finding | None:
    """A Secret or ConfigMap, or a key of one, that a pod cannot do without. (Those of values are optional, and told by the runner.)"""
    if found := re.search(r'\b(secret|configmap) "([^"]+)" not found', words, re.IGNORECASE):
        kind = {"secret": "Secret", "configmap": "ConfigMap"}[found[1].lower()]
        own = found[2] == f"{run.name}-run"
        return problem(
            f"{kind.lower()}-missing",
            f"there is no {kind} {found[2]} in namespace {run.namespace}",
            "it belongs to the release: install a new one"
            if own
            else "make it, and the pod starts; or correct its name",
            words,
        )
    if found := re.search(r"key:? (\S+?)(?: in (Secret|ConfigMap) \S+?/(\S+))?$", words):
        where = f"{found[2]} {found[3]} has" if found[2] else "a Secret or ConfigMap lacks"
        text_ = f"{where} no key {found[1]}" if found[2] else f"{where} the key {found[1]}"
        return problem("key-missing", text_, "add the key, and the pod starts", words)
    return None
