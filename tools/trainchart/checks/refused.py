"""Pods that the API server does not take from Volcano."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

from trainchart.checks.cause import latest, problem
from trainchart.checks.facts import Facts
from trainchart.checks.finding import Finding
from trainchart.cluster.fields import dig, text
from trainchart.cluster.quantities import amounts, counted, format_quantity, of_pod
from trainchart.run.state import Snapshot


def refused_pods(run: Snapshot, facts: Facts) -> Finding | None:
    """Pods that the API server does not take from Volcano; or would not take, where its events are gone."""
    event = latest(event for event in facts.job_events if text(event, "reason") == "FailedCreate")
    if event is None:
        return _quota_would_refuse(run, facts)
    message = text(event, "message")
    quoted = re.search(r'Message:"((?:[^"\\]|\\.)*)"', message)
    words = quoted[1].replace('\\"', '"') if quoted else message
    if found := re.search(r"exceeded quota: ([^,]+), requested: (.*), used: (.*), limited: (.*)", words):
        short = "; ".join(_quota_words(found[2], found[3], found[4]))
        return problem(
            "quota",
            f"ResourceQuota {found[1]} of namespace {run.namespace} does not let its pods in: {short}",
            "wait for other runs to end, lower replicas or resources, or ask for a larger quota",
            words,
        )
    if found := re.search(r'violates PodSecurity "([^"]+)": (.*)', words):
        return problem(
            "pod-security",
            f"namespace {run.namespace} enforces Pod Security {found[1]}, and the pods are not as it demands: {found[2]}",
            "the chart's pods meet `restricted`; what a webhook or values add does not",
            words,
        )
    if found := re.search(r'serviceaccount "([^"]+)" not found', words):
        return problem(
            "service-account",
            f"ServiceAccount {found[1]} is not there, which the release brings along",
            "make it, or uninstall the release",
            words,
        )
    if found := re.search(r"no PriorityClass with name (\S+)", words):
        return problem(
            "priority-class",
            f"there is no PriorityClass {found[1]}",
            "install a new release with a priorityClassName that is there (`kubectl get priorityclasses`)",
            words,
        )
    return problem("pods-refused", f"the API server refuses its pods: {words}", "", message if not quoted else words)


def _quota_words(*parts: str) -> Iterator[str]:
    """`a pod asks for requests.cpu 40m, and 10m of 50m is left`, from what is requested, used and limited."""
    requested, used, limited = (dict(word.split("=", 1) for word in part.split(",") if "=" in word) for part in parts)
    for name, asked in requested.items():
        have, hard = amounts(used).get(name), amounts(limited).get(name)
        if have is None or hard is None:
            yield f"{name} {asked}"
        else:
            left = max(hard - have, Decimal(0))
            left_over = f"{format_quantity(name, left)} of {format_quantity(name, hard)}"
            yield f"a pod asks for {name} {asked}, and {left_over} is left"


def _quota_would_refuse(run: Snapshot, facts: Facts) -> Finding | None:
    wanted = counted(*of_pod(run.pod_spec))
    missing = run.replicas - len(run.pods)
    for quota in facts.quotas:
        hard, used = amounts(dig(quota, "status", "hard")), amounts(dig(quota, "status", "used"))
        for name, value in wanted.items():
            left = hard.get(name, Decimal("Infinity")) - used.get(name, Decimal(0))
            if value * missing > left:
                return problem(
                    "quota",
                    f"ResourceQuota {text(quota, 'metadata', 'name')} of namespace {run.namespace} has no room: "
                    f"its {missing} missing pods ask for {name} {format_quantity(name, value * missing)}, "
                    f"and {format_quantity(name, max(left, Decimal(0)))} of {format_quantity(name, hard[name])} is left",
                    "wait for other runs to end, lower replicas or resources, or ask for a larger quota",
                )
    return None
