"""What the documentation writes out can be used as it stands. The end-to-end tests apply it."""

from __future__ import annotations

import pytest

from tests.chart.accepted import is_accepted
from tests.chart.matrix import FAMILIES, ROOT
from tests.chart.schemas import check_object
from tests.tools.pages import yaml_blocks
from trainchart.files import load_values, overlay

VOLUME, CLAIM, VALUES, SHARED = yaml_blocks("volumes.md")


def test_the_volumes_and_the_claim_are_of_the_published_shape_and_belong_together() -> None:
    for document in (VOLUME, CLAIM, SHARED):
        check_object(document)
    for key in ("storageClassName", "accessModes"):
        assert CLAIM["spec"][key] == VOLUME["spec"][key]
    assert CLAIM["spec"]["volumeName"] == VOLUME["metadata"]["name"]
    claimed = {VALUES[section]["claimName"] for section in ("dataset", "workspace")}
    assert claimed == {CLAIM["metadata"]["name"]}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_values_for_a_volume_lie_over_those_of_any_family(family: str) -> None:
    assert is_accepted(overlay(load_values(ROOT / f"values/{family}.yaml"), VALUES))
