"""What an API server, and the runs in it, may say: no command fails over it, and nothing in it commands a terminal."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import rows
from trainchart.cli import main as cli
from trainchart.errors import ExitCode

from .api_server import JOB, POD, ApiServer, changed, serving

ODD = [None, 5, "x", [], {}, [None], {"a": None}, True, -1, 1e308, "2026-99-99T00:00:00Z"]
IN_A_JOB = [
    "metadata/labels", "metadata/creationTimestamp", "metadata/uid", "spec", "spec/tasks", "spec/maxRetry", "spec/queue",
    "spec/tasks/0/replicas", "spec/tasks/0/template", "status", "status/state", "status/conditions", "status/retryCount",
]  # fmt: skip
_STATE = "status/containerStatuses/0/state"
IN_A_POD = [
    "metadata/labels", "metadata/annotations", "metadata/ownerReferences", "metadata/name", "spec", "status", "status/phase",
    "status/containerStatuses", "status/conditions", _STATE, f"{_STATE}/terminated/exitCode",
    f"{_STATE}/terminated/message", f"{_STATE}/terminated/finishedAt",
]  # fmt: skip

# To a title, a bell, an empty screen, red, C1's CSI, and right to left.
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31mRED\x9b31m\u202e\u2028"
HTML = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
EVIL = ESCAPES + HTML


TOOLS = Path(cli.__file__).parents[1]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    with serving(tmp_path) as there:
        yield there


COMMANDS = {
    "status": "status run-42",
    "status as JSON": "status run-42 -o json",
    "list": "list",
    "result": "result run-42",
    "result as JSON": "result run-42 -o json",
    "wait": "wait run-42 --timeout 3s",
    "logs": "logs run-42",
}


def call(server: ApiServer, command: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code, and all that was printed."""
    code = cli.main([*command.split(), "--kubeconfig", server.kubeconfig])
    said = capsys.readouterr()
    text = said.out + said.err
    assert code != ExitCode.FAILED, text
    assert "internal error" not in text
    assert "Traceback" not in text
    return code, text


def odd_runs(*paths: str) -> Iterator[Any]:
    for what, known in (("job", IN_A_JOB), ("pod", IN_A_POD)):
        for path in known:
            if not paths or path in paths:
                yield pytest.param(what, path, id=f"{what} {path}")


