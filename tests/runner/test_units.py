"""The runner's parts that need no server."""

from __future__ import annotations

import ast
import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features import secrets
from runner import kills, log, process, result, settings, tracebacks, train, verify
from runner.context import Context
from runner.errors import EXIT_CODES, RunnerError
from runner.git import Git
from runner.process import Finished
from runner.remote import Remote
from tests.conftest import rows

from .conftest import FILES, TOKEN, UID, USER

FOLDERS = ("runner", "features/*", "families/*")
SOURCES = sorted(path for folder in FOLDERS for path in FILES.glob(f"{folder}/*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_pod_s_program_is_python_3_8_and_the_runner_needs_no_library(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
    family_s = path.parent.parent.name == "families" and path.name != "hooks.py"
    if family_s or "__main__" in path.read_text(encoding="utf-8").rpartition("\nif ")[2]:
        return  # it runs by itself, in the image's Python, and may import its libraries
    imported = {
        name.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }
    imported |= {
        (node.module or "").split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 0
    }
    assert imported <= set(sys.stdlib_module_names) | {"runner", "features"}


def test_every_exit_code_is_used_and_every_used_one_exists() -> None:
    text = "".join(
        path.read_text(encoding="utf-8") for path in [*FILES.glob("runner/*.py"), *FILES.glob("features/*/*.py")]
    )
    named = set(re.findall(r'"((?:[a-z]+-)+[a-z]+|stopped)"', text)) | {
        "prepare-unreachable",
        "publish-unreachable",
        "completed",
    }
    assert set(EXIT_CODES) <= named
    for name in re.findall(r'RunnerError\(\s*"([^"]+)"', text):
        assert name in EXIT_CODES
    assert all(row.code < 256 for row in EXIT_CODES.values())


# settings


def test_the_documented_settings_are_understood(make_context: Callable[..., Context]) -> None:
    context = make_context({}, VC_TASK_INDEX="1", JOB_ATTEMPT="2")
    assert (context.uid, context.rank, context.attempt, context.world_size) == (UID, 1, 2, 1)
    assert context.model == context.workspace.root / "yolov5"
    assert make_context({}, JOB_GROUP="odd").uid == "odd"


STORED = {"type": "s3", "bucket": "b"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"publish.type": "ftp"}, "publish.type must be git, s3 or none"),
        ({"replicas": 0}, "replicas must be at least 1"),
        ({"run.processes": 0}, "run.processes must be at least 1"),
        ({"pod.port": 65535}, "pod.port must be between"),
        ({"pod.mounts.secrets": "secrets"}, "pod.mounts.secrets must be an absolute path"),
        ({"run.version": 1}, "run.version must be 2"),
        ({"run.family.launcher": "sh"}, "run.family.launcher must be python or torchrun"),
        ({"tune.goal": "most"}, "tune.goal must be maximize or minimize"),
        ({"run.timeLimitSeconds": "2 hours"}, "run.timeLimitSeconds must be of type int"),
        ({"model.type": "svn"}, "model.type must be git, claim or s3"),
        ({"replicas": "2"}, "replicas must be of type int"),
        ({"git.allowPlainHttp": 1}, "git.allowPlainHttp must be of type bool"),
        ({"run.family.modelPath": "../up"}, "model.path must be a relative path"),
        ({"dataset.path": "./"}, "dataset.path must be a relative path"),
        ({"dataset.path": "yolov5"}, "'yolov5' and dataset.path 'yolov5' overlap"),
        ({"dataset.path": "YOLOv5//data"}, "'YOLOv5//data' overlap"),
        ({"run.family.modelPath": "datasets"}, "overlap"),
        ({"sources": {"dataset": {"type": "claim", "claimName": "c", "path": "model/x"}}}, "overlap"),
        ({"dataset.path": "./State/x"}, "is in state, which the run itself writes"),
        ({"dataset.path": "a/.git/b"}, "has a part .git"),
        ({"workspace.directory": "."}, "workspace.directory must be a relative path"),
        ({"model.revision": "--upload-pack=x"}, "model.revision"),
        ({"publish.branch": "a..b"}, "publish.branch"),
        ({"publish.branch": "-x"}, "publish.branch"),
        ({"publish.repository": "git@host/a/b"}, "publish.repository"),
        (
            {"publish.repository": "git@host:a/b", "git.secretName": ""},
            "git.secretName is empty, and publish.repository",
        ),
        ({"publish.repository": "https://user:hunter2@host/a"}, "publish.repository must not hold a user or password"),
        (
            {"publish.repository": "http://host/a", "git.allowPlainHttp": False, "sources": {}},
            "publish.repository must start with https://",
        ),
        ({"publish.repository": "https://host:port/a"}, "publish.repository is not a URL"),
        ({"publish.repository": "https://host/a?private_token=hunter2"}, "publish.repository must not hold a query"),
        ({"model.repository": "https://host/a#hunter2"}, "model.repository must not hold a query"),
        ({"model": {**STORED, "endpoint": "https://a:hunter2@host"}}, "model.endpoint must not hold a user"),
        ({"model": {**STORED, "endpoint": "https://host?t=hunter2"}}, "model.endpoint must not hold a query"),
        ({"mlflow.trackingUri": "https://hunter2@host"}, "mlflow.trackingUri must not hold a user"),
        ({"mlflow.trackingUri": "https://host/?access_token=hunter2"}, "mlflow.trackingUri must not hold a query"),
        (
            {"mlflow.trackingUri": "http://host", "mlflow.secretName": "s"},
            "mlflow.trackingUri must start with https:// (http:// only with mlflow.allowPlainHttp)",
        ),
        ({"run.credentials": {}}, "run.credentials.model is missing"),
        ({"run.credentials.model": "mlflow"}, "run.credentials.model must be git or model"),
    ],
)
def test_wrong_settings_are_said_with_their_key(
    change: dict[str, Any], words: str, make_context: Callable[..., Context]
) -> None:
    with pytest.raises(RunnerError) as caught:
        make_context(change)
    assert (caught.value.exit.code, words in caught.value.reason) == (10, True), caught.value.reason
    assert "hunter2" not in caught.value.reason + caught.value.fix


