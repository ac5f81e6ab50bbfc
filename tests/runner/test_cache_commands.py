"""What `trainchart cache` runs in a pod: the entries of a volume, listed, read, and pruned beside runs that use them."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from features import cache
from features.cache_commands import entries
from runner import manifest, prepare, trees
from runner.context import Context
from runner.errors import RunnerError

from .conftest import Ended, Server, fake_family, push

FAMILY = fake_family()
DAY = 86400.0
URL = "https://git.example.com/team/coco.git"
OTHER = "https://git.example.com/team/sft.git"


@pytest.fixture(autouse=True)
def ends_with_the_test() -> Iterator[None]:
    """Let go of what the runs of a test hold to the end of their process."""
    before, cache._held[:] = cache._held[:], []
    yield
    release()
    cache._held[:] = before


def release() -> None:
    """End the runs of this process."""
    while cache._held:
        os.close(cache._held.pop())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir(exist_ok=True)
    return tmp_path / "cache"


def fill(root: Path, commit: str = "a" * 40, url: str = URL, days: float = 0, user: str = "training/run-42") -> Path:
    """An entry as the runner makes it, last used so many days ago by a run that has ended."""
    place = root / cache.folder_of(url) / commit
    source = {"type": "git", "location": url, "commit": commit}
    cache.hold(place, root, user)
    (place / "content").mkdir(parents=True)
    (place / "content" / "a.bin").write_bytes(b"a" * 2000)
    (place / "lock").touch()
    digest = manifest.file_digest(place / "content" / "a.bin", "sha256")
    manifest.write(place / "manifest", place / "content", place, source, {"a.bin": f"sha256:{digest}"})
    trees.protect(place / "content")
    release()
    past = time.time() - days * DAY
    for name in ("manifest", "used"):
        os.utime(place / name, (past, past))
    return place


def pruned(root: Path, **options: Any) -> dict[str, str]:
    """The commits that prune chooses, by their first digit: removed, or why they stay."""
    found = [one for one in entries.pruned(root, **options) if "entry" in one]
    return {one["commit"][0]: one.get("stays", "removed") for one in found}


def listed(root: Path) -> list[dict[str, Any]]:
    return list(entries.listed(root))[:-1]


def test_an_entry_is_listed_with_its_source_size_age_and_last_user(root: Path) -> None:
    fill(root, days=3)
    (found,) = listed(root)
    assert found["entry"] == f"{cache.folder_of(URL)}/{'a' * 40}"
    assert (found["type"], found["location"], found["commit"]) == ("git", URL, "a" * 40)
    assert (found["state"], found["user"], found["inUse"]) == ("complete", "training/run-42", False)
    assert found["bytes"] > 2000
    assert 2.9 < (time.time() - found["used"]) / DAY < 3.1
    assert 2.9 < (time.time() - found["filled"]) / DAY < 3.1


def test_the_last_used_is_first_and_what_is_not_an_entry_is_not_listed(root: Path) -> None:
    fill(root, "a" * 40, days=3)
    fill(root, "b" * 40, days=1)
    fill(root, "c" * 40, "https://git.example.com/team/model.git", days=2)
    foreign = root / "models-0123456789ab" / ("d" * 40)
    foreign.mkdir(parents=True)
    (foreign / "weights.bin").write_text("of somebody else")
    (root / "lost+found").mkdir()
    (root / cache.folder_of(URL) / ("e" * 40)).symlink_to(foreign)
    strange = fill(root, "f" * 40, days=9)
    moved = root / "other-0123456789ab"  # the folder of another source
    moved.mkdir()
    strange.rename(moved / strange.name)
    assert [found["commit"][0] for found in listed(root)] == ["b", "c", "a"]
    assert pruned(root) == {"b": "removed", "c": "removed", "a": "removed"}
    assert (foreign / "weights.bin").exists()
    assert (moved / ("f" * 40) / "manifest").exists()


def test_what_is_wrong_at_first_sight_is_listed(root: Path) -> None:
    place = fill(root)
    trees.unprotect(place / "content")
    (place / "content" / "a.bin").write_bytes(b"short")
    half = fill(root, "b" * 40)
    (half / "manifest").unlink()
    old = fill(root, "c" * 40)
    (old / "manifest").rename(old / "complete")
    states = {found["commit"][0]: (found["state"], found.get("problem", "")) for found in listed(root)}
    assert states == {
        "a": ("damaged", "1 changed (such as a.bin)"),
        "b": ("incomplete", ""),
        "c": ("unchecked", ""),
    }


def test_a_flipped_byte_is_found_though_size_and_time_are_the_same(root: Path) -> None:
    place = fill(root)
    fill(root, "b" * 40)
    file = place / "content" / "a.bin"
    before = file.stat()
    file.chmod(0o644)
    with file.open("r+b") as stream:
        stream.seek(1000)
        stream.write(b"b")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert [found["state"] for found in listed(root)] == ["complete", "complete"], "a run would use it"
    found = {one["commit"][0]: one for one in entries.verified(root) if "problem" in one}
    assert found["a"]["state"] == "damaged"
    assert found["a"]["problem"] == "1 changed (such as a.bin)"
    assert (found["b"]["state"], found["b"]["problem"]) == ("complete", "")
    (only,) = [one for one in entries.verified(root, ["bbbbbbb"]) if "problem" in one]
    assert only["commit"] == "b" * 40


def test_an_entry_is_named_by_its_commit_or_its_whole_name_and_by_nothing_that_is_ambiguous(root: Path) -> None:
    fill(root, "a" * 40)
    fill(root, "a" * 40, "https://git.example.com/team/other.git")
    with pytest.raises(entries.UnknownEntryError, match="'aaaaaaaa' is the commit of 2 entries"):
        pruned(root, names=["aaaaaaaa"])
    with pytest.raises(entries.UnknownEntryError, match="the cache has no entry 'bbbbbbb'"):
        pruned(root, names=["bbbbbbb"])
    with pytest.raises(entries.UnknownEntryError, match="the cache has no entry 'a'"):
        pruned(root, names=["a"])
    assert pruned(root, names=[f"{cache.folder_of(URL)}/{'a' * 40}"]) == {"a": "removed"}
    assert [one["location"] for one in listed(root)] == ["https://git.example.com/team/other.git"]


@pytest.mark.parametrize("repository", ["_new.git", "模型", "模型.git", "--force"])
def test_no_name_of_an_entry_is_taken_for_an_option(repository: str, root: Path) -> None:
    """`-new.git-...` would be the namespace `ew.git-...`."""
    place = fill(root, url=f"https://git.example.com/team/{repository}")
    (entry,) = listed(root)
    assert re.match("[A-Za-z0-9.]", entry["entry"])
    place.parent.rename(place.parent.with_name(f"-{place.parent.name}"))  # as it was called before
    assert [one["commit"] for one in listed(root)] == ["a" * 40]
    assert pruned(root, names=["a" * 40]) == {"a": "removed"}


def test_prune_goes_by_the_last_use_and_keeps_the_last_commits_of_each_source(root: Path) -> None:
    for commit, days in (("a", 40), ("b", 35), ("c", 1)):
        fill(root, commit * 40, days=days)
    fill(root, "d" * 40, "https://git.example.com/team/model.git", days=90)
    assert pruned(root, unused_seconds=30 * DAY, dry_run=True) == dict.fromkeys("abd", "removed")
    assert len(listed(root)) == 4
    assert pruned(root, unused_seconds=30 * DAY, keep=2) == {"a": "removed"}
    assert pruned(root, unused_seconds=30 * DAY, keep=1) == {"b": "removed"}
    assert sorted(one["commit"][0] for one in listed(root)) == ["c", "d"]
    assert pruned(root, unused_seconds=30 * DAY) == {"d": "removed"}


def test_what_a_run_uses_is_not_pruned_and_its_use_counts(root: Path) -> None:
    place = fill(root, days=40)
    cache.hold(place, root, "training/run-43")
    assert pruned(root) == {"a": "it is in use by training/run-43"}
    assert listed(root)[0]["inUse"] is True
    release()
    assert pruned(root, unused_seconds=30 * DAY) == {}
    assert listed(root)[0]["user"] == "training/run-43"
    assert pruned(root) == {"a": "removed"}


def test_filling_again_keeps_the_name_of_the_last_user_and_counts_as_a_use(root: Path) -> None:
    place = fill(root, days=40)
    cache.hold(place, root, "")
    release()
    assert listed(root)[0]["user"] == "training/run-42"
    assert pruned(root, unused_seconds=30 * DAY) == {}


def test_an_entry_of_an_older_chart_is_pruned_by_its_age_and_a_dry_run_does_not_make_it_younger(root: Path) -> None:
    place = fill(root, days=40)
    (place / "used").unlink()
    for _ in range(2):
        assert pruned(root, unused_seconds=30 * DAY, dry_run=True) == {"a": "removed"}
    assert pruned(root, unused_seconds=30 * DAY) == {"a": "removed"}


WANTED = {"location": URL, "commit": "", "run": "training/waits"}


@pytest.mark.parametrize(
    ("wanted", "stays"),
    [
        ({**WANTED, "commit": "a" * 40}, "a"),
        (WANTED, "b"),  # that of the newest
        ({**WANTED, "run": "training/run-42"}, "ab"),  # which has used both
        ({**WANTED, "location": "https://git.example.com/team/model.git"}, ""),
    ],
)
def test_what_a_waiting_run_needs_is_not_pruned(wanted: dict[str, str], stays: str, root: Path) -> None:
    fill(root, "a" * 40, days=3)
    fill(root, "b" * 40, days=2)
    found = pruned(root, wanted=[wanted])
    assert "".join(commit for commit, why in sorted(found.items()) if "has not finished" in why) == stays


def test_entries_that_older_runs_may_use_without_a_lock_stay_while_one_has_not_finished(root: Path) -> None:
    (fill(root, "a" * 40, days=3) / "used").unlink()
    fill(root, "b" * 40, days=2)
    assert "training/waits" in pruned(root, wanted=[WANTED])["a"]


def test_a_prune_that_was_killed_leaves_nothing_half_deleted_that_a_run_can_find(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = fill(root)

    class KilledError(BaseException):
        pass

    def killed(path: Path, below: Path) -> None:
        trees.unprotect(path)
        (path / "content" / "a.bin").unlink()
        raise KilledError

    with monkeypatch.context() as patched, suppress(KilledError):
        patched.setattr(trees, "remove", killed)
        pruned(root)
    assert not place.exists()
    assert listed(root) == []
    assert list(entries.listed(root))[-1]["removed"] > 0
    assert next(iter(entries.pruned(root)))["swept"] > 0
    assert list(place.parent.iterdir()) == []


def test_a_disk_on_which_no_folder_can_be_made_any_more_is_pruned(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(root, days=40)

    def full(path: str, *_: Any, dir_fd: int) -> None:
        error = errno.EEXIST if path in os.listdir(dir_fd) else errno.ENOSPC
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr("os.mkdir", full)
    assert pruned(root, unused_seconds=30 * DAY) == {"a": "removed"}


def test_what_was_used_by_the_clock_of_a_server_that_is_ahead_is_pruned(root: Path) -> None:
    fill(root, days=-1)
    assert pruned(root, unused_seconds=0) == {"a": "removed"}


SOURCE = {"type": "git", "location": URL, "commit": "b" * 40}
HEAD = {"version": 1, "source": SOURCE, "whole": True}


@pytest.mark.parametrize(
    ("header", "line", "state"),
    [
        ({**HEAD, "source": {**SOURCE, "location": None}}, "", None),
        ({**HEAD, "source": [URL]}, "", "incomplete"),
        (HEAD, "[5, 5, 5, 5, 5]", "damaged"),
        (HEAD, '["a.bin", null, null, null, null]', "damaged"),
        (HEAD, '["a\\u0000b", 1, 1, 1, ""]', "damaged"),
        (HEAD, '["../../../outside", 1, 1, 1, ""]', "damaged"),
        (HEAD, '["a.bin", 2000, 1, 1, "of-a-later-version:00"]', "damaged"),
        ("[" * 100000, "", "incomplete"),
    ],
)
def test_a_manifest_that_makes_no_sense_keeps_nobody_from_the_other_entries(
    header: Any, line: str, state: str | None, root: Path
) -> None:
    fill(root, "c" * 40, days=40, url=OTHER)
    place = fill(root, days=50)
    text = header if isinstance(header, str) else json.dumps(header)
    (place / "manifest").write_text(f"{text}\n{line}\n")
    states = {one["commit"][0]: one["state"] for one in entries.verified(root) if "problem" in one}
    assert states == {"c": "complete", **({"a": state} if state else {})}
    assert {one["commit"][0] for one in listed(root)} == states.keys()
    assert pruned(root) == dict.fromkeys(states, "removed")


def test_pipes_in_the_place_of_files_hold_nobody_up(root: Path) -> None:
    place = fill(root)
    for name in ("manifest", "used"):
        (place / name).unlink()
        os.mkfifo(place / name)
    assert [one["state"] for one in listed(root)] == ["incomplete"]
    assert [one["state"] for one in entries.verified(root) if "problem" in one] == ["incomplete"]
    assert pruned(root) == {"a": "removed"}


def test_a_file_that_nfs_keeps_for_who_has_it_open_hides_no_entry(root: Path) -> None:
    (fill(root) / ".nfs0000000000000001").touch()
    assert [one["state"] for one in listed(root)] == ["complete"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_another_user_alone_may_read_is_counted_and_the_rest_is_listed(root: Path) -> None:
    fill(root, "a" * 40).chmod(0)
    fill(root, "b" * 40)
    fill(root, "c" * 40, url=OTHER).parent.chmod(0)
    assert [one["commit"][0] for one in listed(root)] == ["b"]
    assert list(entries.listed(root))[-1]["unreadable"] == 2
    assert pruned(root) == {"b": "removed"}


@pytest.mark.parametrize(("action", "reads"), [(entries.listed, "_at_first_sight"), (entries.verified, "_compared")])
def test_what_is_pruned_while_it_is_read_is_not_damaged(
    action: Callable[[Path], Iterator[Any]], reads: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(root)
    read = getattr(entries, reads)

    def meanwhile(entry: entries.Entry) -> Any:
        assert pruned(root) == {"a": "removed"}
        return read(entry)

    monkeypatch.setattr(entries, reads, meanwhile)
    assert [one for one in action(root) if "entry" in one and "begins" not in one] == []


def test_a_run_that_waits_for_the_lock_of_a_pruned_entry_makes_a_new_one(root: Path) -> None:
    place = fill(root)
    with entries._taken(entries._entry(place)) as free:
        assert free
        waiting = subprocess.Popen(
            ["python3", "-c", "import sys; from pathlib import Path; from features import cache\n"
             "cache.hold(Path(sys.argv[1]), Path(sys.argv[2]), 'n/r'); print('held', flush=True); sys.stdin.read()",
             str(place), str(root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        while not re.search(rf"-> FLOCK .* {waiting.pid} ", Path("/proc/locks").read_text()):
            assert waiting.poll() is None
            time.sleep(0.01)
        trees.move_aside(place, root, place.with_name(".removed-" + "0" * 32))
    assert waiting.stdout
    assert waiting.stdin
    assert waiting.stdout.readline() == "held\n"
    assert pruned(root, names=[]) == {"a": "it is in use by n/r"}
    waiting.stdin.close()
    waiting.wait()


def test_a_file_system_without_locks_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = fill(root)

    def no_locks(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(RunnerError, match="does not support file locks"):
        pruned(root)
    assert listed(root)[0]["inUse"] is None
    cache.hold(place, root, "training/run-43")  # a run uses it all the same


# the programs, as their pods start them


@pytest.fixture
def repository(server: Server, tmp_path: Path) -> str:
    server.repository(f"{tmp_path.name}.git")
    return f"{tmp_path.name}.git"


def changes(server: Server, repository: str) -> dict[str, Any]:
    source = {"type": "git", "repository": f"{server.url}/{repository}", "revision": "main", "cached": True}
    return {"sources": {"dataset": {**source, "path": "data"}}, "cache": {"claimName": "cache"}}


FILL = ("-m", "features.cache_commands", "fill")


def look(action: str, root: Path, **options: Any) -> tuple[str, ...]:
    return ("-m", "features.cache_commands", action, json.dumps({"root": str(root), **options}))


@pytest.mark.lab
def test_fill_fetches_once_and_a_run_then_fetches_nothing(
    server: Server, repository: str, make_home: Callable[..., Path], make_context: Callable[..., Context],
    run: Callable[..., Ended], root: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    commit = push(server, repository, {"a.pt": "a" * 2000}, lfs="*.pt")
    home = make_home(changes(server, repository))
    ended = run(home, program=FILL)
    assert ended.code == 0, ended.log
    assert f"event=cache source=dataset hit=false commit={commit}" in ended.log
    assert f"event=cache source=dataset commit={commit} bytes=" in ended.log
    server.requests.clear()
    again = run(home, program=FILL)
    assert f"event=cache source=dataset hit=true commit={commit}" in again.log
    assert not [request for request in server.requests if "/info/lfs" in request or "upload-pack HTTP" in request]
    context = make_context(changes(server, repository))
    assert next(iter(entries.listed(root)))["user"] == ""
    prepare.prepare(context, FAMILY, lambda: None)
    assert "event=cache source=dataset hit=true" in capsys.readouterr().out
    found = next(iter(entries.listed(root)))
    assert (found["user"], found["inUse"]) == ("training/run-42", True)


@pytest.mark.lab
def test_a_fill_that_fails_ends_with_the_runner_s_code_and_its_words(
    server: Server, repository: str, make_home: Callable[..., Path], run: Callable[..., Ended], root: Path
) -> None:
    push(server, repository, {"a": "a"})
    values = changes(server, repository)
    values["sources"]["dataset"]["revision"] = "mian"
    ended = run(make_home(values), program=FILL)
    assert ended.code == 30
    assert "dataset.revision" in ended.events("failed")[0]
    (root.parent / "secrets" / "git" / "GIT_TOKEN").unlink()
    ended = run(make_home(changes(server, repository)), program=FILL)
    assert ended.code == 20
    assert "has no key GIT_TOKEN" in ended.events("failed")[0]


@pytest.mark.lab
def test_the_programs_print_an_object_per_line_and_name_what_is_wrong(
    make_home: Callable[..., Path], run: Callable[..., Ended], root: Path
) -> None:
    fill(root)
    home = make_home({"sources": {}})
    first, last = map(json.loads, run(home, program=look("list", root)).log.splitlines()[:2])
    assert (first["commit"], last["done"]) == ("a" * 40, "list")
    ended = run(home, program=look("prune", root, names=["bbbbbbb"]))
    assert json.loads(ended.log.splitlines()[-2])["unknown"] == "the cache has no entry 'bbbbbbb'"
    assert '"done": "prune"' in run(home, program=look("prune", root)).log
    assert list(entries.listed(root))[:-1] == []
