"""`python -m hack.vendor_schemas FOLDER...`: the schemas of what engines and forges read.

    go mod download -json github.com/tektoncd/pipeline@VERSION github.com/argoproj/argo-workflows/v4@VERSION
    pip install --target FOLDER --no-deps check-jsonschema

The first prints the folders of the CRDs; the second has the published schemas of GitHub's workflows and GitLab's jobs. Written to
tests/schemas/, from the folders that are given: one version, without descriptions, and of a Workflow's templates only what the chart has.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

SCHEMAS = Path(__file__).parents[1] / "tests/schemas"
CRDS = {
    "tekton.dev_tasks": "config/300-crds/300-task.yaml",
    "tekton.dev_pipelines": "config/300-crds/300-pipeline.yaml",
    "argoproj.io_workflowtemplates": "manifests/base/crds/full/argoproj.io_workflowtemplates.yaml",
}
FORGES = {
    "github-workflow": "check_jsonschema/builtin_schemas/vendor/github-workflows.json",
    "gitlab-ci": "check_jsonschema/builtin_schemas/vendor/gitlab-ci.json",
}
WORDS = ("$comment", "default", "description", "examples", "format", "markdownDescription", "title")
NAMED = ("$defs", "definitions", "patternProperties", "properties")
"""In a schema, maps by names of its author, which may be any word."""
KEPT = {
    "spec": (
        "activeDeadlineSeconds", "arguments", "entrypoint", "imagePullSecrets", "nodeSelector", "podSpecPatch",
        "securityContext", "serviceAccountName", "templates", "tolerations",
    ),
    "template": ("activeDeadlineSeconds", "container", "name", "outputs", "retryStrategy", "volumes"),
    "values": ("parameters",),
}  # fmt: skip
"""Of the fields of a WorkflowTemplate, which has the schema of a whole pod in it several times."""


def main() -> int:
    for name, path in CRDS.items():
        for file in _found(path):
            crd = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
            version = next(one for one in crd["spec"]["versions"] if one["storage"])
            schema = _plain(version["schema"]["openAPIV3Schema"])
            spec = schema["properties"]["spec"]
            if "templates" in spec["properties"]:
                _keep(spec, "spec")
                _keep(spec["properties"]["arguments"], "values")
                template = spec["properties"]["templates"]["items"]
                _keep(template, "template")
                _keep(template["properties"]["outputs"], "values")
            _write(f"{name}_{version['name']}", schema)
    for name, path in FORGES.items():
        for file in _found(path):
            _write(name, _plain(json.loads(file.read_text(encoding="utf-8"))))
    return 0


def _found(path: str) -> list[Path]:
    return [file for folder in sys.argv[1:] if (file := Path(folder, path)).is_file()]


def _write(name: str, schema: Any) -> None:
    target = SCHEMAS / f"{name}.json"
    target.write_text(json.dumps(schema, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {target}")


def _keep(schema: dict[str, Any], kept: str) -> None:
    schema["properties"] = {key: schema["properties"][key] for key in KEPT[kept]}


def _plain(node: Any) -> Any:
    """A schema without words."""
    if isinstance(node, list):
        return [_plain(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: {name: _plain(item) for name, item in value.items()}
        if key in NAMED and isinstance(value, dict)
        else _plain(value)
        for key, value in node.items()
        if key not in WORDS
    }


if __name__ == "__main__":
    sys.exit(main())