@pytest.mark.parametrize(
    "change",
    [
        {"mlflow.trackingUri": "http://host"},
        {"mlflow.trackingUri": "http://host", "mlflow.secretName": "s", "mlflow.allowPlainHttp": True},
        {"model": {**STORED, "endpoint": "http://host", "secretName": "s"}},
    ],
    ids=["no token", "allowed", "signed"],
)
def test_plain_http_is_for_what_carries_no_token_or_was_allowed(
    change: dict[str, Any], make_context: Callable[..., Context]
) -> None:
    make_context(change)


def test_large_numbers_with_an_exponent_are_integers(make_home: Callable[..., Path]) -> None:
    assert settings.load(make_home({"tune.seed": 2.147483647e9})).tune.seed == 2147483647


# credential helper


def ask_helper(home: Path, section: str, server: str, operation: str = "get") -> str:
    """As git asks it for a repository of a section."""
    program = [sys.executable, "-I", "-S", str(FILES / "runner" / "credential.py")]
    loaded = settings.load(home)
    folder = loaded.git_credentials(section).folder if section in loaded.repositories() else str(FILES)
    protocol, _, host = server.partition("://")
    done = subprocess.run(
        [*program, str(home / "settings.json"), section, folder, "", operation],
        input=f"protocol={protocol}\nhost={host}\n\n",
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("protocol", "host", "operation", "answered"),
    [
        ("https", "git.example.com", "get", True),
        ("https", "GIT.example.com", "get", True),
        ("https", "git.example.com:443", "get", True),
        ("https", "git.example.com:80", "get", False),
        ("https", "git.example.com:port", "get", False),
        ("https", "", "get", False),
        ("https", "evil.example.com", "get", False),
        ("https", "git.example.com.evil.org", "get", False),
        ("https", "git.example.com:8443", "get", False),
        ("http", "git.example.com", "get", False),
        ("https", "git.example.com", "store", False),
        ("https", "git.example.com", "erase", False),
    ],
)
@pytest.mark.parametrize("plain", rows([False, True], False))
def test_the_credential_helper_answers_only_the_run_s_own_hosts(
    protocol: str, host: str, operation: str, answered: bool, plain: bool, make_home: Callable[..., Path]
) -> None:
    home = make_home({"git.allowPlainHttp": plain})
    assert ask_helper(home, "model", f"{protocol}://{host}", operation) == (
        f"username={USER}\npassword={TOKEN}\n" if answered else ""
    )


