"""What all commands have in common: options, exit codes, errors, and closed or full outputs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.values.checks import ROOT, YOLOV5
from trainchart.chart.exit_codes import runner_codes
from trainchart.cli import main as cli
from trainchart.errors import ExitCode
from trainchart.values import validate


def test_an_internal_error_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(validate, "violations", lambda *_: 1 / 0)
    monkeypatch.delenv("TRAINCHART_DEBUG", raising=False)
    assert cli.main(["validate", str(YOLOV5)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("trainchart: internal error: ZeroDivisionError: division by zero; please report it")
    assert (said.out, said.err.count("\n")) == ("", 1)
    monkeypatch.setenv("TRAINCHART_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(["validate", str(YOLOV5)])


def test_an_interrupt_exits_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(validate, "validate", interrupted)
    assert cli.main(["validate", str(YOLOV5)]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "arguments", [["validate"], ["validate", "a", "--output", "xml"], ["validate", "-", "-"], ["x"]]
)
def test_an_invalid_command_line_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code: object = cli.main(arguments)
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert capsys.readouterr().err


def test_a_closed_pipe_is_no_error() -> None:
    script = f"{sys.executable} -m trainchart validate {YOLOV5} | true; exit ${{PIPESTATUS[0]}}"
    process = subprocess.run(["bash", "-c", script], capture_output=True, cwd=ROOT / "tools", check=False)
    assert (process.returncode, process.stderr) == (0, b"")


def test_all_exit_codes_are_documented() -> None:
    text = (ROOT / "docs/exit-codes.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (\d+) \| ([\w-]+) \| (\w+) \| (\w*) \| (.+) \|$", text, flags=re.MULTILINE)
    ours = {code.value: (code.name, "trainchart", "") for code in ExitCode}
    runner = {
        code.code: (code.name, "runner", "yes" if code.retried else "no")
        for code in runner_codes().values()
        if code.code
    }
    assert not ours.keys() & runner.keys()
    assert {int(code): tuple(rest) for code, *rest, _ in told} == {**ours, **runner}
    assert [int(row[0]) for row in told] == sorted({**ours, **runner})
    assert all(meaning.strip() for *_, meaning in told)
    assert all(f" {code.value} " in f"{cli.make_parser().epilog} " for code in ExitCode)


@pytest.mark.parametrize("command", ["status", "wait", "logs", "result", "stop", "report --write -"])
@pytest.mark.parametrize("name", ["", "../../x", "Run_42", "run-"])
def test_an_invalid_name_is_refused_before_it_is_part_of_a_request(
    command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*command.split(), name])
    assert ended.value.code == 2
    assert "is not a valid name" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["status run-42", "list", "result run-42", "doctor"])
def test_an_error_is_also_json_if_that_is_the_format(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main([*command.split(), "-o", "json", "--kubeconfig", str(tmp_path / "none")])
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert (code, answer["code"]) == (2, 2)
    assert said.err == f"trainchart: {answer['error']}\n"


@pytest.mark.parametrize(
    ("option", "fix"), [("--rank=-1", "from 0"), ("--tail=x", "how many"), ("--attempt=0", "from 1")]
)
def test_an_invalid_number_is_refused_with_what_to_write(
    option: str, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["logs", "run-42", option])
    assert fix in capsys.readouterr().err


def test_a_closed_output_changes_no_exit_code() -> None:
    script = f'"{sys.executable}" -m trainchart validate "{YOLOV5}" >&-'
    process = subprocess.run(["bash", "-c", script], capture_output=True, cwd=ROOT / "tools", check=False)
    assert (process.returncode, process.stderr) == (0, b"")


def test_a_full_disk_is_not_an_internal_error() -> None:
    script = f'"{sys.executable}" -m trainchart validate "{YOLOV5}" >/dev/full'
    process = subprocess.run(["bash", "-c", script], capture_output=True, cwd=ROOT / "tools", check=False)
    said = b"trainchart: the disk is full: the standard output was not written completely\n"
    assert (process.returncode, process.stderr) == (2, said)


@pytest.mark.parametrize(
    "arguments", ["--vers", "preset yolov5 --accel nvidia", "validate run.yaml --out json", "submit a -f b --time 1h"]
)
def test_an_abbreviated_option_is_refused(arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments.split())
    assert ended.value.code == 2


@pytest.mark.parametrize("arguments", ["status run-42 --outpu json", "submit a -f b c", "report a --write - -o b"])
def test_an_unknown_argument_is_answered_with_the_usage_of_its_command(
    arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(arguments.split())
    assert capsys.readouterr().err.startswith(f"usage: trainchart {arguments.split()[0]} ")


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_output_is_always_the_format(command: str) -> None:
    subparsers = cli.make_parser()._subparsers
    assert subparsers
    (action,) = subparsers._group_actions
    assert isinstance(action.choices, dict)
    options = action.choices[command]._option_string_actions
    for option in {"-o", "--output"} & options.keys():
        if command in ("submit", "rerun"):  # which have no format
            assert options[option].metavar == ("WHAT", "FILE")
            continue
        more = {"list": ("name",), "validate": ("github", "gitlab")}.get(command, ())
        assert options[option].choices == ("text", "json", *more)
