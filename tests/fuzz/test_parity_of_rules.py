"""One rule, one verdict, on made-up addresses, revisions, branches and folders: what the chart accepts, the runner accepts, and no more."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.chart.parity import PLACES, chart_accepts, runner_accepts
from tests.chart.test_parity_of_rules import NAMES, ONLY_REVISIONS, URLS

pytestmark = pytest.mark.fuzz

CASES = max(50, int(os.environ.get("FUZZ_CASES", "500")) // 5)

# Small alphabets meet the borders of the rules more often than all of Unicode does.
_edges = st.text("ab1:/@.-_?#[]%~^*\\ \t\u00fc\u3000\u2100\uff0f+>", max_size=8)
_hosts = st.one_of(
    st.sampled_from(["h", "h.example", "[::1]", "[fd00::1]", "1.2.3.4", "", "[1]", "m\u00fcnchen.example"]), _edges
)
_ports = st.one_of(st.just(""), st.integers(-1, 70000).map(lambda port: f":{port}"), st.just(":"), st.just(":080"))
_made = st.builds(
    lambda *parts: "".join(parts),
    st.sampled_from(["https://", "http://", "HTTPS://", "ssh://", "ssh://", "https:/", "https:///", ""]),
    st.sampled_from(["", "", "", "u@", "git@", "u:p@"]),
    _hosts,
    _ports,
    st.sampled_from(["", "/", "/x", "//x", "/a/b.git", ":x", ":a/b.git"]),
    _edges,
)
urls = st.one_of(_made, st.builds(lambda url, more: url + more, st.sampled_from(list(URLS)), _edges))
names = st.one_of(
    st.text("aB0./-_@{}~^:?*[\\ \u4f60+HEADlock", max_size=12),
    st.builds(
        lambda name, more: name + more,
        st.sampled_from([*NAMES, *ONLY_REVISIONS]),
        st.sampled_from(["", "/", ".lock", ".", "..", "x"]),
    ),
)


@pytest.mark.parametrize("place", PLACES)
def test_the_chart_and_the_runner_give_one_verdict(tmp_path: Path, place: str) -> None:
    verdicts: set[bool] = set()

    @settings(max_examples=CASES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(text=names if place.endswith(("revision", "branch", "folder")) else urls)
    def judged_alike(text: str) -> None:
        if not text:  # not configured
            return
        change = PLACES[place](text)
        ours, theirs = chart_accepts(change), runner_accepts(change, tmp_path)
        assert ours == theirs, (
            f"the chart {'accepts' if ours else 'refuses'} what the runner does not" if ours else "the other way around"
        )
        verdicts.add(ours)

    judged_alike()
    assert verdicts == {True, False}
