"""Rendered objects against the published schemas of Kubernetes and of Volcano's Job, both strict: unknown fields are errors."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import yaml

KUBERNETES = "1.35"
SCHEMAS = Path(__file__).parents[1] / "schemas"


def check_object(manifest: dict[str, Any]) -> None:
    """Raises when the API server would refuse the object for its shape."""
    if manifest["kind"] == "Job":
        _job_validator().validate(manifest)
        for task in manifest["spec"]["tasks"]:
            pod = {"apiVersion": "v1", "kind": "Pod", **task["template"]}
            kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    else:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


@cache
def _job_validator() -> Any:
    """The Job's schema from Volcano's CRD, closed as the API server closes it for strict field validation."""
    crd = yaml.safe_load((SCHEMAS / "batch.volcano.sh_jobs.yaml").read_text(encoding="utf-8"))
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return jsonschema_rs.Draft202012Validator(_closed(schema))


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    closed = {key: _closed(value) for key, value in node.items()}
    if node.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    if isinstance(node.get("properties"), dict) and node.get("type") == "object":
        # metadata is the API server's own to check.
        open_ended = node.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in node
        closed.setdefault("additionalProperties", bool(open_ended))
    return closed
