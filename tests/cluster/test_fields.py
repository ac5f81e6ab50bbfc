"""Safe accessors yield an empty value for whatever is missing or mistyped."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainchart.cluster.fields import dig, items, mapping, moment, number, text, texts

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


@pytest.mark.parametrize(
    ("written", "micro"),
    [("2026-11-24T17:11:41Z", 0), ("2026-11-24T17:11:41.5Z", 500000), ("2026-11-24T17:11:41.123456789Z", 123456)],
)
def test_times_are_parsed_as_kubernetes_writes_them(written: str, micro: int) -> None:
    assert moment(written) == datetime(2026, 11, 24, 17, 11, 41, micro, tzinfo=timezone.utc)


@given(JSON, st.lists(st.sampled_from([*"abc", 0, -1]), max_size=3))
def test_no_accessor_raises_whatever_the_value(value: object, path: list[str | int]) -> None:
    for read in (dig, text, texts, number, mapping, items, moment):
        read(value, *path)
