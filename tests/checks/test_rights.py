"""The rights in code, in deploy/ and in docs/rights.md are the same."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import yaml

from tests.checks.cluster import ROOT
from trainchart.checks.rights import READER, RIGHTS, Right, allows, check_rights
from trainchart.cluster import kinds

DOCS = (ROOT / "docs/rights.md").read_text()


def granted(file: str) -> dict[tuple[str, str], set[str]]:
    """Verbs by API group and resource."""
    role = yaml.safe_load((ROOT / "deploy" / file).read_text())
    return {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def needed(rights: Iterable[Right]) -> dict[tuple[str, str], set[str]]:
    return {(right.kind.group, right.resource): set(right.verbs) for right in rights}


def test_the_role_is_what_the_commands_need() -> None:
    assert granted("submitter.yaml") == needed(RIGHTS)


def test_the_cluster_role_is_what_the_checks_read_and_changes_nothing() -> None:
    role = granted("cluster-reader.yaml")
    assert role == needed(READER)
    assert set().union(*role.values()) <= {"get", "list", "watch"}
    assert ("", "secrets") not in role


@pytest.mark.parametrize("right", [*RIGHTS, *READER], ids=lambda right: f"{right.resource}-{right.verbs[0]}")
def test_every_right_is_in_the_docs_with_what_it_is_for(right: Right) -> None:
    row = f"| {right.resource} | {right.kind.group} | {', '.join(right.verbs)} | {right.used_by} |"
    assert row in DOCS.splitlines()


def test_the_docs_name_no_other_right() -> None:
    rows = [line for line in DOCS.splitlines() if line.startswith("| ") and not line.startswith("| resource ")]
    assert len(rows) == len(RIGHTS) + len(READER)


def rules(*rules: Any) -> dict[str, Any]:
    return {"resourceRules": list(rules), "incomplete": False}


def rule(group: str, resources: list[str], verbs: list[str], **more: Any) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs, **more}


@pytest.mark.parametrize(
    ("given", "is_allowed"),
    [
        (rule("", ["pods/log"], ["get"]), True),
        (rule("*", ["*"], ["*"]), True),
        (rule("", ["*/log"], ["*"]), True),
        (rule("", ["pods"], ["*"]), False),
        (rule("apps", ["pods/log"], ["get"]), False),
        (rule("", ["pods/log"], ["list"]), False),
        (rule("", ["pods/log"], ["get"], resourceNames=["one"]), False),
    ],
)
def test_rules_are_read_as_rbac_means_them(given: Any, is_allowed: bool) -> None:
    right = Right(kinds.PODS, ("get",), "logs", subresource="log")
    assert allows(rules(given), "get", right) is is_allowed


def test_what_is_vital_is_a_problem_and_the_rest_a_warning() -> None:
    jobs, commands = RIGHTS[0], RIGHTS[1]
    assert check_rights({}, "training").severity == "ok"
    assert check_rights({commands: ["create"]}, "training").severity == "warning"
    check = check_rights({jobs: ["create"]}, "training")
    assert (check.severity, check.text) == (
        "problem",
        "this account has no permission in training to create jobs (every command)",
    )
