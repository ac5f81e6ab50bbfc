"""Why an object was refused, in words: what Volcano's webhooks, the API server's admission and Helm say, and what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Explanation:
    """`key` is for programs, `text` and `fix` are for people."""

    key: str
    text: str
    fix: str


# What is searched for, and what it means. The first match wins; groups fill the texts.
_KNOWN: tuple[tuple[str, str, str, str], ...] = (
    (
        "queue-missing",
        r"unable to find job queue:? *(?:queues?\S* )?\"?(?P<queue>[a-z0-9.-]*)",
        "the queue {queue} does not exist",
        "name another in queue:, or let an administrator make it; `kubectl get queues` lists them",
    ),
    (
        "queue-closed",
        r"can only submit job to queue with state [`']Open[`'],? *queue [`']?(?P<queue>[a-z0-9.-]+)[`']? status is [`']?(?P<state>\w*)",
        "the queue {queue} is {state} and takes no runs",
        "name another in queue:, or let an administrator open it",
    ),
    (
        "queue-not-leaf",
        r"can (?:not submit job to root queue|only submit job to leaf queue)(?:, *queue [`']?(?P<queue>[a-z0-9.-]+))?",
        "the queue {queue} has queues below it and takes no runs itself",
        "name one of the queues below it in queue:",
    ),
    (
        "webhook-down",
        r"failed calling webhook \"(?P<webhook>[^\"]+)\": (?P<why>.*)",
        "the webhook {webhook} does not answer, and without it nothing is admitted: {why}",
        "let an administrator look at the program behind it (Volcano's is the Deployment volcano-admission)",
    ),
    (
        "no-volcano",
        r"no matches for kind \"(?P<kind>Job)\" in version \"batch\.volcano\.sh|create jobs\.batch\.volcano\.sh: (?:404|the server could not find)",
        "Volcano is not installed in this cluster: it knows no Job of batch.volcano.sh/v1alpha1",
        "let an administrator install Volcano 1.9 or newer",
    ),
    (
        "quota",
        r"exceeded quota: (?P<quota>[\w.-]+), (?P<why>requested: .*?, used: .*?, limited: [^\s]+)",
        "the ResourceQuota {quota} has no room for it: {why}",
        "ask for less, wait until other runs of the namespace end, or let the quota be raised",
    ),
    (
        "quota-unspecified",
        r"failed quota: (?P<quota>[\w.-]+): must specify (?P<what>.*)",
        "the ResourceQuota {quota} admits only pods that say how much of it they need: {what}",
        "set it in resources.requests and resources.limits",
    ),
    (
        "pod-security",
        r"violates PodSecurity \"(?P<level>[^\"]+)\": (?P<why>.*)",
        "the namespace's Pod Security level {level} does not admit the pods: {why}",
        'run in a namespace whose level admits them; pods of the chart itself keep to "restricted"',
    ),
    (
        "limit-range",
        r"(?P<why>(?:minimum|maximum) [\w./-]+ (?:usage )?per (?:Container|Pod|PersistentVolumeClaim) is .*?)(?:, \[|\]|$)",
        "a LimitRange of the namespace does not admit it: {why}",
        "set resources: within these limits",
    ),
    (
        "service-account",
        r"error looking up service account (?P<account>[\w./-]+)",
        "the ServiceAccount {account} does not exist",
        "make it, or leave serviceAccount.name empty",
    ),
    (
        "priority-class",
        r"no PriorityClass with name (?P<name>[\w.-]+) was found",
        "the PriorityClass {name} does not exist",
        "name another in priorityClassName:; `kubectl get priorityclasses` lists them",
    ),
    (
        "no-right",
        r"cannot (?P<verb>\w+) resource \"networkpolicies\"(?:.*in the namespace \"(?P<namespace>[\w.-]+)\")?",
        "this account has no right to {verb} networkpolicies in namespace {namespace}",
        "let an administrator bind deploy/submitter.yaml to it (docs/rights.md), or set networkPolicy.enabled: false",
    ),
    (
        "no-right",
        r"cannot (?P<verb>\w+) resource \"(?P<resource>[\w./-]+)\".* at the cluster scope",
        "this account has no right to {verb} {resource}, which are the whole cluster's",
        "let an administrator do it",
    ),
    (
        "no-right",
        r"cannot (?P<verb>\w+) resource \"(?P<resource>[\w./-]+)\"(?: in API group \"(?P<group>[\w.-]*)\")?(?: in the namespace \"(?P<namespace>[\w.-]+)\")?",
        "this account has no right to {verb} {resource} in namespace {namespace}",
        "let an administrator bind deploy/submitter.yaml to it (docs/rights.md)",
    ),
    (
        "namespace-missing",
        r"namespaces? \"(?P<namespace>[\w.-]+)\" not found",
        "the namespace {namespace} does not exist",
        "make it, or name another by -n",
    ),
    (
        "name-in-use",
        r"cannot re-?use a name that is still in use|release: already exists|sh\.helm\.release\S* already exists",
        "there is a release of this name already",
        "choose another name: every run needs its own",
    ),
    (
        "busy",
        r"another operation \(install/upgrade/rollback\) is in progress",
        "Helm is already at work on a release of this name",
        "wait for it, or choose another name",
    ),
    (
        "object-in-the-way",
        r"(?P<kind>\w+) \"(?P<name>[\w.-]+)\" in namespace \"[\w.-]+\" exists and cannot be imported",
        "the {kind} {name} is there already and belongs to no release of this name",
        "choose another name, or delete it if nobody needs it",
    ),
    (
        "being-deleted",
        r"object is being deleted: (?P<what>.*) already exists",
        "{what} of an earlier run is still being deleted",
        "wait a moment, or choose another name",
    ),
    (
        "object-exists",
        r"(?P<kind>[\w.]+) \"(?P<name>[\w.-]+)\" already exists",
        "{kind} {name} is there already",
        "choose another name, or delete it if nobody needs it",
    ),
    (
        "unreachable",
        r"Kubernetes cluster unreachable: (?P<why>.*)",
        "the API server cannot be reached: {why}",
        "is the network up, and the kubeconfig the right one?",
    ),
    (
        "too-slow",
        r"(?:context deadline exceeded|timed out waiting for the condition|i/o timeout)",
        "the API server or a webhook did not answer in time",
        "try again; if it stays so, let an administrator look at the API server and Volcano's webhook",
    ),
)


def explain(said: str) -> Explanation:
    """What a refusal means. One that is not known is told as it is."""
    words = " ".join(said.split())
    for key, pattern, text, fix in _KNOWN:
        if match := re.search(pattern, words):
            found = {name: (value or "").strip(" ;\"'`") or "?" for name, value in match.groupdict().items()}
            return Explanation(key, text.format(**found), fix)
    plain = re.sub(r'^(?:Error: |INSTALLATION FAILED: |admission webhook "[^"]+" denied the request: )+', "", words)
    return Explanation("refused", plain or "no reason was given", "")
