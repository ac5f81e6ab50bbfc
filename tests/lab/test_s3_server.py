"""What an object store may answer."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from features import s3

from .answers import Answer, Fault, half, login_page
from .conftest import Case, table
from .s3_server import ACCESS, SECRET, Bucket, error

LIST, GET = "GET /datasets?", "GET /datasets/shapes/deep"

CASES = [
    Case("an honest server", Fault("nothing", Answer(500)), 0),
    Case("SlowDown once", Fault(LIST, Answer(503, {}, error("SlowDown", "Reduce your rate")), 1), 0, retried=True),
    Case("SlowDown always", Fault(LIST, Answer(503, {}, error("SlowDown", "Reduce your rate"))), 31, "SlowDown", True),
    Case("a login page instead of the listing", Fault(LIST, login_page()), 30, "correct dataset.endpoint"),
    Case("an object that is cut, once", Fault(GET, half, 1), 0, retried=True),
]  # fmt: skip


@table(CASES)
def test_a_store_that_misbehaves(
    case: Case, bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ACCESS").write_text(ACCESS)
    (tmp_path / "SECRET").write_text(SECRET)
    store = s3.Store("dataset", bucket.url, "datasets", "shapes", "", str(tmp_path), "ACCESS", "SECRET", "robot", "")
    bucket.faults += copy.deepcopy(case.faults)
    case.check(lambda: attempt(store, tmp_path / "data"), capsys)


def attempt(store: s3.Store, folder: Path) -> None:
    s3.fetch(store, s3.listing(store), folder, folder.with_name("state.json"), Room())
    assert (folder / "deep" / "b.bin").read_bytes() == b"b" * 3000


class Room:
    name, fix = "the workspace", "raise workspace.size"

    @staticmethod
    def free_bytes() -> int:
        return 1 << 40
