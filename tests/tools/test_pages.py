"""What the documentation writes out can be used as it stands. The end-to-end tests apply it."""

from __future__ import annotations

import pytest

from tests.chart.accepted import is_accepted
from tests.chart.matrix import FAMILIES, ROOT
from tests.chart.schemas import check_object
from tests.tools.pages import yaml_blocks
from trainchart.files import Tree, load_values, overlay

VOLUME, CLAIM, VALUES, SHARED = yaml_blocks("volumes.md")
PAGES = ("airgapped", "git", "huggingface", "network", "objectstores", "pods", "preemption", "results", "security")
KEYS = load_values(ROOT / "charts/train/values.yaml").keys()
WRITTEN = [block for page in PAGES for block in yaml_blocks(f"{page}.md") if block.keys() & KEYS]


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


@pytest.mark.parametrize("values", WRITTEN, ids=lambda values: " ".join(values))
def test_what_a_page_writes_out_lies_over_the_values_of_a_family(values: Tree) -> None:
    assert is_accepted(overlay(load_values(ROOT / "values/yolov5.yaml", ROOT / "values/accelerators/cpu.yaml"), values))
