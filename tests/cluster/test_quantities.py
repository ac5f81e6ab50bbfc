"""Kubernetes quantities: parsed as the official client parses them, formatted in one way, and counted for a pod."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils import quantity as client

from trainchart.cluster.quantities import format_quantities, format_quantity, of_pod, parse_quantity

SUFFIXES = ["", *"numkMGTPE", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
DIGITS = st.text("0123456789", min_size=1, max_size=9)
NUMBERS = st.one_of(
    DIGITS,
    DIGITS.map("{}.".format),
    DIGITS.map(".{}".format),
    st.tuples(DIGITS, DIGITS).map(".".join),
)
EXPONENTS = st.tuples(st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), st.integers(0, 99).map(str)).map("".join)


def parse_by_client(text: str) -> Any:
    return client.parse_quantity(text)  # type: ignore[no-untyped-call]


@given(st.sampled_from(["", "+", "-"]), NUMBERS, st.one_of(st.sampled_from(SUFFIXES), EXPONENTS))
def test_every_quantity_of_the_grammar_is_what_the_official_client_takes_it_for(
    sign: str, number: str, suffix: str
) -> None:
    text = f"{sign}{number}{suffix}"
    assert parse_quantity(text) == parse_by_client(text)


@given(st.text("0123456789.+-eEnumkKMGTPi _\u0663", max_size=6))
def test_whatever_is_taken_for_a_quantity_is_the_same_to_the_official_client(text: str) -> None:
    value = parse_quantity(text)
    assert value is None or value == parse_by_client(text)


# The client reads some of these, the API server none.
@pytest.mark.parametrize(
    "text",
    ["", ".", "+", "Gi", "1K", "1ki", "1mi", "1ei", "1 Gi", " 1", "1\n", "1e", "1e+", "1e3Ki", "1_0", "NaN", "\u0663"],
)
def test_text_outside_the_grammar_is_not_a_quantity(text: str) -> None:
    assert parse_quantity(text) is None


@given(st.one_of(st.text(max_size=12), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.integers())))
def test_parsing_never_raises(value: object) -> None:
    parse_quantity(value)


@pytest.mark.parametrize(("number", "value"), [(2, "2"), (0.5, "0.5"), (1e22, "1e22"), (True, None)])
def test_a_number_is_a_quantity_and_a_boolean_is_not(number: float, value: str | None) -> None:
    assert parse_quantity(number) == (None if value is None else Decimal(value))


@pytest.mark.parametrize(
    ("resource", "quantity", "text"),
    [
        ("cpu", "500m", "500m"),
        ("cpu", "0.5", "500m"),
        ("cpu", "1.5", "1500m"),
        ("cpu", "64", "64"),
        ("cpu", 2, "2"),
        ("cpu", "1e1", "10"),
        ("cpu", "1u", "1m"),
        ("memory", "24684096Ki", "23.54Gi"),
        ("memory", "512Mi", "512Mi"),
        ("memory", "1G", "953.67Mi"),
        ("requests.memory", "12Gi", "12Gi"),
        ("requests.memory", "1536Mi", "1.5Gi"),
        ("limits.memory", "0", "0"),
        ("pods", "4", "4"),
        ("example.com/device", "8k", "8000"),
    ],
)
def test_amounts_are_formatted_as_kubectl_prints_them(resource: str, quantity: object, text: str) -> None:
    value = parse_quantity(quantity)
    assert value is not None
    assert format_quantity(resource, value) == text


def test_several_amounts_are_formatted_with_the_names_of_their_resources() -> None:
    assert format_quantities({"cpu": Decimal("0.5"), "memory": Decimal(3 << 29)}) == "cpu 500m, memory 1.5Gi"


def container(cpu: str, **fields: str) -> dict[str, Any]:
    return {"resources": {"limits": {"cpu": cpu}}, **fields}


@pytest.mark.parametrize(
    ("first", "cpu"),
    [
        ([container("3")], 3),
        ([container("1")], 2),
        ([container("1", restartPolicy="Always")], 3),
        ([container("3"), container("1", restartPolicy="Always")], 3),
        ([container("1", restartPolicy="Always"), container("3")], 4),
    ],
)
def test_an_init_container_counts_where_it_needs_more_and_a_sidecar_always(
    first: list[dict[str, Any]], cpu: int
) -> None:
    pod = {"containers": [container("1"), container("1")], "initContainers": first}
    requests, limits = of_pod(pod)
    assert requests == limits == {"cpu": cpu}
    requests, limits = of_pod({**pod, "overhead": {"cpu": "1", "memory": "1Mi"}})
    assert requests == {"cpu": cpu + 1, "memory": 1 << 20}
    assert limits == {"cpu": cpu + 1}
