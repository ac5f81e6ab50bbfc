"""What all tests share: the pinned programs that `make setup-tools` put into the cache."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from trainchart.chart.helm_library import HelmLibrary
from trainchart.chart.paths import CHART
from trainchart.errors import RenderError

# Tests run at the same time, on however many cores: no limit in seconds says anything about the code.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")


# In the background of a shell, or by nohup, these are ignored, and so they would be in every program that a test starts.
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number is signal.SIGINT else signal.SIG_DFL)


RENDERED: dict[str, bytes | RenderError] = {}
"""What Helm's library has last made of the chart, which no test changes, packed; a test that renders again clears it."""
MOST_RENDERED = 1000  # each has 80 kB


@pytest.fixture(scope="session", autouse=True)
def _equal_values_are_rendered_once() -> Iterator[None]:
    """A third of the renders of all tests are of values that another test has rendered."""
    render = HelmLibrary.render

    def remembered(
        self: HelmLibrary, values: Mapping[str, object], chart: Path, *, name: str, namespace: str
    ) -> dict[str, str]:
        if chart != CHART:
            return render(self, values, chart, name=name, namespace=namespace)
        key = f"{name} {namespace} {values!r}"
        if key not in RENDERED:
            try:
                texts = render(self, values, chart, name=name, namespace=namespace)
                RENDERED[key] = zlib.compress(json.dumps(texts).encode(), 1)
            except RenderError as error:
                RENDERED[key] = error
            if len(RENDERED) > MOST_RENDERED:
                del RENDERED[next(iter(RENDERED))]
        found = RENDERED[key]
        if isinstance(found, RenderError):
            raise RenderError(str(found))
        unpacked: dict[str, str] = json.loads(zlib.decompress(found))
        return unpacked

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HelmLibrary, "render", remembered)
        yield


def tools_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TRAINCHART_CACHE") or Path(cache, "trainchart")) / "bin"


@pytest.fixture(autouse=True)
def _engine_of_one_test() -> Iterator[None]:
    """A command that names a `helm` by `--helm` has its process to itself; tests do not."""
    yield
    if engines := sys.modules.get("trainchart.chart.engines"):
        engines.use(None)


@pytest.fixture(scope="session")
def helm() -> str:
    """The pinned `helm`, of Helm 4."""
    return program("helm")


@pytest.fixture(scope="session")
def helm3() -> str:
    """The pinned `helm` of Helm 3."""
    return program("helm3")


def rows(every: Iterable[Any], *always: Any) -> list[Any]:
    """Parameters of a test: `make test` tries those that are named, and `make lab` the others."""
    return [row if row in always else pytest.param(row, marks=pytest.mark.lab) for row in every]


def program(name: str) -> str:
    """A pinned program from the cache, else the one on PATH."""
    found = shutil.which(name, path=f"{tools_folder()}{os.pathsep}{os.environ['PATH']}")
    assert found, f"no {name}: run make setup"
    return found
