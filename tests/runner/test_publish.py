"""What becomes of artifacts: the commit that a clone gets, a server that is away or refuses, and what is asked before the training."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from features.push import BranchPublisher, commit
from runner import artifacts, retry
from runner.context import Context
from runner.errors import RunnerError
from runner.publish import Published
from tests.conftest import rows
from tests.lab.answers import Answer, Fault

from .conftest import Ended, Server, finish, git, push

OTHER = "ffffffff-1111-2222-3333-444455556666"
FAMILY: Any = SimpleNamespace(has=lambda hook: False)
BIG = 2**16


@pytest.fixture(autouse=True)
def small_large_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of large files need not be slow."""
    assert commit.LARGE_BYTES > BIG
    monkeypatch.setattr(commit, "LARGE_BYTES", BIG)


@pytest.fixture
def made(server: Server, tmp_path: Path, make_context: Callable[..., Context]) -> Callable[..., BranchPublisher]:
    """A publisher with these artifacts, and an empty repository to publish to."""

    def make(files: dict[str, bytes] | None = None, shared: bool = False, **changes: Any) -> BranchPublisher:
        name = f"{tmp_path.name}.git"
        if not (server.folder / name).exists():
            server.repository(name)
        keys = {setting(key): value for key, value in changes.items()}
        context = make_context(
            {
                "sources": {},
                "workspace.type": "newClaim" if shared else "emptyDir",
                "publish.repository": f"{server.url}/{name}",
                **keys,
            }
        )
        for path, content in {"model.pt": b"weights", **(files or {})}.items():
            place(context, path, content)
        return BranchPublisher(context)

    return make


def setting(key: str) -> str:
    return f"{'run' if key == 'patienceSeconds' else 'publish'}.{key}"


def place(context: Context, path: str, content: bytes, mode: int = 0o644) -> Path:
    file = context.artifacts / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.chmod(mode)
    return file


def clone(server: Server, tmp_path: Path, branch: str, *config: str) -> Path:
    """As a stranger gets it, with git-lfs; `config` is of that stranger."""
    folder = tmp_path / f"clone-{time.monotonic_ns()}"
    git(*config, "clone", "--quiet", "--branch", branch, f"{server.url}/{tmp_path.name}.git", str(folder))
    return folder