def test_git_gets_the_answer_and_starts_python_for_nothing_else(
    make_home: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, started, program = make_home({}), tmp_path / "started", tmp_path / "python 3"
    program.write_text(f'#!/bin/sh\necho started >> {started}\nexec {sys.executable} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    environment = Git(Context.create(settings.load(home), home, {}))._environment(Remote("model", ""))

    def credential(operation: str, said: str) -> str:
        command = ["git", "credential", operation]
        return subprocess.run(command, input=said, env=environment, capture_output=True, text=True, check=True).stdout

    filled = credential("fill", "protocol=https\nhost=git.example.com\n\n")
    assert f"username={USER}\npassword={TOKEN}\n" in filled
    credential("approve", filled)
    credential("reject", filled)
    assert started.read_text() == "started\n"


def test_the_credential_helper_knows_sources_that_are_not_git(make_home: Callable[..., Path]) -> None:
    stored = {"type": "s3", "endpoint": "https://s3.example.com", "bucket": "b"}
    home = make_home({"dataset": stored})
    assert ask_helper(home, "model", "https://git.example.com")
    assert not ask_helper(home, "weights", "https://git.example.com"), "which is no section"
    for host in ("git.example.com", "s3.example.com"):
        assert not ask_helper(home, "dataset", f"https://{host}")


def test_each_repository_has_its_own_secret_even_on_the_same_server(
    make_home: Callable[..., Path], tmp_path: Path
) -> None:
    own = tmp_path / "secrets" / "dataset"
    own.mkdir()
    (own / "GIT_TOKEN").write_text("another")
    answers = "username=oauth2\npassword=another\n", f"username={USER}\npassword={TOKEN}\n"
    mine = {"run.credentials.dataset": "dataset", "dataset.secretName": "own"}
    for url in ("https://git.example.com/team/d.git", "https://hub.example.org/d.git"):
        home = make_home({**mine, "dataset.repository": url})
        server = url.rpartition("/d.git")[0].removesuffix("/team")
        assert (ask_helper(home, "dataset", server), ask_helper(home, "model", "https://git.example.com")) == answers
    assert ask_helper(home, "dataset", "https://git.example.com") == ""
    assert ask_helper(home, "model", "https://hub.example.org") == ""


# verify


def test_verify_names_the_missing_key_of_the_secret(make_context: Callable[..., Context], secret: Path) -> None:
    context = make_context({})
    verify.check_mounts(context)
    (secret / "GIT_TOKEN").write_text("\n")
    with pytest.raises(RunnerError, match="is empty"):
        verify.check_mounts(context)
    (secret / "GIT_TOKEN").unlink()
    with pytest.raises(RunnerError, match=r"git.tokenKey: the secret git-credentials has no key GIT_TOKEN"):
        verify.check_mounts(context)
    for key in secret.iterdir():
        key.unlink()
    (secret / "..data").mkdir()  # which the kubelet makes for a secret that does not exist, too
    with pytest.raises(RunnerError, match=r"the secret git-credentials does not exist, or has no key GIT_TOKEN"):
        verify.check_mounts(context)


def test_verify_names_what_is_missing_of_the_trainers_secrets(
    make_context: Callable[..., Context], secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(log, "hidden", set())
    key = {"secretName": "wandb", "key": "api-key"}
    context = make_context({"secretEnv": {"WANDB_API_KEY": key}, "secretFiles": {".config/k": key}})
    with pytest.raises(
        RunnerError, match=r"^secretEnv.WANDB_API_KEY: the secret wandb does not exist, or has no key api-key$"
    ):
        verify.check_mounts(context)
    (secret.parent / "program" / "env").mkdir(parents=True)
    variable = secret.parent / "program" / "env" / "WANDB_API_KEY"
    for content in (b"\n", b"\xff", b"a\0b"):
        variable.write_bytes(content)
        with pytest.raises(
            RunnerError, match="WANDB_API_KEY: key api-key of the secret wandb is empty, or not UTF-8 text"
        ):
            verify.check_mounts(context)
    variable.write_text("two\nlines\n")
    with pytest.raises(RunnerError, match=r"^secretFiles\.\.config/k: the secret wandb does not exist"):
        verify.check_mounts(context)
    (secret.parent / "program" / "files" / ".config").mkdir(parents=True)
    (secret.parent / "program" / "files" / ".config" / "k").write_bytes(b"\xff\0")  # a file may hold anything
    verify.check_mounts(context)
    for _ in range(2):  # trainer and exporter
        assert secrets.give(context) == {"WANDB_API_KEY": "two\nlines"}
    assert (tmp_path / ".config" / "k").read_bytes() == b"\xff\0"


def test_a_secret_is_hidden_from_the_log_however_it_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(log, "hidden", set())
    for secret in ("p@ss/wörd", "first line\nsecond line", "p@ss/wörd-longer", "short", ""):
        log.hide(secret)
    log.line("p@ss/wörd p%40ss%2Fw%C3%B6rd p@ss/w\\u00f6rd p@ss/wörd-longer; second line of short words")
    log.event("failed", reason="first line")
    log.line(f"authorization: Basic {base64.b64encode(b'first line').decode()}")
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "*** *** *** ***; *** of short words"
    assert second.endswith('reason="***"')
    assert third.rstrip("=") == "authorization: Basic ***"


def test_the_credentials_of_git_and_mlflow_are_hidden_too_and_their_users_are_not(
    make_context: Callable[..., Context],
    monkeypatch: pytest.MonkeyPatch,
    secret: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(log, "hidden", set())
    tracked = secret.parent / "mlflow"
    tracked.mkdir()
    (tracked / "USER").write_text("somebody-else")
    (tracked / "PASSWORD").write_text("pass-of-somebody\n")
    keys = {"secretName": "mlflow", "userKey": "USER", "passwordKey": "PASSWORD", "tokenKey": ""}
    verify.check_mounts(make_context({"mlflow": {"trackingUri": "https://mlflow.example.com", **keys}}))
    for user, word in ((USER, TOKEN), ("somebody-else", "pass-of-somebody")):
        log.line(f"{user} {word} {base64.b64encode(f'{user}:{word}'.encode()).decode()}")
        assert capsys.readouterr().out.rstrip("=\n") == f"{user} *** ***"


def test_verify_refuses_too_little_shared_memory_and_a_missing_tool(
    make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_context({"run.sharedMemoryBytes": 1 << 60})
    with pytest.raises(RunnerError, match="sharedMemory requests"):
        verify.check_shared_memory(context)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RunnerError, match="git is not in the image"):
        verify.check_tools(context)


# log


@hypothesis_settings(deadline=None)
@given(st.text())
def test_a_line_of_the_log_is_one_line_whatever_is_in_it(text: str) -> None:
    written: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "line", written.append)
        log.event("failed", reason=text, code=30)
    (line,) = written
    assert len(line.splitlines()) == 1
    value = line.split(" reason=", 1)[1][: -len(" code=30")]
    assert (json.loads(value) if value.startswith('"') else value) == text


@hypothesis_settings(deadline=None)
@given(st.text() | st.sampled_from(["event", "time", "name", "a b", "a=b", "line\nbreak"]))
def test_a_metric_may_be_called_anything(key: str) -> None:
    written: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "line", written.append)
        log.event("metrics", epoch=1, **{key: 0.5})
    (line,) = written
    assert len(line.splitlines()) == 1
    rest = re.fullmatch(r"trainchart time=\S+ event=metrics epoch=1 (.*)=0\.5", line)
    assert rest
    assert rest.group(1) not in ("time", "event")
    assert "=" not in rest.group(1)


# result


@pytest.mark.lab
@hypothesis_settings(deadline=None)
@given(
    st.recursive(
        st.text() | st.integers() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    ),
    st.text(),
    st.integers(0, 500),
)
def test_a_result_always_fits_and_is_json(metrics: Any, reason: str, files: int) -> None:
    whole = {
        "version": 1, "status": "failed", "failure": {"code": 40, "reason": reason * 50, "fix": reason}, "metrics": {"m": metrics, "long": "é" * 3000},
        "files": [{"path": f"{reason[:20]}/{index}", "bytes": index} for index in range(files)],
    }  # fmt: skip
    cut = result.fit(whole)
    assert len(cut) <= 4096
    read = json.loads(cut.decode("utf-8"))
    assert (read["status"], read["failure"]["code"]) == ("failed", 40)


def test_a_small_result_is_complete_and_a_large_one_loses_the_names_of_records_and_then_files() -> None:
    small = {"version": 1, "status": "completed", "branch": "b", "files": [{"path": "a", "bytes": 1}]}
    assert json.loads(result.fit(small)) == small
    large = json.loads(result.fit({**small, "files": [{"path": f"file-{index}", "bytes": 1} for index in range(1000)]}))
    assert large["branch"] == "b"
    assert 50 < len(large["files"]) < 1000
    assert large["filesOmitted"] == 1000 - len(large["files"])
    part = {"part": "train", "used": 1, "total": 6}
    named = {**small, "dataset": {"parts": [{**part, "leftOut": ["x" * 1000] * 5}]}}
    assert json.loads(result.fit(named)) == {**small, "dataset": {"parts": [part]}}


# process


def python(code: str, **options: Any) -> Finished:
    return process.run([sys.executable, "-c", code], Path("/"), {"PATH": "/usr/bin:/bin"}, **options)


def test_a_progress_bar_does_not_flood_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    done = python(
        "import sys\nfor i in range(1000): sys.stdout.write(f'\\rstep {i}')\nprint()\nprint('end\\r')\nsys.stdout.write('no newline')"
    )
    assert capsys.readouterr().out.splitlines() == ["step 999", "end", "no newline"] == done.tail


def test_a_long_progress_is_shown_from_time_to_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(process, "PROGRESS_SECONDS", 0.1)
    python(
        "import sys, time\nfor i in range(4): sys.stdout.write(f'{i}%\\r'); sys.stdout.flush(); time.sleep(0.15)\nprint()"
    )
    assert 2 <= len(capsys.readouterr().out.splitlines()) <= 5


def test_a_grandchild_that_keeps_the_pipe_open_is_not_waited_for() -> None:
    done = python(
        "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'])\nprint('done')"
    )
    assert (done.code, done.tail) == (0, ["done"])


def test_what_was_captured_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    done = python("import sys; print('data'); print('said', file=sys.stderr)", capture=True)
    assert (done.output, done.tail) == ("data\n", ["said"])
    assert capsys.readouterr().out == "said\n"


# train


TORCHRUN = [
    "E0101 torch/distributed/elastic failed (exitcode: 1) local_rank: 0",
    "Traceback (most recent call last):",
    "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ",
    "train.py FAILED",
]
LOST = "[rank1]: RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:598] Connection closed by peer [10.0.0.1]:1234"


@pytest.mark.parametrize(
    ("replicas", "code", "tail", "oom", "name"),
    [
        (1, 1, ["ValueError: labels"], False, "train-failed"),
        (1, 1, [LOST], False, "train-failed"),
        (2, 1, [LOST, *TORCHRUN], False, "peer-lost"),
        (2, 1, ["KeyError: 'x'", LOST, *TORCHRUN], False, "train-failed"),
        (2, 1, ["torch.distributed.DistNetworkError: The client socket has timed out after 600s"], False, "peer-lost"),
        (2, 1, ["Exception: Dataset not found"], False, "train-failed"),
        (1, -9, [], True, "train-out-of-memory"),
        (1, 1, ["RuntimeError: DataLoader worker (pid 1) is killed by signal: Killed."], True, "train-out-of-memory"),
        (1, -9, [], False, "train-killed"),
        (2, 1, [*TORCHRUN, "traceback : Signal 11 (SIGSEGV) received by PID 7"], False, "train-killed"),
        (2, 247, ["LAUNCH INFO 2026-11-24 15:56:44,809 Exit code -9"], False, "train-killed"),
        (1, 137, ["run.sh: line 3: 77 Killed python train.py"], False, "train-killed"),
        (1, 139, ["Segmentation fault"], False, "train-killed"),
        (1, 247, [], False, "train-killed"),  # sys.exit(-9)
        (1, 1, ["RuntimeError: DataLoader worker (pid 7) is killed by signal: Killed."], False, "train-killed"),
        (1, 1, ["RuntimeError: DataLoader worker (pid 7) is killed by signal: Bus error."], False, "train-failed"),
        (1, 1, ["ProcessExitedException: process 0 terminated with signal SIGABRT"], False, "train-killed"),
        (1, 128, ["fatal: not a git repository"], False, "train-failed"),
        (1, 129, ["usage: git ..."], False, "train-failed"),
        (1, 141, [], False, "train-failed"),  # a pipe that `head` has left
        (1, 255, [], False, "train-failed"),
        (
            2,
            1,
            ["RuntimeError: [/gloo/transport/tcp/pair.cc:587] TIMEOUT self_rank = 0 pair_rank = 1"],
            False,
            "peer-lost",
        ),
    ],
)
def test_the_end_of_a_trainer_is_judged(
    replicas: int, code: int, tail: list[str], oom: bool, name: str, make_context: Callable[..., Context]
) -> None:
    context = make_context({"replicas": replicas})
    failure = train.find_failure(context, Finished(code, "", tail, oom))
    assert failure is not None
    assert failure.exit.name == name


# What the trainers printed when a fault was put into them, shortened.
ULTRALYTICS = """\
Traceback (most recent call last):
  File "/trainchart/family/run.py", line 45, in <module>
    main()
  File "/usr/lib/python3/dist-packages/ultralytics/engine/trainer.py", line 1107, in _handle_nan_recovery
    raise RuntimeError(f"Training failed: NaN persisted for {self.nan_recovery_attempts} epochs")
RuntimeError: Training failed: NaN persisted for 4 epochs
"""
PADDLE = """\
Traceback (most recent call last):
  File "tools/train.py", line 30, in <module>
    trainer.train(arguments.eval)
  File "/opt/train/lib/python3.11/site-packages/paddle/nn/functional/loss.py", line 662, in binary_cross_entropy
    out = _C_ops.bce_loss(input, label)
          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
ValueError: (InvalidArgument) Illegal input, input must be greater than  or equal to 0
  [Hint: Expected x_data[i] >= static_cast<T>(0), but received x_data[i]:nan.] (at bce_loss_kernel.cc:42)
"""
IMPORTS = """\
Traceback (most recent call last):
  File "/workspace/run/yolov5/train.py", line 47, in <module>
    import val as validate
  File "/workspace/run/yolov5/val.py", line 39, in <module>
    from utils.loggers import Loggers
ModuleNotFoundError: No module named 'IPython'
"""
EVALUATES = """\
[rank0]: Traceback (most recent call last):
[rank0]:   File "/workspace/run/code/train.py", line 8, in <module>
[rank0]:     evaluate(model)
[rank0]:   File "/workspace/run/code/train.py", line 4, in evaluate
[rank0]:     raise Unlucky("no boxes")
[rank0]: code.train.Unlucky: no boxes
"""


@pytest.mark.parametrize(
    ("output", "words", "fix"),
    [
        (ULTRALYTICS, "NaN persisted for 4 epochs (engine/trainer.py, line 1107)", "learning rate"),
        (PADDLE, "(at bce_loss_kernel.cc:42) (tools/train.py, line 30; functional/loss.py, line 662)", "learning rate"),
        (
            IMPORTS,
            "ModuleNotFoundError: No module named 'IPython' (yolov5/val.py, line 39)",
            "use an image that has it",
        ),
        (EVALUATES, "code.train.Unlucky: no boxes (code/train.py, line 4)", "see above"),
        (
            "RuntimeError: Caught ValueError in worker 0.\nOriginal Traceback (most recent call last):\n  x\nValueError: bad",
            "ValueError: bad",
            "see",
        ),
        (
            "ResourceExhaustedError:\n\nOut of memory error on GPU 0.",
            "ResourceExhaustedError: Out of memory error on GPU 0.",
            "batch size",
        ),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "CUDA out of memory", "batch size"),
        ("OSError: [Errno 28] No space left on device", "No space", "workspace.size"),
        ("RuntimeError: bad\n 50%|█████     | 27/54", "RuntimeError: bad", "see"),
        ("usage: train.py\ntrain.py: error: unrecognized arguments: --x\n", "train.py: error: unrecognized", "see"),
        ("", "it printed nothing", "see"),
    ],
)
def test_the_cause_is_the_trainer_s_own_last_exception_with_its_place(output: str, words: str, fix: str) -> None:
    cause = tracebacks.cause(
        [*output.splitlines(), *(TORCHRUN if output else [])] if "usage" not in output else output.splitlines()
    )
    assert words in str(cause)
    assert fix in cause.fix("see above")
    assert cause.in_evaluation == (output == EVALUATES)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"loss": 1.0, "loss_dfl": float("nan")}, ""),
        ({"loss": float("nan")}, "loss is nan"),
        ({"train/box_loss": float("inf"), "train/cls_loss": 0.0}, "train/box_loss is inf"),
        ({"train_loss": 1.0, "val/box_loss": float("nan"), "eval_loss": float("nan"), "valLoss": float("nan")}, ""),
        ({"interval_loss": float("nan")}, "interval_loss is nan"),
        ({"metrics/mAP": float("nan"), "epoch": 3}, ""),
    ],
)
def test_a_training_has_diverged_if_its_own_loss_is_not_finite(row: dict[str, Any], words: str) -> None:
    assert train.not_finite(row) == words


