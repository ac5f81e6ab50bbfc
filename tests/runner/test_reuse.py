"""A folder that is used again: what lies there is compared with its manifest, and nothing is trusted that cannot vouch for itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from features import s3
from runner import lfs, manifest, prepare, trees
from runner.context import Context
from runner.errors import RunnerError
from runner.git import Git
from tests.conftest import rows
from tests.lab.s3_server import Bucket, serving

from .conftest import FILES, Ended, Server, push
from .test_cache import FAMILY

SHOW = "cat $DATASET_DIR/data.txt; test -e $DATASET_DIR/../go || exit 1; echo x > $ARTIFACTS_DIR/a"
CUSTOM = {
    "command": ["bash", "-c", SHOW], "exportCommand": [], "rendezvous": "none", "metricsFile": "", "checkpoints": "checkpoints/*",
    "artifacts": [], "lfsPatterns": [],
}  # fmt: skip
NOT_PUBLISHED = {"type": "none", "modelName": "m", "maxBatchSize": 1}


def source_of(server: Server, name: str, **more: Any) -> dict[str, Any]:
    return {"type": "git", "repository": f"{server.url}/{name}", "revision": "main", "path": "dataset", **more}


@pytest.fixture
def names(server: Server, tmp_path: Path) -> tuple[str, str]:
    """Two repositories: the data of one, and of another that lacks an LFS object on the server."""
    one, broken = f"{tmp_path.name}-one.git", f"{tmp_path.name}-broken.git"
    for name in (one, broken):
        server.repository(name)
    push(server, one, {"data.txt": "the data of one\n", "big.bin": "b" * 3000}, lfs="*.bin")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 5000\n"
    push(server, broken, {"data.txt": "the data of the other\n", "weights.bin": pointer})
    return one, broken


@pytest.fixture
def go(make_home: Callable[..., Path], run: Callable[..., Ended], server: Server) -> Callable[..., Ended]:
    def started(name: str, **environment: str) -> Ended:
        changes = {
            "sources": {"dataset": source_of(server, name)},
            "publish": NOT_PUBLISHED,
            "workspace.type": "newClaim",
        }
        home = make_home({**changes, "train": CUSTOM, "family": "custom"}, FILES / "families" / "custom", name)
        return run(home, **environment)

    return started


@pytest.mark.lab
def test_a_run_after_one_that_failed_in_prepare_does_not_train_on_its_files(
    names: tuple[str, str], go: Callable[..., Ended], tmp_path: Path
) -> None:
    one, broken = names
    assert go(one).code == 40  # the training fails, the mark of prepare stays
    assert go(broken).code == 30
    (tmp_path / "workspace" / "run-42" / "go").touch()
    ended = go(one)
    assert ended.code == 0, ended.log
    assert "\nthe data of one\n" in ended.log
    assert "the data of the other" not in ended.log
    assert ended.message["sources"]["dataset"]["repository"].endswith(one)


# trees that were changed behind the run's back


def touch(path: Path) -> None:
    os.utime(path, (1, 1))


def replace_by_a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


CHANGES: dict[str, Callable[[Path], object]] = {
    "a changed file": lambda tree: (tree / "data.txt").write_text("poisoned poisoned\n"),
    "a changed file of the same size": lambda tree: (tree / "data.txt").write_text("THE DATA OF ONE\n"),
    "a changed LFS file": lambda tree: (tree / "big.bin").write_text("c" * 3000),
    "a missing file": lambda tree: (tree / "data.txt").unlink(),
    "a missing LFS file": lambda tree: (tree / "big.bin").unlink(),
    "an extra file": lambda tree: (tree / "extra.txt").write_text("extra"),
    "an extra link": lambda tree: (tree / "extra").symlink_to("/etc"),
    "a file that became a link": lambda tree: replace_by_a_link(tree / "data.txt"),
    "a file that became a folder": lambda tree: replace_by_a_folder(tree / "data.txt"),
    "no folder": lambda tree: trees.remove(tree, tree.parent),
}
ALSO_OF_GIT = ("a changed LFS file", "a missing file")  # `make test` tries all of them on an object store
CONTENT = {"data.txt": b"the data of one\n", "big.bin": b"b" * 3000}


def content(tree: Path) -> dict[str, bytes]:
    kept = (path for path in tree.rglob("*") if path.is_file() and ".git" not in path.parts)
    return {str(path.relative_to(tree)): path.read_bytes() for path in kept if path.name != ".gitattributes"}


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    bucket = Bucket({f"data/{name}": value for name, value in CONTENT.items()}, public=True)
    with serving(bucket) as server:
        bucket.url = f"http://127.0.0.1:{server.server_port}"
        yield bucket


@pytest.fixture
def context(
    make_context: Callable[..., Context],
    server: Server,
    names: tuple[str, str],
    bucket: Bucket,
    request: pytest.FixtureRequest,
) -> Context:
    source = source_of(server, names[0]) if request.param == "git" else s3_source(bucket)
    return make_context({"sources": {"dataset": source}, "publish": NOT_PUBLISHED, "workspace.type": "newClaim"})


def s3_source(bucket: Bucket) -> dict[str, Any]:
    return {
        "type": "s3",
        "path": "dataset",
        "endpoint": bucket.url,
        "bucket": "datasets",
        "prefix": "data",
        "region": "us-east-1",
    }


def prepared(context: Context) -> int | None:
    return prepare.prepare(context, FAMILY, lambda: None)


@pytest.mark.parametrize(
    ("context", "change"),
    [
        pytest.param(
            kind, change, id=f"{kind}-{name}", marks=[pytest.mark.lab] * (kind == "git" and name not in ALSO_OF_GIT)
        )
        for kind in ("git", "s3")
        for name, change in CHANGES.items()
    ],
    indirect=["context"],
)
def test_what_differs_from_the_manifest_is_said_and_placed_again(
    context: Context, change: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    prepared(context)
    change(context.dataset)
    capsys.readouterr()
    assert prepared(context) is not None
    assert content(context.dataset) == CONTENT
    assert not any(path.is_symlink() for path in context.dataset.rglob("*"))
    if context.dataset.exists() and change is not CHANGES["no folder"]:
        assert "event=changed source=dataset" in capsys.readouterr().out
    assert prepared(context) is None


@pytest.mark.parametrize("context", ["git", "s3"], indirect=True)
def test_what_is_as_it_was_costs_no_request_for_data(context: Context, server: Server, bucket: Bucket) -> None:
    prepared(context)
    for path in (context.dataset / "data.txt", context.dataset / "big.bin"):
        copy = path.read_bytes()
        path.unlink()
        path.write_bytes(copy)  # another inode and time, as from a backup
    (context.dataset / "empty").mkdir()
    server.requests.clear()
    bucket.requests.clear()
    assert prepared(context) is None
    assert not [request for request in server.requests if "lfs" in request or "upload-pack" in request]
    assert not bucket.requests


@pytest.mark.parametrize("context", ["git"], indirect=True)
@pytest.mark.lab
def test_one_lost_lfs_file_is_fetched_alone(context: Context, server: Server, names: tuple[str, str]) -> None:
    push(server, names[0], {"other.bin": "o" * 3000}, lfs="*.bin")
    prepared(context)
    (context.dataset / "other.bin").unlink()
    server.requests.clear()
    prepared(context)
    assert content(context.dataset) == {**CONTENT, "other.bin": b"o" * 3000}
    assert len([request for request in server.requests if request.startswith("GET /storage/")]) == 1
    assert not [path for path in (context.dataset / ".git" / "lfs" / "objects").rglob("*") if path.is_file()]


@pytest.mark.lab
def test_another_kind_of_source_finds_nothing_of_the_one_before_and_writes_through_no_link(
    make_context: Callable[..., Context], server: Server, names: tuple[str, str], bucket: Bucket, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    bucket.objects["data/link/file"] = b"of the store"
    sources = {"git": {"dataset": source_of(server, names[0])}, "store": {"dataset": s3_source(bucket)}}
    of_git = make_context({"sources": sources["git"]})
    prepared(of_git)
    (of_git.dataset / "link").symlink_to(outside)
    of_store = make_context({"sources": sources["store"]})
    prepared(of_store)
    assert content(of_store.dataset) == {**CONTENT, "link/file": b"of the store"}
    assert not (of_store.dataset / ".git").exists()
    of_git = make_context({"sources": sources["git"]})
    prepared(of_git)
    assert content(of_git.dataset) == CONTENT
    assert not list(outside.iterdir())


def test_objects_are_not_written_through_a_link(bucket: Bucket, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "data").symlink_to(outside)
    store = s3.Store("dataset", bucket.url, "datasets", "", "", "", "", "", "", "")
    s3.fetch(store, s3.listing(store), tmp_path / "dataset", tmp_path / "state", RoomOf())
    assert not list(outside.iterdir())
    assert content(tmp_path / "dataset") == {f"data/{name}": value for name, value in CONTENT.items()}


class RoomOf:
    name, fix = "the disk", "buy one"

    @staticmethod
    def free_bytes() -> int:
        return 1 << 30


@pytest.mark.parametrize(
    "torn", ["", "{", '{"version": 1}\n', "[]\n", '{"version": 1, "source": {"type": "git"}, "whole": true}\n[1]\n']
)
def test_a_torn_manifest_vouches_for_nothing(torn: str, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("one")
    (tmp_path / "manifest").write_text(torn)
    found = manifest.check(tmp_path / "manifest", tmp_path / "tree", tmp_path, {"type": "git"})
    assert found is None or found.extra == ["file"]


# LFS pointers

OID = "4665a5ea423c2713d436b5ee50593a9640e0018c1550b5a0002f74190d6caea8"
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 12\n"
POINTERS = {
    "as git-lfs writes it": POINTER,
    "with a carriage return at every line's end": POINTER.replace("\n", "\r\n"),
    "of git-media": POINTER.replace("https://git-lfs.github.com/spec/v1", "http://git-media.io/v/2"),
    "of hawser": POINTER.replace("git-lfs.github.com", "hawser.github.com"),
    "with an extension": POINTER.replace("oid", f"ext-0-crypt sha256:{OID}\noid", 1),
    "without an end of the last line": POINTER.rstrip("\n"),
    "with a byte order mark": "\ufeff" + POINTER,
    "with an empty line before": "\n" + POINTER,
    "larger than git-lfs writes any": POINTER + "#" * 2000,
}
DATA = {
    "a text about pointers": "The first line is: " + POINTER,
    "a version alone": POINTER.splitlines()[0] + "\n" + "x" * 200,
    "another version": POINTER.replace("git-lfs.github.com/spec/v1", "example.com/spec/v1"),
}


@pytest.mark.parametrize("text", POINTERS.values(), ids=POINTERS)
def test_a_pointer_is_found_in_every_form(text: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(text.encode())
    (found,) = lfs.pointers(tmp_path)
    assert (found.oid, found.size) == (OID, 12)
    with pytest.raises(RunnerError, match="1 files are LFS pointers without data: file"):
        lfs.refuse_unusable("dataset", tmp_path)


@pytest.mark.parametrize("text", DATA.values(), ids=DATA)
def test_data_is_not_taken_for_a_pointer(text: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(text)
    assert not lfs.pointers(tmp_path)


def test_many_small_files_are_looked_at_together(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / str(number)).write_text("0 0.5 0.5 0.1 0.1\n" * 10)
    (tmp_path / "pointer").write_text(POINTER)
    assert [pointer.path.name for pointer in lfs.pointers(tmp_path)] == ["pointer"]


@pytest.mark.lab
@pytest.mark.parametrize(
    "form", rows(["with a carriage return at every line's end", "of git-media", "of hawser"], "of git-media")
)
def test_the_object_of_a_pointer_in_an_odd_form_is_fetched(
    form: str, make_context: Callable[..., Context], server: Server, names: tuple[str, str]
) -> None:
    data = push_pointer(server, names[0], form)
    context = make_context({"sources": {"dataset": source_of(server, names[0])}})
    prepared(context)
    assert (context.dataset / "odd.dat").read_text() == data


def push_pointer(server: Server, name: str, form: str) -> str:
    """A pointer in this form, committed as it is, to an object that the server has."""
    import hashlib

    data = f"the object of a pointer {form}\n"
    push(server, name, {"object.bin": data}, lfs="*.bin")
    oid = hashlib.sha256(data.encode()).hexdigest()
    push(server, name, {"odd.dat": POINTERS[form].replace(OID, oid).replace("size 12", f"size {len(data)}")})
    return data


@pytest.mark.lab
def test_a_file_that_went_through_an_lfs_extension_is_refused(
    make_context: Callable[..., Context], server: Server, names: tuple[str, str]
) -> None:
    push_pointer(server, names[0], "with an extension")
    context = make_context({"sources": {"dataset": source_of(server, names[0])}})
    with pytest.raises(RunnerError, match=r"stored through the LFS extension crypt.*odd\.dat"):
        prepared(context)


@pytest.mark.parametrize("kind", ["s3", "claim"])
def test_a_pointer_left_behind_in_an_object_store_or_on_a_claim_is_an_error(
    kind: str, make_context: Callable[..., Context], bucket: Bucket, tmp_path: Path
) -> None:
    bucket.objects["data/weights.bin"] = POINTER.encode()
    (tmp_path / "sources" / "dataset").mkdir(parents=True)
    (tmp_path / "sources" / "dataset" / "weights.bin").write_text(POINTER)
    claim = {"type": "claim", "path": "dataset", "claimName": "data"}
    context = make_context({"sources": {"dataset": claim if kind == "claim" else s3_source(bucket)}})
    with pytest.raises(RunnerError, match=r"dataset: 1 files are LFS pointers without data: weights\.bin"):
        prepared(context)


# what cannot be removed


@pytest.fixture
def immutable(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    made: list[Path] = []

    def make(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("of another training")
        made.append(path)
        if subprocess.run(["chattr", "+i", str(path)], check=False, capture_output=True).returncode:
            pytest.skip("the file system knows no immutable files")

    yield make
    for path in made:
        subprocess.run(["find", str(tmp_path), "-name", path.name, "-exec", "chattr", "-i", "{}", "+"], check=True)


@pytest.mark.lab
@pytest.mark.parametrize("place", ["output/checkpoints/old.pt", "artifacts/old.pt"])
def test_what_cannot_be_removed_is_moved_and_never_counts_as_this_training_s(
    place: str, names: tuple[str, str], go: Callable[..., Ended], immutable: Callable[[Path], None], tmp_path: Path
) -> None:
    root = tmp_path / "workspace" / "run-42"
    immutable(root / place)
    (root / "go").touch()
    ended = go(names[0])
    assert ended.code == 0, ended.log
    assert [file["path"] for file in ended.message["files"]] == ["README.md", "a"]
    assert not (root / place).exists()
    assert list(root.glob("previous/**/old.pt"))


def test_the_mark_of_an_export_is_gone_before_its_artifacts_are(
    make_context: Callable[..., Context], tmp_path: Path
) -> None:
    from runner import export

    context = make_context({"sources": {}, "publish": NOT_PUBLISHED})
    context.workspace.mark("export", export.depends_on(context))
    other = make_context({"sources": {}, "publish": {**NOT_PUBLISHED, "modelName": "other"}})

    class Broken:
        @staticmethod
        def has(_: str) -> bool:
            raise RunnerError("export-failed", "killed", "never")

    with pytest.raises(RunnerError, match="killed"):
        export.export(other, Broken(), {})  # type: ignore[arg-type]
    assert not context.workspace.is_marked("export", export.depends_on(context))


OTHER_RUN = "run-43-0a1b2c3d-9999-2222-3333-444455556666"


@pytest.mark.lab
@pytest.mark.parametrize(
    "change",
    rows(
        ["another claim", "another folder", "a new file", "another environment", "another image"],
        "another claim",
        "another environment",
    ),
)
def test_what_a_run_trained_is_not_another_s_whose_claim_environment_or_image_differs(
    change: str, make_home: Callable[..., Path], run: Callable[..., Ended], tmp_path: Path
) -> None:
    """None has a commit, and all other settings are the same."""
    mount, claim, rate, image = tmp_path / "sources" / "dataset", "one", "1", "trainer:1"
    mount.mkdir(parents=True)
    (mount / "data.txt").write_text("old\n")
    program = ["bash", "-c", "cat $DATASET_DIR/data.txt > $ARTIFACTS_DIR/a; echo $RATE >> $ARTIFACTS_DIR/a"]

    def go(**environment: str) -> str:
        source = {"type": "claim", "claimName": claim, "path": "dataset"}
        changes = {"sources": {"dataset": source}, "publish": NOT_PUBLISHED, "workspace.type": "newClaim"}
        changes["image"] = image
        train = {"train": {**CUSTOM, "command": program}, "family": "custom", "env": {"RATE": rate}}
        ended = run(make_home({**changes, **train}, FILES / "families" / "custom"), **environment)
        assert ended.code == 0, ended.log
        return (tmp_path / "workspace" / "run-42" / "artifacts" / "a").read_text()

    assert go() == "old\n1\n"
    assert go(JOB_GROUP=OTHER_RUN) == "old\n1\n"
    assert not (tmp_path / "workspace" / "run-42" / "previous").exists()  # all the same: nothing is trained again
    if change == "another environment":
        rate = "2"
    elif change == "another image":
        image = "trainer:2"
    elif change == "a new file":
        (mount / "data.txt").write_text("new\n")
    else:  # the pod has a subPath's folder at the same place as the whole claim
        claim = "other" if change == "another claim" else claim
        mount.rename(tmp_path / "moved")
        mount.mkdir(parents=True)
        (mount / "data.txt").write_text("other\n")
    same = {"another environment": "old\n2\n", "a new file": "new\n1\n", "another image": "old\n1\n"}
    wanted = same.get(change, "other\n1\n")
    assert go(JOB_GROUP="run-44-0a1b2c3d-8888-2222-3333-444455556666") == wanted
    (kept,) = (tmp_path / "workspace" / "run-42" / "previous").glob("*/artifacts/a")
    assert kept.read_text() == "old\n1\n"


def test_a_run_resumes_its_own_training_where_its_claim_grows_meanwhile(
    make_context: Callable[..., Context], tmp_path: Path
) -> None:
    mount = tmp_path / "sources" / "dataset"
    mount.mkdir(parents=True)
    (mount / "data.txt").write_text("old\n")
    source = {"type": "claim", "claimName": "one", "path": "dataset"}
    context = make_context({"sources": {"dataset": source}, "publish": NOT_PUBLISHED, "workspace.type": "newClaim"})
    pinned = prepare.pin(context, Git(context))
    (mount / "more.txt").write_text("more\n")
    assert prepare.pin(context, Git(context)) == pinned
    context.uid = "another"
    assert prepare.pin(context, Git(context)) != pinned


@pytest.mark.lab
@pytest.mark.parametrize("context", ["git", "s3"], indirect=True)
def test_what_differs_and_cannot_be_removed_still_differs_for_the_next_attempt(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a trainer has written over data is never taken for the data, wherever the attempt that removes it ends."""
    prepared(context)
    (context.dataset / "data.txt").write_text("not the data 1\n")
    (context.dataset / "big.bin").write_bytes(b"c" * 3000)
    (context.dataset / "extra.txt").write_text("x")
    before = trees.remove

    def remove(path: Path, below: Path) -> None:
        if path.name in ("data.txt", "extra.txt"):
            raise PermissionError(f"{path} cannot be removed")
        before(path, below)

    with monkeypatch.context() as patched:
        patched.setattr(trees, "remove", remove)
        with pytest.raises(PermissionError):
            prepared(context)
    prepared(context)
    assert content(context.dataset) == CONTENT
