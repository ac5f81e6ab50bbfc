"""Everything that the chart admits, the API server and Volcano's webhooks admit as well."""

from __future__ import annotations

import yaml

from e2e.scenario import World
from tests.chart.matrix import ADMITTED
from trainchart.files import overlay
from trainchart.render import render


def test_the_api_server_takes_every_manifest_of_the_matrix(world: World) -> None:
    namespace = world.submitter.namespace
    manifests = [
        manifest
        for number, cell in enumerate(ADMITTED)
        for manifest in render(
            overlay(cell.values, {"networkPolicy": {"enabled": True}}), name=f"dry-{number}", namespace=namespace
        )
    ]
    kinds = [manifest["kind"] for manifest in manifests]
    assert kinds.count("Job") == len(ADMITTED)
    assert set(kinds) >= {"Service", "ConfigMap", "ServiceAccount", "Pod", "NetworkPolicy", "ResourceClaimTemplate"}
    for pod in (manifest for manifest in manifests if manifest["kind"] == "Pod"):
        pod["spec"]["serviceAccountName"] = "default"  # its own is not there: nothing of a dry run is
    output = world.submitter.kubectl(
        *("create", "--dry-run=server", "--validate=strict", "-f", "-"),
        text=yaml.dump_all(manifests, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper)),
        timeout=300,
    )
    assert output.count("created (server dry run)") == len(manifests), output
    assert "Warning" not in output
