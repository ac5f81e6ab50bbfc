"""The whole runner as its container starts it, against a real git server with LFS and a tiny trainer."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from features.push import BranchPublisher
from runner.context import Context
from runner.errors import RunnerError
from runner.publish import Published
from tests.lab.s3_server import Bucket
from tests.lab.s3_server import serving as serving_bucket

from .conftest import TOKEN, UID, Ended, Server, finish, git, push

HOOKS = """
from pathlib import Path
import csv, shutil
from runner.errors import FamilyError

def train_arguments(context):
    return ["train.py", str(context.output), str(context.train["epochs"])]

def train_environment(context):
    return {"TINY": "1"}

def metrics(context):
    path = context.output / "results.csv"
    rows = path.read_text().splitlines() if path.exists() else []
    return [{"epoch": int(row.split(",")[0]), "loss": float(row.split(",")[1])} for row in rows]

def export_arguments(context):
    if not (context.output / "best.pt").exists():
        raise FamilyError("no best.pt", "train more")
    return ["export.py", str(context.output)]

def layout(context, shapes):
    (context.artifacts / "1").mkdir()
    shutil.copyfile(context.output / "model.pt", context.artifacts / "1" / "model.pt")
    (context.artifacts / "config.pbtxt").write_text(f"dims: {shapes['dims']}")
"""
TRAIN = """
import sys, time
from pathlib import Path
output, epochs = Path(sys.argv[1]), int(sys.argv[2])
print("weights", Path("weights.pt").read_text(), "data", (Path("..") / "datasets" / "coco128" / "a.txt").read_text())
with open(output / "results.csv", "a") as results:
    for epoch in range(1, epochs + 1):
        results.write(f"{epoch},{1 / epoch}\\n")
