"""The fixtures of `tests/runner`, and how a case is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from features.s3 import store as s3_store
from runner.errors import RunnerError
from tests.lab.s3_server import Bucket
from tests.lab.s3_server import serving as serving_bucket
from tests.runner.conftest import (  # noqa: F401
    lfs_server,
    make_context,
    make_home,
    run,
    secret,
    server,
    short_retries,
    start,
    tools,
)

from .answers import Fault


@dataclass(frozen=True)
class Case:
    """A row of a table: what goes wrong, and what must come out of it. `code` 0: the run continues in spite of it."""

    name: str
    fault: Fault | tuple[Fault, ...]
    code: int
    words: str | tuple[str, ...] = ()  # each of them in the reason or the fix
    retried: bool = False  # within the run
    slow: bool = False

    @property
    def faults(self) -> tuple[Fault, ...]:
        return self.fault if isinstance(self.fault, tuple) else (self.fault,)

    def check(self, attempt: Callable[[], Any], capsys: pytest.CaptureFixture[str]) -> None:
        capsys.readouterr()
        code, said = 0, ""
        try:
            attempt()
        except RunnerError as error:
            code, said = error.exit.code, f"{error.reason}; {error.fix}"
        log = capsys.readouterr().out
        assert code == self.code, f"{code} {said}\n{log}"
        for words in (self.words,) if isinstance(self.words, str) else self.words:
            assert words in said, f"{said}\n{log}"
        assert ("event=retry" in log) == self.retried, f"{said}\n{log}"


def table(cases: list[Case]) -> pytest.MarkDecorator:
    """`@table(CASES)` above a test that takes `case`."""
    rows = [pytest.param(case, id=case.name, marks=[pytest.mark.lab] * case.slow) for case in cases]
    return pytest.mark.parametrize("case", rows)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    monkeypatch.setattr(s3_store, "RETRY_SECONDS", (0.01, 0.01, 0.01))
    bucket = Bucket({"shapes/a.txt": b"alpha", "shapes/deep/b.bin": b"b" * 3000})
    with serving_bucket(bucket) as httpd:
        bucket.url = f"http://127.0.0.1:{httpd.server_port}"
        yield bucket