def test_the_kernel_s_counters_are_read_in_both_cgroup_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    v2, v1 = tmp_path / "memory.events", tmp_path / "memory.oom_control"
    monkeypatch.setattr(kills, "OOM_COUNTERS", (v2, v1))
    assert kills.oom_kills() == 0
    v1.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert kills.oom_kills() == 2
    v2.write_text("low 0\nhigh 0\nmax 5\noom 1\noom_kill 3\n")
    assert kills.oom_kills() == 3


def test_torchrun_is_used_for_more_than_one_process(make_context: Callable[..., Context]) -> None:
    family: Any = SimpleNamespace(has=lambda hook: False, call=lambda hook, failure: ["train.py"])
    assert train.command(make_context({}), family) == [sys.executable, "train.py"]
    gang = train.command(make_context({"replicas": 2}, VC_TASK_INDEX="1"), family)
    assert gang[1:3] == ["-m", "torch.distributed.run"]
    assert (
        " ".join(gang[3:])
        == "--nnodes 2 --nproc_per_node 1 --node_rank 1 --master_addr run-42-master --master_port 23456 train.py"
    )
    alone = train.command(make_context({"replicas": 2, "run.family.launcher": "python"}), family)
    assert alone == [sys.executable, "train.py"]


def test_a_family_may_start_a_program_of_the_image_s_own(make_context: Callable[..., Context]) -> None:
    family: Any = SimpleNamespace(has=lambda hook: hook == "train_command", call=lambda hook, failure: ["colossal", 1])
    assert train.command(make_context({"replicas": 2}), family) == ["colossal", "1"]
