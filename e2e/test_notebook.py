"""docs/notebook.ipynb in a pod with the rights of those who submit: a real Jupyter kernel executes it against the cluster."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from e2e.cases.llm_sft import RESULTS
from e2e.cluster.tools_image import NOTEBOOK
from e2e.kube import Object, poll
from e2e.runs import Session, value_files
from e2e.scenario import ACCOUNT, ROOT, TEAM
from trainchart.files import load_values

pytestmark = pytest.mark.family("notebook")

SOURCE = ROOT / "docs/notebook.ipynb"
URL = "https://gitea.git.svc:3000/team"
# `jupyter execute` without its client's log; the executed notebook is the pod's output.
EXECUTE = """
import nbclient, nbformat, sys
notebook = nbformat.read("/notebook/notebook.ipynb", 4)
try:
    nbclient.NotebookClient(notebook, timeout=900).execute()
finally:
    print(nbformat.writes(notebook))
"""


def with_parameters(notebook: Object, **parameters: Any) -> str:
    (cell,) = [cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", ())]
    names = re.findall(r"^(\w+) = ", cell["source"], re.MULTILINE)
    assert names == list(parameters)
    cell["source"] = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    return json.dumps(notebook)


def pod(name: str) -> Object:
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": ACCOUNT,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "notebook",
                    "image": NOTEBOOK,
                    "command": ["python3", "-c", EXECUTE],
                    "securityContext": security,
                    "volumeMounts": [{"name": "notebook", "mountPath": "/notebook"}],
                }
            ],
            "volumes": [{"name": "notebook", "configMap": {"name": name}}],
        },
    }


def outputs(notebook: Object) -> dict[str, str]:
    """The text of each code cell's output, by the cell's last line."""
    found = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            texts = [
                text
                for output in cell["outputs"]
                for text in (
                    output.get("text"),
                    output.get("data", {}).get("text/html"),
                    output.get("data", {}).get("text/plain"),
                )
            ]
            found["".join(cell["source"]).splitlines()[-1]] = "".join("".join(text) for text in texts if text)
    return found


def test_the_notebook_of_the_documentation_goes_from_values_to_a_result(session: Session, tmp_path: Path) -> None:
    name, kube = f"notebook{session.id}", session.world.admin
    more: Object = {}
    for file in value_files("llm-sft")[-1:]:
        more = load_values(Path(file))
    for given in ("image", "model", "dataset", "publish"):
        more.pop(given, None)
    content = with_parameters(
        json.loads(SOURCE.read_text(encoding="utf-8")),
        NAME=name,
        IMAGE="trainchart/train-cpu-llm:0.9.5",
        MODEL=f"{URL}/llm-tiny.git",
        DATASET=f"{URL}/identity.git",
        RESULT=f"{URL}/{RESULTS}.git",
        ACCELERATOR="cpu",
        MORE=more,
    )
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"notebook.ipynb": content}}
    kube.apply(config, pod(name))
    try:
        ended = poll(
            lambda: (phase := kube.get("pod", name)["status"]["phase"]) in ("Succeeded", "Failed") and phase,  # type: ignore[index]
            900,
            "the notebook has been executed",
        )
        log = kube.kubectl("logs", name)
    finally:
        kube.kubectl("delete", "pod,configmap", name, "--ignore-not-found", "--wait=false")
    assert ended == "Succeeded", log
    executed = json.loads(log[log.index("{\n") :])
    (tmp_path / "notebook.ipynb").write_text(json.dumps(executed, indent=1))
    said = outputs(executed)
    assert "did you mean 'epochs'?" in said['print(tc.validate([values, {"train": {"epoch": 3}}]))']
    assert "\nvalid: " in said["print(tc.validate([values, MORE]))"]
    for line in ("prepare  begins", "train    epoch 2 of 2", f"{name} completed"):
        assert line in said["result = run.wait()"]
    branch = re.search(r"'(sft-[0-9-]+)'", said['result["branch"], result["metrics"]'])
    assert branch
    assert branch[1] in session.world.server.branches(TEAM, RESULTS)
    assert "<table" in said["run.metrics()"], "a DataFrame"
    assert "&lt;svg" in said["run"]
    assert name in said["tc.runs()"]
