"""Amounts of resources: read, written, and counted for a pod."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainchart.cluster.quantities import amount, amounts, of_pod, shown, written


@pytest.mark.parametrize(
    ("resource", "quantity", "text"),
    [
        ("cpu", "500m", "500m"),
        ("cpu", "64", "64"),
        ("cpu", 2, "2"),
        ("cpu", "1e1", "10"),
        ("memory", "24684096Ki", "23.54Gi"),
        ("memory", "512Mi", "512Mi"),
        ("memory", "1G", "953.67Mi"),
        ("requests.memory", "12Gi", "12Gi"),
        ("example.com/device", "8k", "8000"),
    ],
)
def test_quantities_are_read_and_written_as_kubernetes_has_them(resource: str, quantity: object, text: str) -> None:
    value = amount(quantity)
    assert value is not None
    assert written(resource, value) == text


@given(st.one_of(st.text(max_size=12), st.integers(), st.none(), st.lists(st.integers())))
def test_no_quantity_raises(value: object) -> None:
    amount(value)


@pytest.mark.parametrize(
    ("name", "quantity", "words"),
    [("cpu", "1500m", "1.5"), ("requests.memory", "1536Mi", "1.5Gi"), ("limits.memory", "0", "0"), ("pods", "4", "4")],
)
def test_amounts_are_shown_as_people_write_them(name: str, quantity: str, words: str) -> None:
    assert shown(name, amounts({name: quantity})[name]) == words


def test_an_init_container_that_wants_more_counts_for_the_whole_pod() -> None:
    def container(cpu: str) -> dict[str, Any]:
        return {"resources": {"limits": {"cpu": cpu}}}

    pod = {"containers": [container("1"), container("1")], "initContainers": [container("3")]}
    assert of_pod(pod)[0] == {"cpu": 3}
