"""Everything that the chart admits, the API server and Volcano's webhooks admit as well."""

from __future__ import annotations

import itertools
from typing import Any

import yaml

from e2e.runs import merged
from e2e.scenario import ROOT, World
from trainchart.errors import RenderError
from trainchart.files import load_values
from trainchart.render import render

WORKSPACES: dict[str, dict[str, Any]] = {
    "emptydir": {"type": "emptyDir"},
    "claim": {"type": "newClaim", "accessMode": "ReadWriteMany"},
    "shared": {"type": "existingClaim", "claimName": "shared", "accessMode": "ReadWriteMany"},
    "one-node": {"type": "newClaim"},
}
# Which cells the chart refuses, and why, is the fast tests' to say. Of these it must admit these.
ADMITTED = {
    ("cpu", "emptydir", 1),
    *itertools.product(("nvidia", "hami-alauda"), ("emptydir", "claim", "shared"), (1, 2)),
}


def test_the_api_server_takes_every_manifest_of_the_matrix(world: World) -> None:
    profiles = sorted(path.stem for path in (ROOT / "values" / "accelerators").glob("*.yaml"))
    admitted, manifests = set(), []
    for profile, workspace, replicas in itertools.product(profiles, WORKSPACES, (1, 2)):
        values = merged(
            load_values(ROOT / "values" / "yolov5.yaml", ROOT / "values" / "accelerators" / f"{profile}.yaml"),
            {"workspace": WORKSPACES[workspace], "replicas": replicas, "networkPolicy": {"enabled": True}},
        )
        try:
            objects = render(values, name=f"dry-{profile}-{workspace}-{replicas}", namespace=world.submitter.namespace)
        except RenderError:
            continue
        admitted.add((profile, workspace, replicas))
        manifests += objects
    assert admitted >= ADMITTED
    jobs = [manifest for manifest in manifests if manifest["kind"] == "Job"]
    assert len(jobs) == len(admitted)
    assert {manifest["kind"] for manifest in manifests} >= {
        "Job",
        "Service",
        "ConfigMap",
        "ServiceAccount",
        "Pod",
        "NetworkPolicy",
    }
    for pod in (manifest for manifest in manifests if manifest["kind"] == "Pod"):
        pod["spec"]["serviceAccountName"] = "default"  # its own is not there: nothing of a dry run is
    text = yaml.safe_dump_all(manifests)
    output = world.submitter.kubectl(
        "create", "--dry-run=server", "--validate=strict", "-f", "-", text=text, timeout=180
    )
    assert output.count("created (server dry run)") == len(manifests), output
    assert "Warning" not in output
