"""The identity that a cloud gives to the run's pods, where an object store is to be read with it."""

from __future__ import annotations

from collections.abc import Iterator

from trainchart.checks.finding import Finding, enumerate_names, ok, problem
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster.fields import Object, items, mapping, text

# What the webhooks of EKS add to a pod: an IAM role for the service account, or Pod Identity.
_WAYS = ({"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI"})


def check_identity(spec: RunSpec, pod: Object) -> Iterator[Finding]:
    """Whether the pod that the API server has answered with has an identity; nothing if the run needs none."""
    sections = ("model", "dataset", "publish")
    needed = [f"{name}.workloadIdentity" for name in sections if mapping(spec.settings, name).get("workloadIdentity")]
    if not needed:
        return
    subject = f"identity of ServiceAccount {spec.account}"
    there = {text(one, "name") for one in items(pod, "spec", "containers", 0, "env")}
    if any(way <= there for way in _WAYS):
        yield ok(subject, f"the cluster gives the pods the {subject}")
        return
    yield problem(
        "identity-missing",
        subject,
        f"the cluster gives the pods no {subject}, which {enumerate_names(needed)} needs",
        f"annotate ServiceAccount {spec.account} with eks.amazonaws.com/role-arn, or associate a role with it by EKS Pod "
        "Identity; in another cluster, use a Secret",
    )
