"""Made-up values that are accepted render objects of the published shapes, without a null, whatever is set beside what."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.chart.accepted import accepted
from tests.chart.schemas import check_object
from tests.chart.test_templates import nulls
from trainchart.chart.render import render

COUNT = 20
pytestmark = pytest.mark.fuzz


def test_accepted_values_render_objects_of_the_published_shapes() -> None:
    found = accepted(COUNT)
    met = Counter(key for values in found for key in keys(values))
    assert len(found) == COUNT
    assert len(met) > 120, "they hardly differ"
    for values in found:
        for manifest in render(values):
            check_object(manifest)
            assert not list(nulls(manifest)), (manifest["kind"], values)


def keys(tree: Any, above: str = "") -> list[str]:
    if not isinstance(tree, dict):
        return []
    return [path for key, value in tree.items() for path in (f"{above}.{key}", *keys(value, f"{above}.{key}"))]
