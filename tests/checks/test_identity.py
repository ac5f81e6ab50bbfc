"""Whether the cluster gives the pods the identity that an object store is to be read with."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.cluster import run
from trainchart.checks.doctor import pod_of
from trainchart.checks.finding import Finding
from trainchart.checks.identity import check_identity

STORED = {"type": "s3", "repository": None, "endpoint": "https://s3.eu-west-1.amazonaws.com", "bucket": "b"}
NEEDED = {"dataset": {**STORED, "workloadIdentity": True}, "serviceAccount": {"name": "trainer"}}


def told(values: dict[str, Any], *variables: str) -> list[Finding]:
    spec = run(**values)
    pod = pod_of(spec)
    pod["spec"]["containers"][0]["env"] += [{"name": name, "value": "x"} for name in variables]
    return list(check_identity(spec, pod))


@pytest.mark.parametrize(
    "variables", [("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"), ("AWS_CONTAINER_CREDENTIALS_FULL_URI",)]
)
def test_the_variables_of_eks_in_the_dry_run_of_a_pod_are_an_identity(variables: tuple[str, ...]) -> None:
    (check,) = told(NEEDED, *variables)
    assert check.severity == "ok"


@pytest.mark.parametrize("variables", [(), ("AWS_ROLE_ARN",), ("AWS_REGION",)])
def test_a_pod_without_one_is_told_with_what_gives_it(variables: tuple[str, ...]) -> None:
    (check,) = told(NEEDED, *variables)
    assert (check.key, check.severity) == ("identity-missing", "problem")
    assert check.text.endswith("no identity of ServiceAccount trainer, which dataset.workloadIdentity needs")
    assert "eks.amazonaws.com/role-arn" in check.fix


def test_a_run_that_needs_none_is_not_asked() -> None:
    assert not told({"dataset": STORED})