def try_all(server: ApiServer, what: str, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    for value in ODD:
        server.job = changed(JOB, path, value) if what == "job" else JOB
        server.pods = [changed(POD, path, value)] if what == "pod" else [POD]
        for command in ("status", "list" if what == "job" else "result"):
            call(server, COMMANDS[command], capsys)


@pytest.mark.lab
@pytest.mark.parametrize(("what", "path"), list(odd_runs()))
def test_no_odd_value_in_a_job_or_a_pod_fails_a_command(
    what: str, path: str, server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    try_all(server, what, path, capsys)


@pytest.mark.lab
@pytest.mark.parametrize(("what", "path"), list(odd_runs("spec/tasks", "status", f"{_STATE}/terminated/message")))
def test_the_oddest_of_them(what: str, path: str, server: ApiServer, capsys: pytest.CaptureFixture[str]) -> None:
    try_all(server, what, path, capsys)


@pytest.mark.lab
@pytest.mark.parametrize(
    "answer", [b"", b"null", b"5", b"[]", b'"x"', b"{", b"<html>log in</html>", b"\xff\xfe", b"[" * 100_000, b"{}", b'{"items": 5}', b'{"items": [5]}', b'{"items": [], "metadata": 5}'],
    ids=lambda answer: answer[:30].decode("ascii", "replace") or "nothing",
)  # fmt: skip
@pytest.mark.parametrize("command", ["status", "list", "result", "logs", "wait"])
def test_an_answer_that_is_no_object_is_told(
    command: str, answer: bytes, server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.everything = answer
    code, text = call(server, COMMANDS[command].replace("3s", "1s"), capsys)
    assert code in {0, *ExitCode}
    assert len(text) < 2_000


def test_a_list_without_end_is_told(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("trainchart.cluster.api.MAX_PAGES", 50)
    server.everything = b'{"items": [{}], "metadata": {"continue": "more"}}'
    code, text = call(server, "list", capsys)
    assert code == ExitCode.UNREACHABLE
    assert "lists jobs.batch.volcano.sh without end" in text


def hostile(server: ApiServer) -> None:
    """A run that writes escapes wherever it can write anything, and an API server that does so too."""
    result = {
        "version": 1, "status": "completed", "run": EVIL, "uid": EVIL, "attempt": 0, "rank": 0, "repository": f"https://h/{EVIL}",
        "branch": EVIL, "commit": EVIL, "sources": {f"model{EVIL}": {"repository": EVIL, "revision": EVIL, "commit": EVIL}},
        "metrics": {"epochs": 3, EVIL: 0.5, "loss": 0.1}, "files": [{"path": EVIL, "bytes": 5}], "stages": {EVIL: 1.0},
    }  # fmt: skip
    server.pods = [changed(changed(POD, f"{_STATE}/terminated/message", json.dumps(result)), "spec/nodeName", EVIL)]
    server.job = changed(changed(JOB, "spec/queue", EVIL), "metadata/labels", {"trainchart.dev/family": EVIL})
    server.log = (
        "trainchart time=2026-11-24T18:01:00Z event=run run=run-42 attempt=0 replicas=1\n"
        f"trainchart time=x event=metrics epoch=1 epochs=3 {HTML.replace('=', '_')}=0.5 \x1b[2Ja=0.3 loss=0.2\n"
        f'trainchart time=x event=warning reason="{ESCAPES}"\ntrainchart time={ESCAPES} event=start stage={EVIL}\n'
    ).encode()
    server.settings = {
        "metadata": {"labels": {"trainchart.dev/family": EVIL}},
        "data": {"settings.json": json.dumps({"publish": {"repository": EVIL, "branch": EVIL}, "train": {EVIL: EVIL}})},
    }


def failed(server: ApiServer) -> None:
    failure = {"stage": EVIL, "code": 40, "name": EVIL, "reason": f"{EVIL}\nanother line", "fix": EVIL}
    result = json.dumps({"version": 1, "status": "failed", "failure": failure})
    pod = changed(changed(POD, f"{_STATE}/terminated/message", result), f"{_STATE}/terminated/exitCode", 40)
    for path in ("status/reason", "status/message", "spec/nodeName"):
        pod = changed(pod, path, EVIL)
    server.pods = [changed(pod, "status/phase", "Failed")]
    server.job = changed(JOB, "status/state", {"phase": "Failed", "message": EVIL, "reason": EVIL})


def pending(server: ApiServer) -> None:
    waiting = {"waiting": {"reason": EVIL, "message": EVIL}}
    server.pods = [changed(changed(changed(POD, _STATE, waiting), "status/phase", "Pending"), "spec/nodeName", EVIL)]
    server.job = changed(JOB, "status/state", {"phase": "Pending", "message": EVIL})
    server.others = {
        "items": [{"metadata": {"name": EVIL}, "reason": EVIL, "message": EVIL, "type": "Warning", "status": {"phase": EVIL}}],
        "metadata": {},
    }  # fmt: skip


RUNS = [hostile, failed, pending]
ALLOWED = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\r|\x1b\[K|\n|\t")


def unescaped(text: str) -> str:
    """What is left of a text's control characters without line ends, our own colours, and a line that is cleared."""
    return "".join(sorted({c for c in ALLOWED.sub("", text) if not (c.isprintable() or c.isspace())}))


@pytest.mark.lab
@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "logs"])
def test_nothing_that_a_run_says_commands_the_terminal(
    command: str, run: Any, server: ApiServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run(server)
    _, text = call(server, COMMANDS[command], capsys)
    assert unescaped(text) == ""
    assert "\x1b" not in text
    assert "\u202e" not in text
    if command == "status" or (command == "result" and run is not pending):
        assert "\\x1b[2J" in text


@pytest.mark.parametrize(
    "run", [hostile, pytest.param(failed, marks=pytest.mark.lab), pytest.param(pending, marks=pytest.mark.lab)]
)
@pytest.mark.parametrize(
    "command",
    rows(
        ["status run-42", "list", "result run-42", "wait run-42 --timeout 2s", "doctor"],
        "status run-42",
        "wait run-42 --timeout 2s",
    ),
)
@pytest.mark.lab
def test_in_a_terminal_with_colours_all_of_them_are_our_own(
    command: str, run: Any, server: ApiServer, tmp_path: Path
) -> None:
    run(server)
    ours, theirs = pty.openpty()
    out = io.BytesIO()

    def read() -> None:
        try:
            while data := os.read(ours, 65536):
                out.write(data)
        except OSError:  # the other end is closed
            return

    reader = threading.Thread(target=read)
    environment = {**os.environ, "TERM": "xterm", "KUBECONFIG": server.kubeconfig}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "trainchart", *command.split()], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=TOOLS
    )  # fmt: skip
    os.close(theirs)
    reader.start()
    process.wait(60)
    reader.join(10)
    os.close(ours)
    text = out.getvalue().decode()
    assert unescaped(text) == "", text
    assert "\x1b[31mRED" not in text
    assert process.returncode != ExitCode.FAILED, text


def test_a_log_is_the_trainer_s_own_text(server: ApiServer, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """As `kubectl logs` prints it: colours and progress bars are meant."""
    server.log = b"\x1b[32mepoch 1\x1b[0m\r 50%\n"
    assert cli.main(["logs", "run-42", "--kubeconfig", server.kubeconfig]) == 0
    assert capfdbinary.readouterr().out == server.log


@pytest.mark.parametrize("run", RUNS)
def test_no_markup_of_a_run_is_part_of_its_page(
    run: Any, server: ApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(server)
    call(server, f"report run-42 --write {tmp_path}/run.html", capsys)
    page = (tmp_path / "run.html").read_text()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
