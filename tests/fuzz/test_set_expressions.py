"""Helm's --set on made-up expressions and values: the library, which only parses, says what both helm programs say."""

from __future__ import annotations

import copy
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.values.set_expressions import BASE
from trainchart.chart.engines import use
from trainchart.chart.helm_library import HelmLibrary
from trainchart.chart.helm_program import HelmProgram
from trainchart.files import Tree
from trainchart.values.overrides import SETS, Overrides
from trainchart.values.positions import Node

pytestmark = pytest.mark.fuzz

FUZZ_CASES = int(os.environ.get("FUZZ_CASES", "500"))
# Each case asks a program, which takes fifty times as long as the library.
PROGRAMS = max(40, FUZZ_CASES // 25)

KEYS = sorted(
    {*BASE, "A\\.B", "true", "key", "values", "options", "arguments", "epochs", "x", "a", "", "null", "1", "\u4e2d"}
)
VALUES = [
    "1",
    "-1",
    "x",
    "",
    "null",
    "true",
    "1.5",
    "1e3",
    "{}",
    "{a,1,null}",
    "a\\,b",
    "007",
    '"a"',
    "[1]",
    '{"a":1}',
    "9007199254740992",
]
ALPHABET = "ab.,=[]{}\\01 -\"'\u4e2d\n\x01\ue000"

steps = st.one_of(st.sampled_from(KEYS).map(lambda key: f".{key}"), st.integers(0, 4).map(lambda index: f"[{index}]"))
paths = st.builds(lambda first, rest: first + "".join(rest), st.sampled_from(KEYS), st.lists(steps, max_size=4))
assignments = st.builds(lambda path, value: f"{path}={value}", paths, st.sampled_from(VALUES))
expressions = st.one_of(
    st.lists(assignments, min_size=1, max_size=3).map(",".join),
    st.text(ALPHABET, max_size=20),
    st.builds(lambda start, end: start + end, paths, st.text(ALPHABET, max_size=6)),
)
given_sets = st.tuples(st.sampled_from(SETS), expressions)
leaves = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.just(1.5), st.text("ab\u4e2d", max_size=2))
trees = st.dictionaries(
    st.sampled_from(["a", "b", "x", "A.B", "key", "values", "options", "tolerations", "train"]),
    st.recursive(
        leaves,
        lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "key", "x"]), below, max_size=3),
        max_leaves=8,
    ),
    max_size=5,
)  # fmt: skip


def laid(values: Tree, option: str, expression: str) -> tuple[Any, bool]:
    """The values with an expression laid over them, and whether it is refused."""
    changed, places, problems = Overrides(sets=[(option, expression)]).over(copy.deepcopy(values), Node(is_map=True))
    assert all(problem.place and "\n" not in problem.message for problem in problems)
    assert places.is_map
    return changed, bool(problems)


@settings(max_examples=FUZZ_CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(trees, given_sets)
def test_the_library_lays_every_expression_over_any_values_or_refuses_it(values: Tree, case: tuple[str, str]) -> None:
    use(HelmLibrary())
    changed, refused = laid(values, *case)
    assert changed == values or not refused
    assert "\ue000" in case[1] or "\ue000" not in str(changed), "no token is left"
    plain = case[1].replace("\\", "")
    assert all(changed[key] == value for key, value in values.items() if key not in plain)


@pytest.mark.parametrize("program", ["helm", "helm3"])
def test_both_programs_say_the_same(program: str, request: pytest.FixtureRequest) -> None:
    helm = HelmProgram(request.getfixturevalue(program))

    @settings(max_examples=PROGRAMS, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.one_of(st.just(BASE), trees), given_sets)
    def same(values: Tree, case: tuple[str, str]) -> None:
        # An index without an end: Helm 4 takes it for nothing, and Helm 3 refuses it.
        assume(program == "helm" or "[" not in case[1].rpartition("]")[2])
        use(HelmLibrary())
        ours = laid(values, *case)
        use(helm)
        assert laid(values, *case) == ours

    same()
