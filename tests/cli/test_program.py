"""`trainchart` as a process: signals, closed pipes, and files of unexpected kinds."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import rows
from tests.values.checks import ROOT, YOLOV5
from trainchart import files
from trainchart.cli import main as cli
from trainchart.errors import ExitCode, FileError

# Sends itself a signal when it is about to import the Nth module after `signal`, without which none can be taken.
AT_AN_IMPORT = """
import os, signal, sys
from trainchart.cli import main as cli
at, number = int(sys.argv[1]), int(sys.argv[2])
class Finder:
    count = 0
    def find_spec(self, name, path=None, target=None):
        Finder.count += 1
        if Finder.count == at:
            os.kill(os.getpid(), number)
sys.meta_path.insert(0, Finder())
sys.argv[:] = ["trainchart", *sys.argv[3:]]
sys.exit(cli.main())
"""
# Sends itself a signal at the Nth line of trainchart, from the first import of the program on.
AT_A_LINE = """
import os, runpy, signal, sys
at, number = int(sys.argv[1]), int(sys.argv[2])
passed = -1
def trace(frame, event, arg):
    global passed
    file = frame.f_code.co_filename
    if "/tools/trainchart/" not in file or passed < 0 and not file.endswith("/cli/__init__.py"):
        return trace
    passed += 1
    if passed == at:
        sys.settrace(None)
        os.kill(os.getpid(), number)
    return trace