def contents(folder: Path) -> dict[bytes, tuple[str, str]]:
    """What is in a folder: the kind and hash of each file, the target of each link."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if (
            ".git" in name.parts
            or str(name) in (".gitattributes", ".lfsconfig")
            or (path.is_dir() and not path.is_symlink())
        ):
            continue
        if path.is_symlink():
            found[os.fsencode(name)] = ("link", str(path.readlink()))
        else:
            kind = "program" if path.stat().st_mode & 0o100 else "file"
            found[os.fsencode(name)] = (kind, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def told(capsys: pytest.CaptureFixture[str], event: str) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if f" event={event} " in line]


# The commit

LINES = b"one\r\ntwo\nthree $Id$\n"
HOSTILE: dict[str, dict[str, bytes]] = {
    "ignore files": {".gitignore": b"*\n", "m/.gitignore": b"*\n!.gitignore\n", "m/model.safetensors": b"w", "m/x.txt": b"x"},
    "line endings in a folder": {"m/.gitattributes": b"* text eol=crlf\n*.txt text=auto eol=lf\n", "m/x.bin": LINES, "m/vocab.txt": LINES, "m/y": LINES},
    "a filter that is switched off": {"m/.gitattributes": b"* -filter !diff\n", "m/model.pt": b"x" * 100000, "m/n/model.pt": b"y"},
    "a filter for what is no LFS file": {"m/.gitattributes": b"*.txt filter=lfs diff=lfs merge=lfs -text\n", "m/a.txt": LINES},
    "another encoding": {"m/.gitattributes": b"* working-tree-encoding=UTF-16 ident export-ignore\n", "m/a.txt": LINES, "m/b.pt": LINES},
    "attributes of its own at the root": {".gitattributes": b"* -filter text eol=crlf\n", "a.txt": LINES},
    "another LFS server": {".lfsconfig": b"[lfs]\n\turl = http://127.0.0.9:1/x\n\tfetchexclude = *\n"},
    "large files of any name": {"saved_model.pb": b"p" * BIG, "a/b.gguf": b"g" * BIG, "small.pb": b"s"},
    "names that attributes and shells could misread": {name: b"w" * BIG + name.encode() for name in (
        " lead.h5", "trail.h5 ", "#hash.h5", "!not.h5", "-dash.h5", "[attr]x.h5", "a [b]*?\\\"'.h5", "ü 猫.h5", "$(touch pwned).h5", "%f.h5")},
    "empty files": {"empty.pt": b"", "empty.txt": b"", "m/.gitattributes": b""},
    "a pointer that was left behind": {"old.txt": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 3\n"},
    "submodules in name": {".gitmodules": b'[submodule "x"]\n\tpath = m\n\turl = ../x\n', "m/a": b"a"},
}  # fmt: skip
# At once, each in a folder of its own: at the root each has more to spoil, which `make lab` tries.
HOSTILE["all of them"] = {
    f"{number}/{path}": content for number, files in enumerate([*HOSTILE.values()]) for path, content in files.items()
}


@pytest.mark.parametrize(
    "label",
    rows(HOSTILE, "attributes of its own at the root"),
)
def test_a_fresh_clone_is_the_artifacts_byte_by_byte(
    label: str, made: Callable[..., BranchPublisher], server: Server, tmp_path: Path
) -> None:
    publisher = made(HOSTILE[label], branch="r")
    publisher.publish(FAMILY)
    expected = contents(tmp_path / "workspace" / "run-42" / "artifacts")
    assert contents(clone(server, tmp_path, "r")) == expected
    assert contents(clone(server, tmp_path, "r", "-c", "core.autocrlf=true")) == expected
    assert expected.keys() >= {name.encode() for name in HOSTILE[label]} - {b".gitattributes", b".lfsconfig"}


@pytest.mark.lab
def test_names_that_are_no_text_links_and_programs_arrive_as_they_are(
    made: Callable[..., BranchPublisher], server: Server, tmp_path: Path
) -> None:
    publisher = made(branch="r")
    folder = tmp_path / "workspace" / "run-42" / "artifacts"
    for name in (b"\xff\xfe.pt", b"new\nline.pt", b"tab\t\xc3.json", b"esc\x1b[31m.txt"):
        (folder / os.fsdecode(name)).write_bytes(b"w" * BIG if b"json" in name else b"w")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "model.pt").chmod(0o400)
    (folder / "m").mkdir()
    (folder / "m" / "latest.pt").symlink_to("../model.pt")
    (folder / "all").symlink_to("m")
    (folder / "nowhere").symlink_to("m/later.pt")
    publisher.publish(FAMILY)
    found = contents(clone(server, tmp_path, "r"))
    assert found == contents(folder)
    assert found[b"m/latest.pt"] == ("link", "../model.pt")
    assert found[b"run.sh"][0] == "program"


@pytest.mark.lab
def test_what_the_image_and_its_user_configure_changes_nothing(
    made: Callable[..., BranchPublisher], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "user"
    (home / ".config" / "git").mkdir(parents=True)
    (home / ".config" / "git" / "ignore").write_text("*\n")
    (home / ".config" / "git" / "attributes").write_text("* text eol=crlf -filter\n")
    (home / ".gitconfig").write_text(
        "[core]\n\tautocrlf = input\n[init]\n\ttemplateDir = " + str(home / "template") + "\n"
    )
    for name in ("hooks", "info"):
        (home / "template" / name).mkdir(parents=True)
    (home / "template" / "info" / "attributes").write_text("* -filter text eol=crlf\n")
    (home / "template" / "hooks" / "pre-push").write_text("#!/bin/sh\nexit 1\n")
    (home / "template" / "hooks" / "pre-push").chmod(0o755)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(home / "template"))
    publisher = made({"a.txt": LINES}, branch="r")
    publisher.publish(FAMILY)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("GIT_TEMPLATE_DIR")
    assert contents(clone(server, tmp_path, "r")) == contents(tmp_path / "workspace" / "run-42" / "artifacts")


def test_large_binary_and_known_files_go_to_lfs_and_take_no_room_twice(
    made: Callable[..., BranchPublisher], server: Server, tmp_path: Path
) -> None:
    made({"big.pb": b"p" * 64 * BIG, "small.pb": b"p", "small.png": b"PNG\0", "README.md": b"#"}, branch="r").publish(
        FAMILY
    )
    repository = str(server.folder / f"{tmp_path.name}.git")
    listed = git("-C", repository, "ls-tree", "-r", "--format=%(path) %(objectsize)", "r").splitlines()
    sizes = {line.split()[0]: int(line.split()[1]) for line in listed}
    assert sizes["big.pb"] < 200
    assert sizes["model.pt"] < 200
    assert sizes["small.png"] > 100
    assert (sizes["small.pb"], sizes["README.md"]) == (1, 1)
    run = tmp_path / "workspace" / "run-42"
    assert (run / "artifacts" / "big.pb").stat().st_nlink == 2
    used = subprocess.run(["du", "-sk", str(run)], capture_output=True, text=True, check=True).stdout.split()[0]
    assert int(used) < 1.2 * 64 * BIG / 1024


@pytest.mark.lab
def test_without_hard_links_the_store_has_one_copy(
    made: Callable[..., BranchPublisher], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    made({"big.pb": b"p" * BIG}, branch="r").publish(FAMILY)
    assert contents(clone(server, tmp_path, "r")) == contents(tmp_path / "workspace" / "run-42" / "artifacts")


@pytest.mark.lab
def test_what_git_cannot_keep_is_told(made: Callable[..., BranchPublisher], capsys: pytest.CaptureFixture[str]) -> None:
    publisher = made({"m/.git/config": b"x", "m/a": b"a", ".lfsconfig": b"x"}, branch="r")
    folder = publisher._context.artifacts
    (folder / "empty").mkdir()
    os.mkfifo(folder / "pipe.pt")
    publisher.publish(FAMILY)
    (line,) = [line for line in told(capsys, "warning") if "artifacts that are not published" in line]
    for words in (
        "empty/ (an empty folder)",
        "m/.git (a git repository's own files)",
        ".lfsconfig",
        "pipe.pt",
    ):
        assert words in line


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../../secret/GIT_TOKEN", "m/../../state/lock", "m/up/../outside"]
)
def test_a_link_out_of_the_artifacts_is_refused_and_not_followed(
    target: str, made: Callable[..., BranchPublisher], server: Server
) -> None:
    publisher = made({"m/a": b"a"}, branch="r")
    folder = publisher._context.artifacts
    (folder / "m" / "up").symlink_to("..")
    (folder.parent / "outside").write_text("x")
    (folder / "x.pt").symlink_to(target)
    with pytest.raises(RunnerError) as caught:
        publisher.publish(FAMILY)
    assert caught.value.exit.name == "publish-refused"
    assert "artifacts: x.pt is a symbolic link that leads out" in caught.value.reason
    assert not [line for line in server.requests if "receive-pack" in line]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda builder, entries, patterns: b"* text\n", "with text set"),
        (lambda builder, entries, patterns: b"* -text\n*.pt filter=other\n", "filter other"),
    ],
)
def test_a_commit_that_a_clone_would_change_is_not_pushed(
    change: Callable[..., bytes],
    words: str,
    made: Callable[..., BranchPublisher],
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The comparison itself: with attributes that are wrong it must fail."""
    right = commit.Builder._attributes

    def wrong(self: commit.Builder, *arguments: Any) -> artifacts.Entry:
        entry = right(self, *arguments)
        entry.source.write_bytes(change(self, *arguments))
        return entry

    monkeypatch.setattr(commit.Builder, "_attributes", wrong)
    with pytest.raises(RunnerError, match=words) as caught:
        made(branch="r").publish(FAMILY)
    assert "model.pt" in caught.value.reason or ".gitattributes" in caught.value.reason
    assert not [line for line in server.requests if "receive-pack" in line]


