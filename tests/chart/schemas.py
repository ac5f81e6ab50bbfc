"""Rendered objects against the published schemas of Kubernetes, Volcano and engines, all strict: unknown fields are errors."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import yaml

PUBLISHED = next(Path(kubernetes_validate.__file__).parent.glob("kubernetes-json-schema/v1.35.*-local-strict"))
SCHEMAS = Path(__file__).parents[1] / "schemas"
ENGINES = {
    "Task": "tekton.dev_tasks_v1",
    "Pipeline": "tekton.dev_pipelines_v1",
    "WorkflowTemplate": "argoproj.io_workflowtemplates_v1alpha1",
}


def check_object(manifest: dict[str, Any]) -> None:
    """Raises when the API server would refuse the object for its shape."""
    if manifest["kind"] == "Job":
        _job_validator().validate(manifest)
        for task in manifest["spec"]["tasks"]:
            _validator("v1", "Pod").validate({"apiVersion": "v1", "kind": "Pod", **task["template"]})
    elif manifest["kind"] in ENGINES:
        _engine_validator(ENGINES[manifest["kind"]]).validate(manifest)
    else:
        _validator(manifest["apiVersion"], manifest["kind"]).validate(manifest)


@cache
def _validator(api_version: str, kind: str) -> Any:
    """A kind's schema as kubernetes-validate ships it, compiled once: that package reads megabytes of JSON for every object."""
    # rbac.authorization.k8s.io/v1 is the file rbac-v1
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    schema = json.loads((PUBLISHED / f"{kind.lower()}-{group}.json").read_text(encoding="utf-8"))
    return jsonschema_rs.Draft202012Validator(_local({**schema, "$defs": _definitions()}))


@cache
def _definitions() -> Any:
    return json.loads((PUBLISHED / "_definitions.json").read_text(encoding="utf-8"))["$defs"]


def _local(node: Any) -> Any:
    """References into the file of definitions, as references into the schema itself."""
    if isinstance(node, list):
        return [_local(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: value.replace("/api/_definitions.json#", "#")
        if key == "$ref" and isinstance(value, str)
        else _local(value)
        for key, value in node.items()
        if key not in ("$id", "$schema")
    }


@cache
def _job_validator() -> Any:
    """The Job's schema from Volcano's CRD, closed as the API server closes it for strict field validation."""
    crd = yaml.safe_load((SCHEMAS / "batch.volcano.sh_jobs.yaml").read_text(encoding="utf-8"))
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return jsonschema_rs.Draft202012Validator(_closed(schema))


@cache
def _engine_validator(name: str) -> Any:
    """The schema of an engine's object, as hack/vendor_schemas.py takes it out of the engine's CRD."""
    schema = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
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