(output / "best.pt").write_text("best " * 100)
"""
EXPORT = """
import sys
from pathlib import Path
(Path(sys.argv[1]) / "model.pt").write_text("exported " * 100)
"""

DATASET = """
import json, os, sys
from pathlib import Path
argument = json.loads(sys.argv[1])
Path(argument["scratch"], "a.txt").symlink_to(Path(argument["dataset"], "a.txt"))
total = len(os.listdir(argument["scratch"])) + argument["maxBroken"]
part = {"part": "train", "unit": "images", "used": 1, "total": total}
left_out = {"leftOut": ["b.jpg: truncated"], "leftOutTotal": total - 1} if total > 1 else {}
print(json.dumps({"ok": True, "parts": [{**part, **left_out}], "notes": ["c.jpg is a GIF"] if total > 1 else []}))
"""


READS = """
import hashlib, os
from pathlib import Path
token = Path("{secret}", "GIT_TOKEN").read_text().strip()
own = [*os.environ.values(), Path("/proc/self/cmdline").read_text()]
print("it reads", hashlib.sha256(token.encode()).hexdigest(), "and was given it:", any(token in word for word in own))
"""


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("family")
    (folder / "hooks.py").write_text(HOOKS)
    (folder / "probe_export.py").write_text(
        'import json\nprint("loading")\nprint(json.dumps({"ok": True, "dims": [3, 8]}))\n'
    )
    (folder / "probe_dataset.py").write_text(DATASET)
    return folder


@pytest.fixture
def tiny(server: Server, tmp_path: Path, make_home: Callable[..., Path], family: Path) -> Callable[..., Path]:
    """A home whose model repository has the given train.py; the repositories are new for every test."""

    def make(changes: dict[str, Any], train: str = TRAIN) -> Path:
        names = {name: f"{tmp_path.name}-{name}.git" for name in ("model", "dataset", "publish")}
        if not (server.folder / names["model"]).exists():
            for name in names.values():
                server.repository(name)
            push(
                server,
                names["model"],
                {"train.py": train, "export.py": EXPORT, "weights.pt": "start " * 50},
                lfs="*.pt",
            )
            push(server, names["dataset"], {"a.txt": "data"}, branch="v1")
        defaults: dict[str, Any] = {
            "model.repository": f"{server.url}/{names['model']}",
            "dataset.repository": f"{server.url}/{names['dataset']}",
            "publish.repository": f"{server.url}/{names['publish']}",
        }
        return make_home({**defaults, **changes}, family)

    return make


def bare(server: Server, tmp_path: Path, name: str) -> str:
    return str(server.folder / f"{tmp_path.name}-{name}.git")


def test_a_run_trains_exports_and_publishes_one_commit_which_is_the_result_of_a_later_attempt_too(
    server: Server, tmp_path: Path, tiny: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    ended = run(tiny({}))
    assert ended.code == 0, ended.log
    message = ended.message
    assert (message["status"], message["uid"], message["metrics"]) == ("completed", UID, {"epochs": 3, "loss": 1 / 3})
    assert message == {**json.loads((tmp_path / "workspace" / "run-42" / "result.json").read_text())}
    repository = bare(server, tmp_path, "publish")
    assert git("-C", repository, "rev-parse", message["branch"]) == message["commit"]
    assert git("-C", repository, "rev-list", "--count", message["branch"]) == "1"
    names = git("-C", repository, "ls-tree", "-r", "--name-only", message["branch"]).splitlines()
    assert names == [".gitattributes", "1/model.pt", "README.md", "config.pbtxt"]
    assert git("-C", repository, "show", f"{message['branch']}:1/model.pt").startswith("version https://git-lfs")
    body = git("-C", repository, "log", "-1", "--format=%B", message["branch"])
    model = git("-C", bare(server, tmp_path, "model"), "rev-parse", "main")
    assert f"Run: {UID}\nRelease: run-42\nModel-Commit: {model}\n" in body
    readme = git("-C", repository, "show", f"{message['branch']}:README.md")
    assert readme.startswith("---\n")
    assert model in readme
    clone = tmp_path / "clone"
    git("clone", "--quiet", "--branch", message["branch"], f"{server.url}/{tmp_path.name}-publish.git", str(clone))
    assert (clone / "1" / "model.pt").read_text() == "exported " * 100
    assert [line.split("stage=")[1].split()[0] for line in ended.events("end")] == [
        "verify",
        "prepare",
        "train",
        "export",
        "publish",
    ]
    assert len(ended.events("metrics")) == 3
    assert "event=completed" in ended.last
    # Killed after the push:
    for workspace in ("kept", "lost"):
        if workspace == "lost":
            subprocess.run(["rm", "-rf", str(tmp_path / "workspace")], check=True)
        again = run(tiny({}), JOB_ATTEMPT="1")
        assert again.code == 0, again.log
        assert (again.message["branch"], again.message["commit"]) == (message["branch"], message["commit"])
        assert not again.events("start")[1:]  # verify only
    assert len(git("-C", repository, "branch", "--list").splitlines()) == 1


@pytest.mark.lab
def test_a_second_attempt_on_the_workspace_skips_what_is_done_and_reports_the_dataset_again(
    server: Server, tmp_path: Path, tiny: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    home = tiny({"dataset.maxBroken": 2})
    server.answers["publish.git/git-receive-pack"] = 403
    first = run(home)
    assert (first.code, first.message["failure"]["stage"]) == (60, "publish"), first.log
    server.answers.clear()
    second = run(home, JOB_ATTEMPT="1")
    assert second.code == 0, second.log
    assert [line.split("stage=")[1].split()[0] for line in second.events("skip")] == ["prepare", "train", "export"]
    assert second.message["metrics"]["epochs"] == 3
    part = {"part": "train", "used": 1, "total": 3, "unit": "images"}
    for ended in (first, second):
        kept = {**part, "leftOut": ["b.jpg: truncated"], "leftOutTotal": 2}
        assert ended.message["dataset"] == {"parts": [kept]}
        assert (
            'part=train used=1 total=3 unit=images left_out="b.jpg: truncated; and 1 more"'
            in ended.events("dataset")[0]
        )
        assert 'reason="c.jpg is a GIF"' in ended.events("warning")[0]
    assert not (tmp_path / "workspace" / "run-42" / "state" / "scratch").exists()


def test_a_user_who_may_not_push_learns_it_before_the_training(
    server: Server, tiny: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    home = tiny({})
    server.answers["service=git-receive-pack"] = 403
    refused = run(home)
    assert (refused.code, refused.message["failure"]["stage"]) == (60, "publish"), refused.log
    assert "write to this repository" in refused.last
    assert [line.split("stage=")[1].split()[0] for line in refused.events("start")] == ["verify", "prepare"]


@pytest.mark.lab
def test_the_branch_of_an_earlier_run_in_the_same_workspace_is_not_ours(
    tiny: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    first = run(tiny({}))
    other = run(tiny({}), JOB_GROUP="run-43-ffffffff-1111-2222-3333-444455556666")
    assert (first.code, other.code) == (0, 0), other.log
    assert other.message["branch"] != first.message["branch"]


@pytest.mark.lab
def test_another_run_does_not_take_over_a_branch(
    server: Server, tmp_path: Path, tiny: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    home = tiny({"publish.branch": "result"})
    assert run(home).code == 0
    other = run(home, JOB_GROUP="run-43-ffffffff-1111-2222-3333-444455556666")
    assert (other.code, other.message["failure"]["name"]) == (62, "branch-taken")
    assert UID in other.last
    push(server, f"{tmp_path.name}-publish.git", {"x": "y"}, branch="human")
    assert run(tiny({"publish.branch": "human"})).code == 62


def test_a_branch_that_appears_between_look_and_push_is_not_overwritten(
    server: Server, tmp_path: Path, make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{tmp_path.name}-race.git"
    server.repository(name)
    other = push(server, name, {"x": "y"}, branch="result")
    context = make_context({"publish.repository": f"{server.url}/{name}", "publish.branch": "result"})
    context.artifacts.mkdir()
    (context.artifacts / "model.pt").write_text("mine")
    looks: list[str] = []
    look = BranchPublisher._own_commit

    def late(self: BranchPublisher, branch: str) -> Published | None:
        looks.append(branch)
        return None if len(looks) == 1 else look(self, branch)

    monkeypatch.setattr(BranchPublisher, "_own_commit", late)
    family: Any = SimpleNamespace(has=lambda hook: False)
    with pytest.raises(RunnerError) as caught:
        BranchPublisher(context).publish(family)
    assert (caught.value.exit.name, len(looks)) == ("branch-taken", 2)
    assert git("-C", str(server.folder / name), "rev-parse", "result") == other


@pytest.mark.lab
def test_a_hook_that_declines_the_push_is_named_with_the_branch(
    server: Server, tmp_path: Path, tiny: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    home = tiny({"publish.branch": "protected"})
    hook = server.folder / f"{tmp_path.name}-publish.git" / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'branch is protected' >&2\nexit 1\n")
    hook.chmod(0o755)
    ended = run(home)
    assert (ended.code, ended.message["failure"]["name"]) == (60, "publish-refused"), ended.log
    assert "protected" in ended.message["failure"]["reason"]
    assert "publish.branch" in ended.message["failure"]["fix"]


@pytest.fixture
def alone(tmp_path: Path, make_home: Callable[..., Path], family: Path) -> Callable[..., Path]:
    """A home of a run that has its train.py already and needs no git server."""

    def make(changes: dict[str, Any], train: str) -> Path:
        folder = tmp_path / "workspace" / "run-42" / "model"
        folder.mkdir(parents=True)
        (folder / "train.py").write_text(train)
        publish = {"type": "none", "modelName": "m", "maxBatchSize": 1}
        return make_home({"sources": {}, "publish": publish, **changes}, family)

    return make


@pytest.mark.parametrize(
    ("train", "code", "words"),
    [
        ("raise ValueError('labels are wrong')", 40, "ValueError: labels are wrong"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 41, "SIGSEGV"),
        ("pass", 50, "no best.pt"),
    ],
)
def test_the_end_of_the_trainer_decides_the_code(
    train: str, code: int, words: str, alone: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    ended = run(alone({}, train))
    assert ended.code == code, ended.log
    assert words in ended.message["failure"]["reason"]
    assert f"event=failed stage={ended.message['failure']['stage']} code={code}" in ended.last


SLOW = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (print('trainer says goodbye', flush=True), sys.exit(0)))\nprint('training', flush=True)\ntime.sleep(60)\n"


def test_sigterm_is_passed_on_to_the_trainer(
    tmp_path: Path, alone: Callable[..., Path], start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start(alone({}, SLOW))
    assert process.stdout is not None
    before = []
    for line in process.stdout:
        before.append(line)
        if line == "training\n":
            break
    process.send_signal(signal.SIGTERM)
    ended = finish(process, tmp_path / "termination-log")
    assert ended.code == 143, "".join(before) + ended.log
    assert "trainer says goodbye" in ended.log
    assert "event=failed stage=train code=143 name=stopped" in ended.last
    assert ended.message["failure"]["name"] == "stopped"


def test_the_time_limit_ends_the_trainer(alone: Callable[..., Path], run: Callable[..., Ended]) -> None:
    ended = run(alone({"run.timeLimitSeconds": 5}, SLOW))
    assert (ended.code, ended.message["failure"]["stage"]) == (12, "train"), ended.log
    assert "trainer says goodbye" in ended.log


def test_a_failed_run_is_held_as_long_as_it_should_and_its_failure_stays_the_last_line(
    alone: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    ended = run(alone({"run.holdSeconds": 1}, "raise SystemExit('no data')"))
    assert ended.code == 40
    assert "name=train-failed" in ended.events("holding")[0]
    assert 'event=held reason="holdAfterFailure is over"' in ended.log
    assert "event=failed" in ended.last


def test_a_failure_that_is_retried_is_not_held_up(alone: Callable[..., Path], run: Callable[..., Ended]) -> None:
    ended = run(alone({"run.holdSeconds": 60, "retries": 1}, "import os; os.kill(os.getpid(), 9)"))
    assert (ended.code, ended.events("holding")) == (41, [])


def test_a_hold_ends_when_the_run_is_stopped(
    tmp_path: Path, alone: Callable[..., Path], start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start(alone({"run.holdSeconds": 600}, "raise SystemExit('no data')"))
    assert process.stdout is not None
    log = next(line for line in process.stdout if "event=holding" in line)
    process.send_signal(signal.SIGTERM)
    ended = finish(process, tmp_path / "termination-log")
    assert ended.code == 40, log + ended.log
    assert "event=held" in ended.log
    assert ended.message["failure"]["name"] == "train-failed"


def test_a_rank_that_lost_its_peer_waits_before_it_ends(alone: Callable[..., Path], run: Callable[..., Ended]) -> None:
    changes = {
        "replicas": 2,
        "run.service": "localhost",
        "pod.peerGraceSeconds": 1,
        "workspace.type": "newClaim",
        "run.family.launcher": "python",
    }
    lost = run(
        alone(changes, "raise RuntimeError('[gloo] Connection closed by peer [10.0.0.1]:1234')"), POD_IP="127.0.0.1"
    )
    assert (lost.code, lost.message["failure"]["name"]) == (43, "peer-lost"), lost.log
    assert lost.events("waiting")


def test_a_defect_of_the_runner_has_a_code_and_a_last_line(
    tmp_path: Path, make_home: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    broken = tmp_path / "broken-family"
    broken.mkdir()
    (broken / "hooks.py").write_text("1 / 0\n")
    ended = run(make_home({}, broken))
    assert ended.code == 11
    assert "name=internal-error" in ended.last
    assert "ZeroDivisionError" in ended.last


def test_settings_that_are_not_understood_are_refused(
    tmp_path: Path, make_home: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    home = make_home({"publish.type": "ftp"})
    ended = run(home)
    assert (ended.code, ended.message["failure"]["name"]) == (10, "settings-invalid")
    (home / "settings.json").unlink()
    assert run(home).code == 10


@pytest.mark.lab
def test_check_names_every_problem_and_ends_with_the_first_code(
    server: Server, tiny: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    home = tiny({})
    good = run(home, "--check")
    assert good.code == 0, good.log
    assert len([line for line in good.events("check") if " item=" in line]) == 6
    bad = run(tiny({"model.revision": "mian", "caBundle.configMapName": "nowhere"}), "--check")
    assert bad.code == 20
    problems = [line.split(" item=")[1].split()[0] for line in bad.events("check") if "ok=false" in line]
    assert problems == ["mounts", "model"], bad.log


@pytest.mark.lab
def test_check_looks_at_sources_of_every_type_where_they_lie(
    tmp_path: Path, tiny: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    claim = {"type": "claim", "claimName": "coco", "path": "data"}
    (tmp_path / "sources" / "dataset").mkdir(parents=True)
    with serving_bucket(Bucket({"shapes/a.txt": b"alpha"}, public=True)) as store:
        stored = {"type": "s3", "path": "model", "bucket": "datasets", "prefix": "shapes"}
        stored["endpoint"] = f"http://127.0.0.1:{store.server_port}"
        sources = {"dataset": claim, "model": stored}
        home = tiny({"sources": sources, "publish": {"type": "none", "modelName": "m", "maxBatchSize": 1}})
        empty = run(home, "--check")
        (tmp_path / "sources" / "dataset" / "a.txt").write_text("a")
        filled = run(home, "--check")
    assert (empty.code, filled.code) == (30, 0), empty.log + filled.log
    assert "claim coco is empty" in next(line for line in empty.events("check") if "item=dataset" in line)
    for name in ("dataset", "model"):
        assert any(f"item={name} ok=true" in line for line in filled.events("check")), filled.log


@pytest.mark.lab
def test_the_environment_of_the_values_is_the_trainer_s_and_neither_git_s_nor_the_runner_s(
    tiny: Callable[..., Path], run: Callable[..., Ended], secret: Path
) -> None:
    """Nor is anything of git's the trainer's: it can read what is mounted, as docs/security.md says, and is given none of it."""
    train = TRAIN + "\nimport os\nprint('has', os.environ['PATH'], os.environ['COLOUR'], os.environ['HOME'])\n"
    train += READS.format(secret=secret)
    ended = run(tiny({"env": {"PATH": "/nowhere", "COLOUR": "blue", "http_proxy": "http://127.0.0.1:9"}}, train))
    assert ended.code == 0, ended.log
    assert "has /nowhere blue /" in ended.log
    assert f"it reads {hashlib.sha256(TOKEN.encode()).hexdigest()} and was given it: False" in ended.log
    page = (Path(__file__).parents[2] / "docs/security.md").read_text(encoding="utf-8")
    assert "**can read every Secret that is mounted**" in page


@pytest.mark.lab
def test_the_token_is_nowhere(
    tmp_path: Path, tiny: Callable[..., Path], run: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Argument lists and environments of every git and git-lfs, the log, and every file that the run leaves; a planted canary is found."""
    shims, record = tmp_path / "shims", tmp_path / "record"
    shims.mkdir()
    for name in ("git", "git-lfs"):
        real = subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout.strip()
        (shims / name).write_text(f'#!/bin/sh\n{{ printf "%s\\n" "$0 $*"; env; }} >> {record}\nexec {real} "$@"\n')
        (shims / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{shims}{os.pathsep}{os.environ['PATH']}")
    ended = run(tiny({}))
    assert ended.code == 0, ended.log

    def leaks() -> list[str]:
        kept = [
            tmp_path / "workspace",
            tmp_path / "home",
            tmp_path / "home-folder",
            record,
            tmp_path / "termination-log",
        ]
        files = [path for root in kept for path in ([root] if root.is_file() else root.rglob("*")) if path.is_file()]
        return [str(path) for path in files if TOKEN.encode() in path.read_bytes()]

    assert "lfs push" in record.read_text()
    assert "GIT_CONFIG_COUNT" in record.read_text()
    assert TOKEN not in ended.log
    assert leaks() == []
    config = tmp_path / "workspace" / "run-42" / "publish" / "config"
    config.write_text(config.read_text() + f"# {TOKEN}\n")
    assert leaks() == [str(config)]
