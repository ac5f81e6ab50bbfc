"""A private view of a source in the cache or on a claim: the trainer may write beside its data, and nobody else sees it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner import inside, prepare, view
from runner.context import Context
from runner.errors import RunnerError

from .conftest import Server, push
from .test_cache import FAMILY

CUT, WHOLE = b"\xff\xd8" + b"x" * 300, b"\xff\xd8" + b"x" * 300 + b"\xff\xd9"
YOLO: Any = SimpleNamespace(
    probe=FAMILY.probe, has=lambda hook: hook == "rewrites", call=lambda _, __, path: view.is_cut_jpeg(path)
)


@pytest.fixture(params=["cache", "claim"])
def context(
    make_context: Callable[..., Context], server: Server, tmp_path: Path, request: pytest.FixtureRequest
) -> Context:
    changes: dict[str, Any] = {
        "run.family.writesBeside": {"dataset": ["*.yaml", "*.txt"]},
        "workspace.type": "newClaim",
    }
    if request.param == "cache":
        name = f"{tmp_path.name}.git"
        server.repository(name)
        push(server, name, {"data.yaml": "train: images\n", "images/a.png": "a", "labels/a.txt": "0 1 1 1 1\n"})
        (tmp_path / "cache").mkdir()
        changes["cache"] = {"claimName": "cache"}
        source = {"type": "git", "repository": f"{server.url}/{name}", "revision": "main", "cached": True}
    else:
        claim = tmp_path / "sources" / "dataset"
        for path, content in {
            "data.yaml": b"train: images\n",
            "images/a.png": b"a",
            "labels/a.txt": b"0 1 1 1 1\n",
        }.items():
            (claim / path).parent.mkdir(parents=True, exist_ok=True)
            (claim / path).write_bytes(content)
        (claim / "images" / "cut.jpg").write_bytes(CUT)
        (claim / "images" / "whole.jpg").write_bytes(WHOLE)
        (claim / "images" / "again.png").symlink_to("a.png")
        source = {"type": "claim", "claimName": "data"}
    changes["sources"] = {"dataset": {**source, "path": "datasets/shapes"}}
    return make_context(changes)


def prepared(context: Context) -> int | None:
    return prepare.prepare(context, YOLO, lambda: None)


def test_a_trainer_writes_beside_its_data_and_the_source_stays_as_it_is(context: Context) -> None:
    prepared(context)
    image = context.dataset / "images" / "a.png"
    source = image.resolve().parents[1]
    assert image.is_symlink()
    assert source != context.dataset
    before = sorted(source.rglob("*"))
    (context.dataset / "labels.cache").write_text("labels")
    (context.dataset / "labels" / "train.cache").write_text("labels")
    (context.dataset / "data.yaml").write_text("changed")
    assert sorted(source.rglob("*")) == before
    assert (source / "data.yaml").read_text() == "train: images\n"
    assert inside.Sources(context.dataset, *context.view_targets).contains(image)
    prepared(context)
    assert not (context.dataset / "labels.cache").exists()
    assert (context.dataset / "data.yaml").read_text() == "train: images\n"


@pytest.mark.parametrize("context", ["claim"], indirect=True)
def test_what_the_trainer_rewrites_is_a_copy_and_links_stay_links(context: Context) -> None:
    prepared(context)
    images = context.dataset / "images"
    assert {path.name: path.is_symlink() for path in images.iterdir()} == {
        "a.png": True,
        "again.png": True,
        "cut.jpg": False,
        "whole.jpg": True,
    }
    (images / "cut.jpg").write_bytes(WHOLE)
    assert (Path(context.settings.mount("dataset")) / "images" / "cut.jpg").read_bytes() == CUT


@pytest.mark.parametrize("context", ["claim"], indirect=True)
def test_a_view_shows_what_is_on_the_claim_now(context: Context, make_context: Callable[..., Context]) -> None:
    prepared(context)
    (Path(context.settings.mount("dataset")) / "images" / "new.png").write_text("new")
    context.attempt = 1
    prepared(context)
    assert (context.dataset / "images" / "new.png").read_text() == "new"


@pytest.mark.parametrize("context", ["claim"], indirect=True)
def test_what_would_let_its_reader_wait_forever_is_refused(context: Context) -> None:
    os.mkfifo(Path(context.settings.mount("dataset")) / "images" / "camera.jpg")
    with pytest.raises(RunnerError) as error:
        prepared(context)
    assert (error.value.exit.name, error.value.reason) == (
        "prepare-failed",
        "dataset: 'images/camera.jpg' is a FIFO, a socket or a device, and no file",
    )


@pytest.mark.parametrize("context", ["claim"], indirect=True)
def test_the_socket_of_git_s_file_system_monitor_is_nobody_s_data(context: Context) -> None:
    folder = Path(context.settings.mount("dataset")) / ".git"
    folder.mkdir()
    os.mkfifo(folder / "fsmonitor--daemon.ipc")  # a socket there; its path would be too long for one here
    prepared(context)


@pytest.mark.parametrize("context", ["claim"], indirect=True)
def test_a_view_leads_to_no_file_outside_of_the_source(context: Context, tmp_path: Path) -> None:
    (tmp_path / "secret-file").write_text("secret")
    (Path(context.settings.mount("dataset")) / "images" / "b.png").symlink_to(tmp_path / "secret-file")
    with pytest.raises(RunnerError, match="outside of the run's sources"):
        prepared(context)


def test_a_file_that_is_rewritten_is_a_copy_even_behind_a_link_to_another_folder(tmp_path: Path) -> None:
    source, other = tmp_path / "source", tmp_path / "other"
    source.mkdir()
    other.mkdir()
    (other / "cut.jpg").write_bytes(CUT)
    (source / "cut.jpg").symlink_to(other / "cut.jpg")
    (source / "again.jpg").symlink_to("cut.jpg")
    view.fill(tmp_path / "view", source, [], view.is_cut_jpeg)
    assert not (tmp_path / "view" / "cut.jpg").is_symlink()
    (tmp_path / "view" / "again.jpg").write_bytes(WHOLE)
    assert (other / "cut.jpg").read_bytes() == CUT