def test_a_file_that_changes_meanwhile_is_not_pushed(
    made: Callable[..., BranchPublisher], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = made({"a.txt": b"first"}, branch="r")
    compare = commit.Builder._compare

    def late(self: commit.Builder, *arguments: Any) -> None:
        (publisher._context.artifacts / "a.txt").write_bytes(b"later")
        compare(self, *arguments)

    monkeypatch.setattr(commit.Builder, "_compare", late)
    with pytest.raises(RunnerError, match=r"artifacts: a\.txt would not be the same .* it has changed"):
        publisher.publish(FAMILY)
    assert not [line for line in server.requests if "receive-pack" in line]


# A server that is away


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.05, 0.1))
    monkeypatch.setattr(retry, "LOG_SECONDS", 0.2)


AWAY = {
    "503": Fault("", Answer(503)),
    "429": Fault("", Answer(429)),
    "502 of LFS": Fault("/info/lfs", Answer(502)),
    "LFS with words": Fault("/info/lfs", Answer(503, {"Content-Type": "application/vnd.git-lfs+json"}, b'{"message":"maintenance"}')),
    "only the push": Fault("POST /", Answer(500)),
    "a connection that is cut": Fault("", Answer(cut=0, length=100)),
    "an upload that is cut": Fault("PUT /", Answer(500)),
}  # fmt: skip


