"""Why an object was refused: what Volcano's webhooks, the API server's admission and Helm say, as findings."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from trainchart.checks import limit_range, names, queue, quota, server
from trainchart.checks.finding import Finding, ok, problem
from trainchart.checks.reader import Refusal
from trainchart.cluster.fields import Object

_SUBMITTER = "let an administrator bind the Role trainchart-submitter to it (trainchart docs rights)"
_ANOTHER = "choose another name, or delete it if it is not needed"


def _plain(key: str, text: str, fix: str) -> Callable[..., Finding]:
    return lambda **found: problem(key, "", text.format(**found), fix)


# What is searched for, and the finding that it is. The first match wins; its groups are the arguments.
_KNOWN: tuple[tuple[str, Callable[..., Finding]], ...] = (
    (r"unable to find job queue:? *(?:queues?\S* )?\"?(?P<queue>[a-z0-9.-]*)", queue.missing),
    (
        r"can only submit job to queue with state [`']Open[`'],? *queue [`']?(?P<queue>[a-z0-9.-]+)[`']? status is "
        r"[`']?(?P<state>\w*)",
        queue.not_open,
    ),
    (r"can not submit job to (?P<queue>root) queue", queue.not_leaf),
    (r"can only submit job to leaf queue(?:, *queue [`']?(?P<queue>[a-z0-9.-]+))?", queue.not_leaf),
    (
        r"failed calling webhook \"(?P<webhook>[^\"]+)\": (?P<why>.*)",
        _plain(
            "webhook-down",
            "the webhook {webhook} does not answer, and without it nothing is admitted: {why}",
            "let an administrator look at the program behind it (Volcano's is the Deployment volcano-admission)",
        ),
    ),
    (
        r"no matches for kind \"Job\" in version \"batch\.volcano\.sh"
        r"|create jobs\.batch\.volcano\.sh: (?:404|the server could not find)",
        lambda: server.no_volcano("jobs.batch.volcano.sh"),
    ),
    (
        r"exceeded quota: (?P<name>[\w.-]+), requested: (?P<requested>.*?), used: (?P<used>.*?), limited: (?P<limited>[^\s]+)",
        quota.refused,
    ),
    (
        r"failed quota: (?P<name>[\w.-]+): must specify (?P<lacking>.*)",
        lambda name, lacking: quota.unspecified(f"ResourceQuota {name}", lacking),
    ),
    (
        r"violates PodSecurity \"(?P<level>[^\"]+)\": (?P<why>.*)",
        _plain(
            "pod-security",
            "the namespace enforces the Pod Security level {level}, which does not admit the pods: {why}",
            'run in a namespace whose level admits them; pods of the chart itself keep to "restricted", and what a '
            "webhook or the values add may not",
        ),
    ),
    (
        r"(?P<violations>(?:minimum|maximum) [\w./-]+ (?:usage )?per (?:Container|Pod|PersistentVolumeClaim) is .*?)"
        r"(?:, \[|\]|$)",
        limit_range.exceeded,
    ),
    (
        r"(?:error looking up service account (?:[\w.-]+/)?|serviceaccounts? \")(?P<name>[\w.-]+)(?:: serviceaccount|\" not found)",
        names.missing_account,
    ),
    (r"no PriorityClass with name (?P<name>[\w.-]+)", names.missing_priority),
    (r"RuntimeClass \"(?P<name>[\w.-]+)\" not found", names.missing_runtime),
    (
        r"cannot (?P<verb>\w+) resource \"networkpolicies\"(?:.*in the namespace \"(?P<namespace>[\w.-]+)\")?",
        _plain(
            "no-right",
            "this account has no permission to {verb} networkpolicies in namespace {namespace}",
            f"{_SUBMITTER}, or set networkPolicy.enabled: false",
        ),
    ),
    (
        r"cannot (?P<verb>\w+) resource \"(?P<resource>[\w./-]+)\".* at the cluster scope",
        _plain(
            "no-right",
            "this account has no permission to {verb} {resource}, which are the whole cluster's",
            "let an administrator do it",
        ),
    ),
    (
        r"cannot (?P<verb>\w+) resource \"(?P<resource>[\w./-]+)\"(?: in API group \"[\w.-]*\")?"
        r"(?: in the namespace \"(?P<namespace>[\w.-]+)\")?",
        _plain("no-right", "this account has no permission to {verb} {resource} in namespace {namespace}", _SUBMITTER),
    ),
    (r"namespaces? \"(?P<name>[\w.-]+)\" not found", names.missing_namespace),
    (
        r"cannot re-?use a name that is still in use|release: already exists|sh\.helm\.release\S* already exists",
        _plain("name-in-use", "a release of this name exists already", names.ANOTHER),
    ),
    (
        r"another operation \(install/upgrade/rollback\) is in progress",
        _plain("busy", "Helm is already at work on a release of this name", "wait for it, or choose another name"),
    ),
    (
        r"(?P<kind>\w+) \"(?P<name>[\w.-]+)\" in namespace \"[\w.-]+\" exists and cannot be imported",
        _plain("object-in-the-way", "{kind} {name} exists already and belongs to no release of this name", _ANOTHER),
    ),
    (
        r"object is being deleted: (?P<what>.*) already exists",
        _plain(
            "being-deleted", "{what} of an earlier run is still being deleted", "wait a moment, or choose another name"
        ),
    ),
    (
        r"(?P<kind>[\w.]+) \"(?P<name>[\w.-]+)\" already exists",
        _plain("object-exists", "{kind} {name} exists already", _ANOTHER),
    ),
    (
        r"[Kk]ubernetes cluster unreachable: (?P<why>.*)",
        _plain(
            "unreachable",
            "the API server cannot be reached: {why}",
            "is the network up, and the kubeconfig the right one?",
        ),
    ),
    (
        r"(?:context deadline exceeded|timed out waiting for the condition|i/o timeout)",
        _plain(
            "too-slow",
            "the API server or a webhook did not answer in time",
            "try again; if it stays so, let an administrator look at the API server and Volcano's webhook",
        ),
    ),
)


def explain(message: str) -> Finding:
    """The finding that a refusal is, with the message as its details. One that is not known is repeated as it is."""
    message = " ".join(message.split())
    for pattern, finding in _KNOWN:
        if match := re.search(pattern, message):
            found = {name: (value or "").strip(" ;\"'`") or "?" for name, value in match.groupdict().items()}
            return replace(finding(**found), details=message)
    plain = re.sub(r'^(?:Error: |INSTALLATION FAILED: |admission webhook "[^"]+" denied the request: )+', "", message)
    return problem("refused", "", plain or "no reason was given", "change what it names", message)


def check_dry_run(subject: str, answer: Object | Refusal, admitted: str = "") -> Finding:
    """What became of an object that was sent without being kept."""
    if isinstance(answer, Refusal):
        found = explain(answer.text)
        return replace(found, subject=subject, text=f"{subject} would be refused: {found.text}")
    return ok(subject, f"the API server takes {subject}{admitted}")
