"""What an object store may answer."""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from features import s3
from features.s3 import place as s3_place
from tests.runner.stores import Room, store_at

from .answers import Answer, Fault, half, login_page, redirect, reset, truncated
from .conftest import Case, table
from .s3_server import ACCESS, SECRET, Bucket, error

LIST, GET = "GET /datasets?", "GET /datasets/shapes/deep"

SLOW_DOWN = Answer(503, {}, error("SlowDown", "Reduce your rate"))


def page(content: str, token: str = "") -> Answer:
    """A page of a listing; another follows where there is a token."""
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return Answer(200, {}, f"<ListBucketResult>{more}{content}</ListBucketResult>".encode())


class Endless:
    """A listing whose pages always have a new token, and new keys or the same one."""

    def __init__(self, new_keys: bool) -> None:
        self.new_keys, self.count = new_keys, 0

    def __call__(self, real: Answer) -> Answer:
        self.count += 1
        key = f"shapes/{self.count * self.new_keys}"
        return page(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>", str(self.count))


CASES = [
    Case("an honest server", Fault("nothing", Answer(500)), 0),
    # The listing
    Case("SlowDown once", Fault(LIST, SLOW_DOWN, 1), 0, retried=True),
    Case("SlowDown always", Fault(LIST, SLOW_DOWN), 31, "SlowDown", retried=True),
    Case("429 with a time to wait", Fault(LIST, Answer(429, {"Retry-After": "1"}), 1), 0, retried=True),
    Case("429 with a day to wait", Fault(LIST, Answer(429, {"Retry-After": "86400"})), 31, "429", retried=True),
    Case("a login page", Fault(LIST, login_page()), 30, "correct dataset.endpoint"),
    Case("other XML", Fault(LIST, Answer(200, {}, b"<Hello/>")), 30, ("is <Hello>", "correct dataset.endpoint")),
    Case("broken XML", Fault(LIST, Answer(200, {}, b"<a><b></a>")), 30, "the listing is not XML"),
    Case("400", Fault(LIST, Answer(400, {}, error("InvalidArgument", "no such"))), 30, "400 InvalidArgument"),
    Case("407", Fault(LIST, Answer(407)), 30, ("dataset.endpoint", "proxy.noProxy")),
    Case("a redirect", Fault(LIST, redirect("http://127.0.0.1:9/")), 30, ("dataset.endpoint", "302", "redirects to")),
    Case("a listing that is cut, once", Fault(LIST, half, 1), 0, retried=True),
    Case("a listing that is cut, always", Fault(LIST, half), 31, retried=True),
    Case("a listing that is too short, once", Fault(LIST, truncated, 1), 0, retried=True),
    Case("a listing that is too short, always", Fault(LIST, truncated), 31, "truncated", retried=True),
    Case("a Content-Length that is too large", Fault(LIST, lambda real: replace(real, length=10**6)), 31, retried=True),
    Case("a Content-Length that is too small", Fault(LIST, lambda real: replace(real, length=100)), 31, retried=True),
    Case("a listing that comes back to its begin", Fault(LIST, page("", "again")), 30, "does not end"),
    Case("a listing of one key for ever", Fault(LIST, Endless(new_keys=False)), 30, "does not end"),
    Case("a listing of new keys for ever", Fault(LIST, Endless(new_keys=True)), 30, ("more than 50 objects", "archives")),
    Case("a page without an end", Fault(LIST, page("<!-- -->" * 20_000)), 30, "more than 100000 bytes"),
    # The objects
    Case("an object that is cut, once", Fault(GET, half, 1), 0, retried=True),
    Case("an object that is reset, once", Fault(GET, reset, 1), 0, retried=True),
    Case("an object that is too short, once", Fault(GET, truncated, 1), 0, retried=True),
    Case("a login page instead of an object", Fault(GET, login_page()), 31, "of 3000 bytes", retried=True),
    Case("an object that is longer than listed", Fault(GET, lambda real: replace(real, content=real.content * 2)), 30, "not the listed one"),
    Case("an object that fails, always", Fault(GET, SLOW_DOWN), 31, "SlowDown", retried=True),
    Case("an object that may not be read", Fault(GET, Answer(403, {}, error("AccessDenied", "no"))), 30, "AccessDenied"),
]  # fmt: skip


@table(CASES)
@pytest.mark.lab
def test_a_store_that_misbehaves(
    case: Case, bucket: Bucket, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_at(bucket.url, tmp_path, ACCESS, SECRET)
    monkeypatch.setattr(s3_listing(), "MAX_OBJECTS", 50)
    monkeypatch.setattr(s3_listing(), "MAX_PAGE_BYTES", 100_000)
    monkeypatch.setattr(s3_place, "RETRY_AFTER_SECONDS", 0.5)
    bucket.faults += copy.deepcopy(case.faults)
    case.check(lambda: attempt(store, tmp_path / "data"), capsys)


def s3_listing() -> ModuleType:
    """The module, which the function of the same name hides."""
    return sys.modules["features.s3.listing"]


def attempt(store: s3.Store, folder: Path) -> None:
    s3.fetch(store, s3.listing(store), folder, folder.with_name("state.json"), Room())
    assert (folder / "deep" / "b.bin").read_bytes() == b"b" * 3000