sys.argv[:] = ["trainchart", *sys.argv[3:]]
sys.settrace(trace)
runpy.run_module("trainchart", run_name="__main__", alter_sys=True)
"""
COMMAND = [sys.executable, "-m", "trainchart"]
OUTSIDE = re.compile(rb'File "\S+/trainchart/__(?:init|main)__\.py", line \d+, in <module>')
"""Where the program has not begun yet, and cannot take a signal."""


def interrupted_at(
    at: int, number: int, *arguments: str, script: str = AT_AN_IMPORT
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", script, str(at), str(int(number)), *arguments]
    return subprocess.run(command, capture_output=True, check=False, cwd=ROOT / "tools", stdin=subprocess.DEVNULL)


def kubeconfig(folder: Path, server: str = "http://127.0.0.1:9") -> Path:
    """The kubeconfig of an unreachable cluster."""
    file = folder / "kubeconfig"
    file.write_text(
        f"clusters: [{{name: c, cluster: {{server: '{server}'}}}}]\nusers: [{{name: u, user: {{token: t}}}}]\n"
        "contexts: [{name: c, context: {cluster: c, user: u}}]\ncurrent-context: c\n"
    )
    return file


def commands(folder: Path) -> Iterator[list[str]]:
    yield ["validate", str(YOLOV5)]
    yield ["list", "--kubeconfig", str(kubeconfig(folder))]
    yield ["--help"]


def assert_quiet(process: subprocess.CompletedProcess[bytes], at: int) -> bool:
    """Whether the signal came in time."""
    said = process.stdout + process.stderr
    assert b"Traceback" not in said, (at, said)
    assert b"KeyboardInterrupt" not in said, (at, said)
    assert b"internal error:" not in said, (at, said)
    return process.returncode == ExitCode.INTERRUPTED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_first_imports_exits_with_130_and_prints_nothing(number: int, tmp_path: Path) -> None:
    for at in (1, 2, 10, 40):
        process = interrupted_at(at, number, "validate", str(YOLOV5))
        assert assert_quiet(process, at)
        assert (process.stdout, process.stderr) == (b"", b"")


@pytest.mark.lab
def test_a_signal_at_any_import_is_quiet(tmp_path: Path) -> None:
    for arguments in commands(tmp_path):
        for at in range(1, 2_000, 7):
            if not assert_quiet(interrupted_at(at, signal.SIGINT, *arguments), at):
                break
        else:
            pytest.fail("there is no end of imports")
        assert at > 20


def test_a_signal_during_the_last_import_exits_with_130() -> None:
    """It is to interrupt a moment later, when the command has ended: SIGALRM would kill a Python that ends."""
    script = (
        "import sys; from trainchart.cli import chart, main as cli, signals; "
        "chart.run = lambda options: signals.interrupt_again() or 0; "
        "sys.argv[:] = ['trainchart', 'chart']; sys.exit(cli.main())"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False, cwd=ROOT / "tools")
    assert (process.returncode, process.stdout, process.stderr) == (ExitCode.INTERRUPTED, b"", b"")


@pytest.mark.lab
def test_a_signal_at_any_line_is_quiet(tmp_path: Path) -> None:
    for arguments in commands(tmp_path):
        for at in (*range(0, 30, 3), *range(30, 20_000, 301)):
            if not assert_quiet(interrupted_at(at, signal.SIGINT, *arguments, script=AT_A_LINE), at):
                break
        else:
            pytest.fail("there is no end of lines")
        assert at > 1_000


@pytest.mark.lab
def test_a_signal_at_any_moment_is_quiet(tmp_path: Path) -> None:
    """Except while Python itself starts: that traceback has none of our files."""
    for arguments in commands(tmp_path):
        for milliseconds in range(5, 600, 10):
            process = subprocess.Popen(
                [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT / "tools"
            )
            time.sleep(milliseconds / 1000)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
            assert b"/trainchart/" not in OUTSIDE.sub(b"", err), (milliseconds, err)
            assert b"internal error:" not in out + err


def test_sigterm_interrupts_a_waiting_command_like_ctrl_c(tmp_path: Path) -> None:
    """Not with 143, the exit code of a run that was stopped."""
    command = [*COMMAND, "wait", "run-42", "--kubeconfig", str(kubeconfig(tmp_path))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=ROOT / "tools")
    assert process.stdout
    assert b"trying again" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == ExitCode.INTERRUPTED
    assert (
        out
        == (
            "trainchart: stopped following; the run continues: "
            f"trainchart wait run-42 --kubeconfig {tmp_path}/kubeconfig\n"
        ).encode()
    )


def test_ignored_signals_stay_ignored() -> None:
    """For `nohup`."""
    script = (
        "import signal; from trainchart.cli import signals; signals.handle(raising=True); "
        "print(signal.getsignal(1) is signal.SIG_IGN)"
    )
    process = subprocess.run(
        ["nohup", sys.executable, "-c", script], capture_output=True, check=False, cwd=ROOT / "tools"
    )
    assert b"True" in process.stdout + process.stderr


@pytest.mark.lab
@pytest.mark.parametrize("arguments", ["--help", "validate VALUES", "preset yolov5", "completion bash", "nonsense"])
@pytest.mark.parametrize("streams", rows(["| true", "2>&1 | true", "2>&1 >/dev/null | true"], "2>&1 | true"))
def test_a_pipe_that_is_closed_at_once_causes_no_message(arguments: str, streams: str) -> None:
    """The pipe is closed before the first byte."""
    words = arguments.replace("VALUES", str(YOLOV5))
    script = f"(sleep 0.2; exec {sys.executable} -m trainchart {words}) {streams}; exit ${{PIPESTATUS[0]}}"
    process = subprocess.run(["bash", "-c", script], capture_output=True, cwd=ROOT / "tools", check=False)
    assert process.returncode == (2 if arguments == "nonsense" else 0)
    said = process.stdout + process.stderr
    assert b"Traceback" not in said
    assert b"Exception" not in said
    assert b"internal error:" not in said


# -- files


def of_a_kind(kind: str, folder: Path) -> str:
    path = folder / "file"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a binary":
        path.write_bytes(b"\x7fELF\0\0\1" * 100)
    elif kind == "50 MB":
        with path.open("wb") as file:
            file.write(b"- a: b\n" * (50_000_000 // 7))
    elif kind == "no UTF-8":
        path.write_bytes("clusters: [{name: ä}]".encode("latin-1"))
    elif kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a deep pit":
        path.write_text("[" * 100_000)
    elif kind == "a bomb":
        lines = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
        path.write_text("a0: &a0 [x, x, x, x]\n" + lines + "clusters: *a11\n")
    elif kind == "a bomb of itself":
        path.write_text("clusters: &x [*x]\n")
    elif kind == "without end":
        return "/dev/zero"
    elif kind == "a date that is none":
        path.write_text("clusters: 2026-99-99\n")
    elif kind == "a socket":
        import socket

        socket.socket(socket.AF_UNIX).bind(str(path))
    else:
        assert kind == "nothing"
    return str(path)


def bytes_read() -> int:
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["rchar"])


KINDS = [
    "a folder", "a binary", "50 MB", "no UTF-8", "a FIFO", "a deep pit", "a bomb", "a bomb of itself", "without end",
    "a date that is none", "a socket", "nothing",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "arguments", ["list --kubeconfig FILE", "validate FILE", "report run-42 --write - --log DATA --result FILE"]
)
def test_a_file_of_another_kind_is_refused_in_one_line_after_a_bounded_read(
    arguments: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "FIFO_SECONDS", 0.1)
    file = of_a_kind(kind, tmp_path)
    words = [
        {"FILE": file, "DATA": str(ROOT / "tests/data/run-42/run.log")}.get(word, word) for word in arguments.split()
    ]
    before = bytes_read()
    assert cli.main(words) == ExitCode.REFUSED
    assert bytes_read() - before < (300 << 20 if arguments.startswith("report") else 8 << 20)
    said = capsys.readouterr()
    lines = [line for line in (said.out + said.err).splitlines() if not line.startswith(("1 error", "2 errors"))]
    assert len(lines) == 1 or kind == "a date that is none", lines  # which values may have, but for their keys
    for line in lines:
        assert file in line
        assert "internal error" not in line
        assert len(line) < 800


def test_a_missing_permission_to_read_a_file_is_reported(tmp_path: Path) -> None:
    """In a child process as nobody, since root may read everything."""
    tmp_path.chmod(0o755)
    secret = tmp_path / "secret"
    secret.write_text("")
    secret.chmod(0)
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            files.read_bytes(str(secret), 10)
        except FileError as error:
            os._exit(0 if str(error) == "cannot be read: permission denied" else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0


def test_a_fifo_with_a_writer_is_read(tmp_path: Path) -> None:
    """As the shell creates one for `<(command)`."""
    script = f"{sys.executable} -m trainchart validate <(sleep 0.3; cat {YOLOV5}) {YOLOV5}"
    process = subprocess.run(["bash", "-c", script], capture_output=True, cwd=ROOT / "tools", check=False)
    assert process.returncode == 0, process.stdout


def test_an_error_that_an_interrupt_caused_is_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:
            os.close(-1)

    monkeypatch.setattr("trainchart.cli.validate.run", run)
    assert cli.main(["validate", str(YOLOV5)]) == ExitCode.INTERRUPTED
