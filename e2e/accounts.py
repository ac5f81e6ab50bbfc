"""Accounts of a test: a ServiceAccount with the rules of a role file, and a kubeconfig for it."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from e2e import scenario
from e2e.kube import Kube, poll


def account(admin: Kube, name: str, rules: Path, question: str) -> Kube:
    """An account in the namespace of `admin`.

    Args:
        admin: the administrator, and the namespace.
        name: of the account, its Role and its RoleBinding.
        rules: a file with a Role, or with its rules alone.
        question: a right that it has, as in `kubectl auth can-i`: the API server takes a moment to know of a new binding.
    """
    content = yaml.safe_load(rules.read_text(encoding="utf-8"))
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name},
        "rules": content["rules"] if isinstance(content, dict) else content,
    }
    subject = {"kind": "ServiceAccount", "name": name, "namespace": admin.namespace}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [subject],
    }
    admin.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}, role, binding)
    kube = Kube(scenario.kubeconfig_of(admin, name), admin.namespace)
    poll(lambda: kube.call("kubectl", "auth", "can-i", *question.split())[0] == 0, 30, f"{name} may {question}")
    return kube


def remove(admin: Kube, name: str) -> None:
    admin.call(
        "kubectl", "-n", admin.namespace, "delete", "role,rolebinding,serviceaccount", name, "--ignore-not-found"
    )


def namespace(admin: Kube) -> None:
    """Make the namespace of `admin`, with the strictest Pod Security."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": admin.namespace, "labels": labels}}
    admin.run("kubectl", "create", "-f", "-", text=json.dumps(body))
