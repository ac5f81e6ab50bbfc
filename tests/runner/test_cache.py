"""Sources that do not lie in the run's folder: the cache volume, and claims."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner import manifest, prepare
from runner.context import Context
from runner.errors import RunnerError
from runner.git import Git
from runner.remote import Remote

from .conftest import Server, fake_family, push

FAMILY = fake_family()


@pytest.fixture
def repository(server: Server, tmp_path: Path) -> str:
    name = f"{tmp_path.name}.git"
    server.repository(name)
    return name


@pytest.fixture
def context_of(
    make_context: Callable[..., Context], server: Server, repository: str, tmp_path: Path
) -> Callable[..., Context]:
    """A run with the repository as its model, kept in the cache; each run has a folder of its own."""

    def make(run: str, **changes: Any) -> Context:
        source = {
            "type": "git",
            "repository": f"{server.url}/{repository}",
            "revision": "main",
            "path": "model",
            "cached": True,
        }
        (tmp_path / "cache").mkdir(exist_ok=True)
        fixed = {
            "sources": {"model": source},
            "cache": {"claimName": "cache"},
            "workspace.directory": run,
        }
        return make_context({**fixed, **changes})

    return make


def failure(context: Context) -> RunnerError:
    with pytest.raises(RunnerError) as caught:
        prepare.prepare(context, FAMILY, lambda: None)
    return caught.value


def test_the_second_run_fetches_no_lfs_data(
    server: Server, repository: str, context_of: Callable[..., Context], capsys: pytest.CaptureFixture[str]
) -> None:
    push(server, repository, {"a.pt": "a" * 2000}, lfs="*.pt")
    one, two = context_of("one"), context_of("two")
    prepare.prepare(one, FAMILY, lambda: None)
    server.requests.clear()
    prepare.prepare(two, FAMILY, lambda: None)
    assert not [request for request in server.requests if "/info/lfs" in request]
    assert "event=cache source=model hit=true" in capsys.readouterr().out
    assert one.model.resolve() == two.model.resolve()
    assert (two.model / "a.pt").read_text() == "a" * 2000


@pytest.mark.lab
def test_what_a_killed_run_left_half_done_is_done_again(
    server: Server, repository: str, context_of: Callable[..., Context]
) -> None:
    push(server, repository, {"a.pt": "a" * 2000}, lfs="*.pt")
    one = context_of("one")
    prepare.prepare(one, FAMILY, lambda: None)
    entry = one.model.resolve().parent
    (entry / "manifest").unlink()
    (entry / "content" / ".git" / "HEAD").unlink()
    two = context_of("two")
    prepare.prepare(two, FAMILY, lambda: None)
    assert (two.model / "a.pt").read_text() == "a" * 2000


def test_a_cache_that_is_only_read_must_have_been_filled(
    server: Server, repository: str, context_of: Callable[..., Context]
) -> None:
    commit = push(server, repository, {"a": "a"})
    read_only = {"cache.readOnly": True}
    error = failure(context_of("one", **read_only))
    assert (error.exit.name, commit in error.reason, "cache.readOnly" in error.reason) == ("prepare-failed", True, True)
    prepare.prepare(context_of("two"), FAMILY, lambda: None)
    prepare.prepare(context_of("three", **read_only), FAMILY, lambda: None)


def test_a_full_cache_is_told(
    server: Server, repository: str, context_of: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    push(server, repository, {"a.pt": "a" * 2000}, lfs="*.pt")
    monkeypatch.setattr("features.cache.shutil.disk_usage", lambda path: SimpleNamespace(free=100))
    error = failure(context_of("one"))
    assert error.exit.name == "prepare-no-space"
    assert "the cache volume has 100 free" in error.reason


def test_a_cache_that_git_finds_full_is_told_and_filled_by_a_later_run(
    server: Server, repository: str, context_of: Callable[..., Context], tmp_path: Path
) -> None:
    push(server, repository, {"a": "a"})

    def no_space(git: Git, *arguments: Any) -> int:
        raise Remote("model", f"{server.url}/{repository}").failure(
            "fatal: write: No space left on device", git._settings
        )

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("runner.checkout.fetch", no_space)
        error = failure(context_of("one"))
    assert error.exit.name == "prepare-no-space"
    assert error.reason.startswith("model.cached: the cache volume is full: ")
    assert "larger" in error.fix
    (record,) = (tmp_path / "cache").glob("*/*/manifest")
    assert '"whole": false' in record.read_text()
    prepare.prepare(context_of("two"), FAMILY, lambda: None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_told(
    server: Server, repository: str, context_of: Callable[..., Context], tmp_path: Path
) -> None:
    push(server, repository, {"a": "a"})
    context = context_of("one")
    (tmp_path / "cache").chmod(0o555)
    assert "cannot be written" in failure(context).reason


def claim(tmp_path: Path) -> dict[str, Any]:
    return {"sources": {"dataset": {"type": "claim", "claimName": "coco", "path": "datasets/coco"}}}


def test_a_claim_is_linked_to_its_place(make_context: Callable[..., Context], tmp_path: Path) -> None:
    (tmp_path / "sources" / "dataset").mkdir(parents=True)
    (tmp_path / "sources" / "dataset" / "a.jpg").write_text("12345")
    context = make_context(claim(tmp_path))
    assert prepare.prepare(context, FAMILY, lambda: None) == 5
    assert (context.folder / "datasets/coco/a.jpg").read_text() == "12345"
    assert context.sources["dataset"].repository == "claim:coco"


def test_an_empty_claim_is_told(make_context: Callable[..., Context], tmp_path: Path) -> None:
    (tmp_path / "sources" / "dataset").mkdir(parents=True)
    error = failure(make_context(claim(tmp_path)))
    assert (error.exit.name, "claim coco is empty" in error.reason) == ("prepare-failed", True)


def test_a_folder_of_an_earlier_run_is_not_replaced_by_a_link(
    make_context: Callable[..., Context], tmp_path: Path
) -> None:
    (tmp_path / "sources" / "dataset").mkdir(parents=True)
    (tmp_path / "sources" / "dataset" / "a.jpg").write_text("12345")
    context = make_context(claim(tmp_path))
    (context.folder / "datasets/coco").mkdir(parents=True)
    assert "is a folder in the workspace" in failure(context).reason


@pytest.mark.lab
def test_an_entry_is_read_only_and_compared_before_it_is_used(
    server: Server, repository: str, context_of: Callable[..., Context], capsys: pytest.CaptureFixture[str]
) -> None:
    push(server, repository, {"a.pt": "a" * 2000, "data.txt": "clean"}, lfs="*.pt")
    one = context_of("one")
    prepare.prepare(one, FAMILY, lambda: None)
    entry = one.model.resolve()
    assert not [path for path in [entry, *entry.rglob("*")] if path.lstat().st_mode & 0o222 and not path.is_symlink()]
    (entry / "data.txt").chmod(0o644)
    (entry / "data.txt").write_text("poisoned")
    error = failure(context_of("two", **{"cache.readOnly": True}))
    assert "a damaged entry" in error.reason
    assert "1 changed (such as data.txt)" in error.reason
    capsys.readouterr()
    two = context_of("three")
    prepare.prepare(two, FAMILY, lambda: None)
    assert "event=changed source=model" in capsys.readouterr().out
    assert (two.model / "data.txt").read_text() == "clean"
    assert not (entry / "data.txt").stat().st_mode & 0o222
    assert not manifest.compare(entry.parent / "manifest", entry)


@pytest.mark.lab
def test_an_entry_from_before_there_were_manifests_is_used(
    server: Server, repository: str, context_of: Callable[..., Context], capsys: pytest.CaptureFixture[str]
) -> None:
    push(server, repository, {"a.pt": "a" * 2000}, lfs="*.pt")
    one = context_of("one")
    prepare.prepare(one, FAMILY, lambda: None)
    place = one.model.resolve().parent
    (place / "manifest").rename(place / "complete")
    prepare.prepare(context_of("two", **{"cache.readOnly": True}), FAMILY, lambda: None)
    assert "cannot be checked" in capsys.readouterr().out
    prepare.prepare(context_of("three"), FAMILY, lambda: None)
    assert (place / "manifest").exists()
    assert not (place / "complete").exists()