@pytest.mark.parametrize("label", rows(AWAY, "503"))
def test_a_server_that_comes_back_gets_the_result(
    label: str,
    impatient: None,
    made: Callable[..., BranchPublisher],
    server: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publisher = made(patienceSeconds=600)
    server.faults.append(replace(AWAY[label]))
    wait, tries = retry.Retry.wait, iter(range(100))

    def at_the_third_try(self: retry.Retry, error: RunnerError) -> None:
        if next(tries) == 2:
            server.faults.clear()
        wait(self, error)
        time.sleep(0.1)

    monkeypatch.setattr(retry.Retry, "wait", at_the_third_try)
    published = publisher.publish(FAMILY)
    assert git("-C", str(server.folder / f"{tmp_path.name}.git"), "rev-parse", published.branch) == published.commit
    lines = told(capsys, "waiting")
    assert len(lines) >= 2
    assert " stage=publish seconds=0 left=600 reason=" in lines[0]
    assert f"publish.repository {server.url}" in lines[0]


@pytest.mark.lab
def test_a_push_whose_answer_was_lost_is_not_repeated(
    impatient: None, made: Callable[..., BranchPublisher], server: Server, tmp_path: Path
) -> None:
    publisher = made(patienceSeconds=60)
    server.faults.append(
        Fault("POST /" + tmp_path.name + ".git/git-receive-pack", lambda real: replace(real, cut=0), times=1)
    )
    published = publisher.publish(FAMILY)
    branches = git("-C", str(server.folder / f"{tmp_path.name}.git"), "branch", "--list", "--format=%(refname:short)")
    assert branches.splitlines() == [published.branch]


@pytest.mark.parametrize(
    ("shared", "words"),
    [
        pytest.param(True, "run-42/artifacts of the workspace's claim", marks=pytest.mark.lab),
        (False, "lost with this pod"),
    ],
)
def test_when_patience_is_over_it_says_where_the_artifacts_are(
    shared: bool, words: str, impatient: None, made: Callable[..., BranchPublisher], server: Server, make_context: Any
) -> None:
    publisher = made(patienceSeconds=1)
    settings = publisher._context.settings
    publisher._context.settings = replace(
        settings, workspace=replace(settings.workspace, type="newClaim" if shared else "emptyDir")
    )
    server.faults.append(Fault("", Answer(503)))
    with pytest.raises(RunnerError) as caught:
        BranchPublisher(publisher._context).publish(FAMILY)
    tried = re.search(r"tried (\d+) times in (\d+) seconds", caught.value.reason)
    assert tried
    assert int(tried[1]) > 1
    assert int(tried[2]) >= 1, "it gave up before the patience was over"
    assert caught.value.exit.name == "publish-unreachable"
    assert words in caught.value.reason
    assert "publish.patience" in caught.value.reason
    assert "503" in caught.value.reason


@pytest.mark.lab
@pytest.mark.parametrize("status", rows([401, 403, 413], 403))
def test_what_would_lose_the_model_with_its_pod_is_waited_for_until_somebody_mends_it(
    impatient: None,
    made: Callable[..., BranchPublisher],
    server: Server,
    status: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publisher = made(patienceSeconds=60)
    server.faults.append(Fault("git-receive-pack", Answer(status), times=2))
    assert publisher.publish(FAMILY).branch.startswith("sft-")
    (waiting,) = told(capsys, "waiting")[:1]
    assert "fix=" in waiting


def test_what_is_refused_is_not_waited_for_where_the_artifacts_stay(
    impatient: None, made: Callable[..., BranchPublisher], server: Server
) -> None:
    publisher = made(shared=True, patienceSeconds=3600)
    server.faults.append(Fault("git-receive-pack", Answer(403)))
    with pytest.raises(RunnerError) as caught:
        publisher.publish(FAMILY)
    assert caught.value.exit.name == "publish-refused"


def test_a_try_that_hangs_tells_that_it_waits(
    made: Callable[..., BranchPublisher], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(retry, "PAUSES", (0.0,))
    monkeypatch.setattr(retry, "LOG_SECONDS", 0.1)
    waiting = retry.Retry(made(patienceSeconds=60)._context)
    waiting.tick()
    assert not told(capsys, "waiting")
    waiting.wait(RunnerError("publish-unreachable", "the server is away", "see"))
    for _ in range(3):
        time.sleep(0.11)
        waiting.tick()
    assert len(told(capsys, "waiting")) == 4


def custom(make_home: Callable[..., Path], url: str, command: str, **changes: Any) -> Path:
    """A run of a program that writes its artifacts itself."""
    family = Path(__file__).parents[2] / "charts/train/charts/lib/files/families/custom"
    train = {
        "command": ["sh", "-c", command],
        "exportCommand": [],
        "rendezvous": "nodes",
        "metricsFile": "",
        "checkpoints": "checkpoints/*",
        "artifacts": [],
        "lfsPatterns": [],
    }
    keys = {setting(key): value for key, value in changes.items()}
    return make_home({"sources": {}, "train": train, "publish.repository": url, "family": "custom", **keys}, family)


MODEL = "echo trained; echo weights > $ARTIFACTS_DIR/model.pt"


@pytest.mark.lab
def test_sigterm_ends_the_waiting(
    server: Server, tmp_path: Path, make_home: Callable[..., Path], start: Callable[..., subprocess.Popen[str]]
) -> None:
    server.repository(f"{tmp_path.name}.git")
    home = custom(make_home, f"{server.url}/{tmp_path.name}.git", MODEL, patienceSeconds=3600)
    process = start(home)
    assert process.stdout is not None
    for line in process.stdout:
        if "event=start stage=train" in line:
            server.faults.append(Fault("", Answer(503)))
        if "event=retry" in line:
            break
    process.send_signal(signal.SIGTERM)
    ended = finish(process, tmp_path / "termination-log")
    assert ended.code == 143, ended.log


# A server that refuses the branch


def hook(server: Server, tmp_path: Path, words: str, refuses: str) -> None:
    """As a forge protects branches."""
    file = server.folder / f"{tmp_path.name}.git" / "hooks" / "pre-receive"
    file.write_text(
        f"#!/bin/sh\nwhile read old new ref; do case $ref in {refuses}) echo '{words}' >&2; exit 1;; esac; done\n"
    )
    file.chmod(0o755)


WORDS = "GitLab: You are not allowed to push code to protected branches"


@pytest.mark.lab
def test_the_result_of_a_refused_branch_is_on_another_and_the_run_ends_with_63(
    server: Server, tmp_path: Path, make_home: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    server.repository(f"{tmp_path.name}.git")
    old = push(server, f"{tmp_path.name}.git", {"old": "x"}, branch="other")
    hook(server, tmp_path, WORDS, "refs/heads/main")
    home = custom(make_home, f"{server.url}/{tmp_path.name}.git", MODEL, branch="main")
    ended = run(home)
    assert (ended.code, ended.message["status"]) == (63, "failed"), ended.log
    assert ended.message["failure"]["name"] == "published-elsewhere"
    assert ended.message["failure"]["stage"] == "publish"
    assert WORDS in ended.message["failure"]["reason"]
    branch = ended.message["branch"]
    assert branch.startswith("sft-")
    repository = str(server.folder / f"{tmp_path.name}.git")
    assert git("-C", repository, "rev-parse", branch) == ended.message["commit"]
    assert ended.message["commit"] != old
    assert [file["path"] for file in ended.message["files"]] == ["README.md", "model.pt"]
    assert f"branch={branch}" in ended.last
    assert "publish" in ended.message["stages"]
    for workspace in ("kept", "lost"):
        if workspace == "lost":
            subprocess.run(["rm", "-rf", str(tmp_path / "workspace")], check=True)
        again = run(home, JOB_ATTEMPT="1")
        assert (again.code, again.message["branch"]) == (63, branch), again.log
        assert len(git("-C", repository, "branch", "--list").splitlines()) == 2


@pytest.mark.lab
def test_a_hook_that_refuses_every_branch_is_quoted(
    made: Callable[..., BranchPublisher], server: Server, tmp_path: Path
) -> None:
    publisher = made(shared=True, branch="main", patienceSeconds=3600)
    hook(server, tmp_path, "the quota of this project is used up", "*")
    with pytest.raises(RunnerError) as caught:
        publisher.publish(FAMILY)
    assert (caught.value.exit.name, caught.value.exit.code) == ("publish-refused", 60)
    assert "the quota of this project is used up" in caught.value.reason
    assert "publish.branch" in caught.value.fix


def test_a_branch_of_another_run_is_not_gone_round(
    made: Callable[..., BranchPublisher], server: Server, tmp_path: Path
) -> None:
    """It appears while the training runs, and is no reason for another branch."""
    publisher = made(branch="main")
    publisher._found = lambda: None  # type: ignore[method-assign]
    other = push(server, f"{tmp_path.name}.git", {"x": "y"}, branch="main")
    with pytest.raises(RunnerError) as caught:
        publisher.publish(FAMILY)
    assert caught.value.exit.name == "branch-taken"
    assert git("-C", str(server.folder / f"{tmp_path.name}.git"), "rev-parse", "main") == other


@pytest.mark.lab
@pytest.mark.parametrize("when", ["before the look", "between the look and the push"])
def test_two_runs_that_generate_the_same_name_publish_to_two_branches(
    made: Callable[..., BranchPublisher], server: Server, tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = made()
    name = publisher._choose_branch()

    def pushed_by_another() -> str:
        return push(server, f"{tmp_path.name}.git", {"x": "y"}, branch=name)

    if when == "before the look":
        other = pushed_by_another()
    else:
        look = publisher._found
        others: list[str] = []

        def look_first() -> Any:
            found = look()
            if not others:
                others.append(pushed_by_another())
            return found

        monkeypatch.setattr(publisher, "_found", look_first)
    published = publisher.publish(FAMILY)
    if when != "before the look":
        (other,) = others
    folder = server.folder / f"{tmp_path.name}.git"
    assert published.branch != name
    assert published.branch.startswith("sft-")
    assert git("-C", str(folder), "rev-parse", published.branch) == published.commit
    assert git("-C", str(folder), "rev-parse", name) == other


@pytest.mark.lab
def test_a_server_that_fails_while_it_takes_the_push_is_waited_for(
    impatient: None, made: Callable[..., BranchPublisher], server: Server, tmp_path: Path
) -> None:
    publisher = made(branch="main", patienceSeconds=60)
    file = server.folder / f"{tmp_path.name}.git" / "hooks" / "pre-receive"
    count = tmp_path / "count"
    file.write_text(
        f"#!/bin/sh\necho x >> {count}\n[ $(wc -l < {count}) -gt 2 ] && exit 0\necho 'fatal: write error: No space left on device' >&2; exit 1\n"
    )
    file.chmod(0o755)
    assert publisher.publish(FAMILY).branch == "main"


# What is asked before the training


def refusal(publisher: BranchPublisher) -> RunnerError:
    with pytest.raises(RunnerError) as caught:
        publisher.check_push_access()
    return caught.value


@pytest.mark.parametrize(
    ("branch", "there"),
    [
        ("exp/1", "exp"),
        pytest.param("exp", "exp/1", marks=pytest.mark.lab),
        pytest.param("a/b/c", "a/b", marks=pytest.mark.lab),
        ("a", "a/b/c"),
    ],
)
def test_a_branch_that_git_cannot_make_beside_another_is_refused_before_the_training(
    branch: str, there: str, made: Callable[..., BranchPublisher], server: Server, tmp_path: Path
) -> None:
    publisher = made(branch=branch)
    push(server, f"{tmp_path.name}.git", {"x": "y"}, branch=there)
    error = refusal(publisher)
    assert error.exit.name == "publish-refused"
    assert f"publish.branch {branch}" in error.reason
    assert f"branch {there} " in error.reason


@pytest.mark.parametrize("branch", rows(["exp1", "exp-1/x", "experiment"], "exp1"))
def test_a_branch_that_only_begins_alike_is_fine(
    branch: str, made: Callable[..., BranchPublisher], server: Server, tmp_path: Path
) -> None:
    publisher = made(branch=branch)
    push(server, f"{tmp_path.name}.git", {"x": "y"}, branch="exp")
    publisher.check_push_access()


def test_a_branch_of_another_run_is_refused_before_the_training(
    made: Callable[..., BranchPublisher], server: Server, tmp_path: Path
) -> None:
    publisher = made(branch="result")
    push(server, f"{tmp_path.name}.git", {"x": "y"}, branch="result", message=f"x\n\nRun: {OTHER}")
    error = refusal(publisher)
    assert error.exit.name == "branch-taken"
    assert OTHER in error.reason


@pytest.mark.parametrize(
    "branch", ["x" * 251, "a/" + "x" * 251, "HEAD", "a.lock/b", "@", "a..b", "-a", "a/", "ü" * 126]
)
def test_a_name_that_no_server_can_keep_is_refused_at_once(branch: str, made: Callable[..., BranchPublisher]) -> None:
    with pytest.raises(RunnerError, match=r"publish\.branch"):
        made(branch=branch)


JSON = {"Content-Type": "application/vnd.git-lfs+json"}
LFS_REFUSALS = [
    (Answer(404), "Git LFS is disabled"),
    (Answer(501), "Git LFS is disabled"),
    (Answer(403), "LFS storage denies access"),
    (Answer(413), "not accept requests of this size"),
    (Answer(422), "LFS storage is full"),
    (Answer(507, JSON, b'{"message": "your quota of 10 GB is exceeded"}'), "your quota of 10 GB is exceeded"),
    (Answer(403, JSON, b'{"message": "project is archived"}'), "project is archived"),
    (Answer(404, JSON, b'{"message": "LFS is disabled for this project"}'), "Git LFS is disabled"),
    # As hosts word it: GitLab for a project without LFS, without a right, and over its size; GitHub, Bitbucket, Gitea.
    (Answer(501, JSON, b'{"message": "Git LFS is not enabled on this GitLab server"}'), "Git LFS is disabled"),
    (Answer(404, JSON, b'{"message": "Not found."}'), "Git LFS is disabled"),
    (Answer(403, JSON, b'{"message": "Access forbidden. Check your access level."}'), "LFS storage denies access"),
    (Answer(403, JSON, b'{"message": "this repository has exceeded its size limit of 10 GB by 2 GB"}'), "is used up"),
    (Answer(403, JSON, b'{"message": "This repository is over its data quota."}'), "is used up"),
    (Answer(403, JSON, b'{"message": "You have exceeded your LFS storage limit"}'), "is used up"),
    (Answer(413, JSON, b'{"message": "Repository limit exceeded"}'), "is used up"),
]
LIKE_OTHERS = ("LFS storage denies access", "is used up", "not accept requests of this size", "project is archived")


@pytest.mark.parametrize(
    ("answer", "words"),
    [pytest.param(*row, marks=[pytest.mark.lab] * (row[1] in LIKE_OTHERS)) for row in LFS_REFUSALS],
    ids=lambda value: str(value)[:40],
)
def test_an_lfs_storage_that_takes_no_upload_is_named_before_the_training(
    answer: Answer, words: str, made: Callable[..., BranchPublisher], server: Server
) -> None:
    publisher = made()
    server.faults.append(Fault("/info/lfs/objects/batch", answer))
    error = refusal(publisher)
    assert error.exit.name == "publish-refused"
    assert words in error.reason
    assert "the repository does not exist" not in error.reason


def test_wrong_credentials_for_lfs_alone_are_named_before_the_training(
    made: Callable[..., BranchPublisher], server: Server
) -> None:
    publisher = made()
    server.faults.append(Fault("/info/lfs/objects/batch", Answer(401, {"Lfs-Authenticate": 'Basic realm="x"'})))
    error = refusal(publisher)
    assert error.exit.name == "publish-refused"
    assert "credentials" in error.reason


@pytest.mark.parametrize(
    ("answer", "words"),
    [(Answer(503, JSON, b'{"message": "maintenance"}'), "maintenance"), (Answer(507), "no space left")],
)
@pytest.mark.lab
def test_an_lfs_server_that_is_away_or_full_before_the_training_may_be_back_at_the_next_try(
    answer: Answer, words: str, made: Callable[..., BranchPublisher], server: Server
) -> None:
    publisher = made()
    server.faults.append(Fault("/info/lfs/objects/batch", answer))
    error = refusal(publisher)
    assert error.exit.name == "publish-unreachable"
    assert words in error.reason


@pytest.mark.lab
@pytest.mark.parametrize("branch", ["", "candidates/first"])
def test_the_questions_leave_no_trace_and_say_nothing_of_a_failure(
    branch: str, made: Callable[..., BranchPublisher], server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    publisher = made(branch=branch)
    publisher.check_push_access()
    log = capfd.readouterr().out
    assert "event=check" in log
    for words in ("missing", "failed", "Unable to find", "rejected"):
        assert words not in log
    assert any("/info/lfs/objects/batch" in line for line in server.requests)
    assert not [
        line for line in server.requests if line.startswith("PUT") or ("POST" in line and "receive-pack" in line)
    ]
    assert git("-C", str(server.folder / f"{tmp_path.name}.git"), "for-each-ref") == ""


def test_a_published_result_is_where_it_was_asked_for_or_that_is_said(made: Callable[..., BranchPublisher]) -> None:
    asked, free = made(branch="main"), made()
    assert asked.wrong_branch_error(Published("main", "0" * 40)) is None
    assert free.wrong_branch_error(Published("sft-20260101-000000", "0" * 40)) is None
    error = asked.wrong_branch_error(Published("sft-20260101-000000", "0" * 40))
    assert error is not None
    assert error.exit.code == 63
    assert not error.exit.retried
