"""`trainchart validate`: its output and exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.values.checks import ROOT, YOLOV5
from trainchart.cli import main as cli
from trainchart.errors import RenderError
from trainchart.values import validate

WRONG = "replicas: 0\nmodel: {revision: 5}\n"


@pytest.fixture
def wrong(tmp_path: Path) -> str:
    path = tmp_path / "wrong.yaml"
    path.write_text(WRONG)
    return str(path)


def trainchart(*arguments: str, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "trainchart", *arguments]
    return subprocess.run(
        command, input=stdin, capture_output=True, check=False, cwd=ROOT / "tools", env={**os.environ, **environment}
    )


def test_valid_values_exit_with_0_and_a_summary_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate", str(YOLOV5), "--name", "first"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "valid: first, family yolov5, accelerator hami-alauda, replicas 1, 1 warning"


def test_invalid_values_exit_with_2_a_line_per_error_and_the_counts(
    wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["validate", str(YOLOV5), wrong]) == 2
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line for line in lines if ": warning: " not in line] == [
        f"{wrong}:1:1: error: replicas: 0 is less than 1",
        f"{wrong}:2:9: error: model.revision: 5 is not text; put it in quotes: '5'",
    ]
    assert re.fullmatch(r"2 errors(, \d+ warnings?)?", last)


def test_files_and_the_namespace_are_named_as_everywhere(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate", str(YOLOV5), wrong, "-n", "other"]) == 2
    said = capsys.readouterr().out
    assert cli.main(["validate", "-n", "other", "-f", str(YOLOV5), "--values", wrong]) == 2
    assert capsys.readouterr().out == said
    assert cli.main(["validate", str(YOLOV5), "-f", wrong, "--namespace=other"]) == 2
    assert capsys.readouterr().out == said
    assert cli.main(["validate"]) == 2
    assert "no values are given; name a values file by -f, or what to train by --family" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["validate", "render"])
@pytest.mark.parametrize(
    ("option", "given", "words"),
    [
        ("--name", "", "argument --name: is empty; name the release, such as run-42"),
        ("-n", "My_Team", "argument -n/--namespace: 'My_Team' is not a valid name"),
    ],
)
def test_a_release_is_named_as_a_cluster_takes_it(
    command: str, option: str, given: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main([command, str(YOLOV5), option, given])
    assert words in capsys.readouterr().err


def test_values_of_the_command_line_are_named_by_their_option(capsys: pytest.CaptureFixture[str]) -> None:
    over = ["--param", "REPLICAS=0", "--set", "train.epochs=x", "--set", "train", "--family", "yolov5"]
    assert cli.main(["validate", str(YOLOV5), *over]) == 2
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line for line in lines if ": warning: " not in line] == [
        """--set: error: 'train': key "train" has no value; write KEY=VALUE, and a comma of a value as \\,""",
        "--param REPLICAS: error: replicas: 0 is less than 1",
        "--set train.epochs: error: train.epochs: 'x' is not a whole number of at least 1",
    ]
    assert last.startswith("3 errors")
    assert cli.main(["validate", "--family", "yolov5", "--output", "json"]) == 2
    [first, *_] = json.loads(capsys.readouterr().out)["diagnostics"]
    assert (first["file"], first["line"], first["key"]) == (None, None, "image")
    assert cli.main(["validate", "--family", "yolov5"]) == 2
    assert capsys.readouterr().out.startswith("error: image: is empty")


def test_json_has_every_diagnostic(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate", str(YOLOV5), wrong, "--output", "json"]) == 2
    result = json.loads(capsys.readouterr().out)
    assert result.keys() == {"valid", "diagnostics"}
    assert result["valid"] is False
    errors = [diagnostic for diagnostic in result["diagnostics"] if diagnostic["severity"] == "error"]
    assert errors[0] == {
        "severity": "error",
        "file": wrong,
        "line": 1,
        "column": 1,
        "key": "replicas",
        "value": 0,
        "message": "0 is less than 1",
        "source": "schema",
    }


def test_json_of_valid_values_has_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate", str(YOLOV5), "--output", "json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["valid"] is True
    assert all(diagnostic["severity"] == "warning" for diagnostic in result["diagnostics"])


def test_the_chart_s_warnings_are_printed_and_refuse_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = "Run it:\nWarning: sharedMemory: 1Gi is little; 4Gi is usual\nWarning: it is late\nNo Warning: here\n"
    monkeypatch.setattr(validate, "render_text", lambda *_, **__: {"NOTES.txt": notes})
    assert cli.main(["validate", str(YOLOV5)]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    line = YOLOV5.read_text().splitlines().index("sharedMemory: 2Gi") + 1
    assert lines == [
        f"{YOLOV5}: warning: it is late",
        f"{YOLOV5}:{line}:1: warning: sharedMemory: 1Gi is little; 4Gi is usual",
    ]
    assert last.startswith("valid: run-42, ")
    assert last.endswith(", 2 warnings")


def test_what_templates_render_must_be_yaml(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(validate, "render_text", lambda *_, **__: {"job.yaml": "a: b\n---\nc: d: e\n"})
    assert cli.main(["validate", str(YOLOV5)]) == 2
    assert "templates/job.yaml is not YAML with these values" in capsys.readouterr().out


def test_a_violated_rule_is_reported_with_the_chart_s_message_at_its_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("git:\n  secretName: ''\nimage: ''\n")
    assert cli.main(["validate", str(YOLOV5), str(own), "--name", "4th"]) == 2
    lines = [line for line in capsys.readouterr().out.splitlines() if "error: " in line]
    assert lines[0].startswith('error: release name: "4th" must begin with a letter')
    assert lines[1].startswith(f"{own}:2:3: error: git.secretName: is empty, but publish.type git needs")
    assert lines[2] == f"{own}:3:1: error: image: is empty; set a training image for family yolov5"


def test_a_rule_about_a_missing_key_points_to_the_section_around_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("family: yolov5\n\ngit: {userKey: USER}\n")
    assert cli.main(["validate", str(own)]) == 2
    printed = capsys.readouterr().out
    assert f"{own}:3:1: error: git.secretName: is empty" in printed
    assert f"{own}: error: image: is empty" in printed


def test_a_template_that_fails_for_another_reason_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RenderError("train/templates/job.yaml:3:4\n  executing at <x>:\n    nil pointer")

    monkeypatch.setattr(validate, "render_text", fails)
    assert cli.main(["validate", str(YOLOV5)]) == 2
    assert capsys.readouterr().out.splitlines() == [
        f"{YOLOV5}: error: the chart cannot be rendered with these values: train/templates/job.yaml:3:4: nil pointer",
        "1 error",
    ]


def test_the_standard_input_is_read_and_nothing_is_printed_to_stderr() -> None:
    # A list where a map is due: Helm's library writes about it to stderr.
    process = trainchart("validate", str(YOLOV5), "-", stdin=b"resources: {limits: 5}\nimage: {a: b}\n")
    assert process.returncode == 2
    assert process.stderr == b""
    assert (
        process.stdout.decode().splitlines()[0]
        == "<stdin>:1:13: error: resources.limits: 5 is not a map; its keys are cpu, memory"
    )


def test_control_characters_of_a_file_are_escaped() -> None:
    values = 'queue: "\\e[31m\\nred\\u202e"\nreplicas: 1\n"\\e]0;k": 1\n'
    process = trainchart("validate", str(YOLOV5), "-", stdin=values.encode(), PYTHONIOENCODING="ascii")
    assert process.returncode == 2
    assert rb"queue: '\x1b[31m\nred\u202e' is not the name of an object" in process.stdout
    assert b"\x1b" not in process.stdout


@pytest.mark.parametrize(
    ("terminal", "environment", "coloured"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_colours_are_for_terminals_without_no_color(
    wrong: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    terminal: bool,
    environment: str,
    coloured: bool,
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.setenv("NO_COLOR", environment)
    cli.main(["validate", wrong])
    assert ("\033[31;1merror\033[0m" in capsys.readouterr().out) is coloured


def test_validate_imports_only_what_it_needs() -> None:
    """Pydantic takes longer to import than everything else together."""
    script = (
        "import sys; from trainchart.cli import main as cli; "
        "assert not {'yaml', 'helm_python', 'json'} & set(sys.modules);"
        f"cli.main(['validate', {str(YOLOV5)!r}]); assert 'yaml' in sys.modules;"
        "assert not {'pydantic', 'subprocess', 'jsonschema'} & set(sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=ROOT / "tools", check=False)
    assert process.stderr == b""


DOCUMENTED = re.findall(
    r"```yaml\n(# over (values/\w+\.yaml).*?)```", (ROOT / "docs/tune.md").read_text("utf-8"), re.DOTALL
)


@pytest.mark.parametrize(("text", "file"), DOCUMENTED, ids=[file for _, file in DOCUMENTED])
def test_the_documented_searches_are_valid(text: str, file: str, tmp_path: Path) -> None:
    over = tmp_path / "search.yaml"
    over.write_text(text)
    assert cli.main(["validate", str(ROOT / file), str(ROOT / "values/accelerators/nvidia.yaml"), str(over)]) == 0


def test_github_gets_a_workflow_command_for_each_at_its_line(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    over = ["--set", "train.epochs=x", "--name", "4th"]
    assert cli.main(["validate", str(YOLOV5), wrong, *over, "-o", "github"]) == 2
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("::error ")] == [
        "::error title=trainchart::error: release name: \"4th\" must begin with a letter and contain only a-z, 0-9 and '-'; "
        "install under another name",
        f"::error file={wrong},line=1,col=1,title=trainchart::{wrong}:1:1: error: replicas: 0 is less than 1",
        f"::error file={wrong},line=2,col=9,title=trainchart::{wrong}:2:9: error: model.revision: 5 is not text; "
        "put it in quotes: '5'",
        "::error title=trainchart::--set train.epochs: error: train.epochs: 'x' is not a whole number of at least 1",
    ]
    assert last.startswith("4 errors")


def test_no_text_of_a_file_is_a_workflow_command_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "a,b:c%.yaml"
    own.write_text('family: yolov5\nqueue: "%0A::stop-commands::x\\n::error::y"\n')
    assert cli.main(["validate", str(own), "-o", "github"]) == 2
    *lines, _ = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("::error ", "::warning ")) for line in lines)
    (line,) = [line for line in lines if "queue" in line]
    assert f"file={tmp_path}/a%2Cb%3Ac%25.yaml,line=2" in line
    assert "'%250A::stop-commands::x\\n::error::y'" in line


def test_gitlab_gets_a_code_quality_report(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate", str(YOLOV5), wrong, "--set", "train.epochs=x", "-o", "gitlab"]) == 2
    report = json.loads(capsys.readouterr().out)
    errors = [issue for issue in report if issue["severity"] == "major"]
    assert [(issue["description"].partition(":")[0], issue["location"]) for issue in errors] == [
        ("replicas", {"path": wrong, "lines": {"begin": 1}}),
        ("model.revision", {"path": wrong, "lines": {"begin": 2}}),
        ("train.epochs", {"path": wrong, "lines": {"begin": 1}}),
    ]
    assert {issue["severity"] for issue in report} == {"major", "minor"}
    assert len({issue["fingerprint"] for issue in report}) == len(report)
    Path(wrong).write_text("# a line more\n" + WRONG)
    assert cli.main(["validate", str(YOLOV5), wrong, "--set", "train.epochs=x", "-o", "gitlab"]) == 2
    again = json.loads(capsys.readouterr().out)
    assert [issue["fingerprint"] for issue in again] == [issue["fingerprint"] for issue in report]
    assert again != report


def test_forges_get_paths_from_the_top_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "vision").mkdir()
    (tmp_path / "vision/run.yaml").write_text("family: yolov5\nreplicas: 0\n")
    (tmp_path / "base.yaml").write_text("queue: 5\n")
    monkeypatch.chdir(tmp_path / "vision")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("CI_PROJECT_DIR", str(tmp_path))
    for folder in ("", "./", f"{tmp_path}/vision/../vision/"):
        assert cli.main(["validate", "../base.yaml", f"{folder}run.yaml", "-o", "github"]) == 2
        out = capsys.readouterr().out
        assert "::error file=vision/run.yaml,line=2," in out
        assert "::error file=base.yaml,line=1," in out
        assert cli.main(["validate", "../base.yaml", f"{folder}run.yaml", "-o", "gitlab"]) == 2
        paths = {issue["location"]["path"] for issue in json.loads(capsys.readouterr().out)}
        assert paths == {"base.yaml", "vision/run.yaml"}
    monkeypatch.setenv("CI_PROJECT_DIR", str(tmp_path / "vision"))
    assert cli.main(["validate", "../base.yaml", "-o", "gitlab"]) == 2
    assert json.loads(capsys.readouterr().out)[0]["location"]["path"] == "../base.yaml"


def test_an_empty_parameter_of_another_step_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["validate", "--family", "custom", "--required-param", "MODEL_REPO_URL=https://git.example.com/a.git"]
    assert cli.main([*given, "--required-param", "MODEL_REPO_BRANCH= "]) == 2
    assert "--required-param MODEL_REPO_BRANCH is empty: the step that gives it has none" in capsys.readouterr().err
