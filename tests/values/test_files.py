"""What only a file can tell: it is there, it is YAML, no key is written twice; and YAML means what it means to Helm."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from tests.values.checks import YOLOV5, check, found
from trainchart.errors import FileError
from trainchart.files import read_text
from trainchart.values.positions import Node, locate
from trainchart.values.validate import validate

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 10)
)

# What is written, and the one thing that is told of it.
BROKEN: dict[str, tuple[str | bytes, str]] = {
    "a tab as indentation": ("git:\n\tsecretName: a", "2:1 None: a tab, where YAML requires spaces"),
    "an open bracket": (
        "env: {A: b\nreplicas: 1",
        "2:9 None: not YAML: did not find expected ',' or '}', while parsing a flow mapping from line 1",
    ),
    "two colons": ("a: b: c", "1:5 None: not YAML: mapping values are not allowed in this context"),
    "an unknown alias": ("env: *x", "1:6 None: *x refers to &x, which is not defined above it"),
    "an alias of what is around it": ("env: &x\n  a: *x", "2:6 env.a: &x contains itself"),
    "an alias bomb": (BOMB, "6:10 None: aliases expand to more than 100,000 values; write the values without aliases"),
    "a deep pit": ("a: " + "[" * 20_000, "1:103 None: more than 100 levels inside each other"),
    "a list": ("- a", "1:1 None: the top level is a list, but values are a map; write key: value"),
    "a text": ("replicas", "1:1 None: the top level is a single value, but values are a map; write key: value"),
    "two documents": (
        "replicas: 1\n---\nreplicas: 2",
        "2:1 None: a second document begins here, which Helm 3 would ignore; keep one document per file",
    ),
    "text behind the end": (
        "replicas: 1\n...\nqueue: a",
        "3:1 None: text behind the end of the values (`...` or the last brace), which Helm would ignore; "
        "move it before that, or take it out",
    ),
    "text behind the last brace": (
        '{"replicas": 1}\nqueue: a',
        "2:1 None: text behind the end of the values (`...` or the last brace), which Helm would ignore; "
        "move it before that, or take it out",
    ),
    "a directive": ("%YAML 1.1\n---\nreplicas: 1", "1:1 None: a directive, which Helm 4 cannot read; leave it out"),
    "a map behind the dashes": (
        "--- {replicas: 1}",
        "1:5 None: on the line of ---, where Helm 4 cannot read it; write it below",
    ),
    "an anchor behind the dashes": (
        "--- &a\nreplicas: 1",
        "1:5 None: on the line of ---, where Helm 4 cannot read it; write it below",
    ),
    "not a number": ("train: {epochs: .nan}", "1:9 train.epochs: .nan is not a finite number; write one"),
    "infinity": ("replicas: -.inf", "1:1 replicas: -.inf is not a finite number; write one"),
    "a map as a key": ("env:\n  {a: b}: c", "2:3 env: a map or list cannot be a key"),
    "a control character": ("a: b\nc: \x07", "2:1 None: a control character, which YAML does not allow; is it a text file?"),
    "Latin-1": ("queue: a\nimage: b\xe9".encode("latin-1"), "None:None None: is not UTF-8 text (byte 0xe9 in line 2); save it as UTF-8"),
    "a program": (b"\x7fELF\0\0\1", "None:None None: is a binary file; values are YAML text in UTF-8"),
    "a photograph": (
        b"#" * (2 << 20),
        "None:None None: is larger than 1 MiB, too large for values; is it the right file?",
    ),
    "a key that has no name": ("~: 1", "None:None None: not YAML: unsupported map key of type: %!s(<nil>), key: <nil>, value: 1"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_in_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    report = check(tmp_path, text)
    assert not report.valid
    assert found(tmp_path, text, source="file") == [message]
    assert len(report.diagnostics) == 1
    assert "\n" not in message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing yet\n",
        "---\n",
        "~",
        "\ufeffreplicas: 1",
        "---\nreplicas: 1\n...\n",
        "env: &e {A: b}\nnodeSelector: *e",
    ],
)
def test_an_unusual_file_is_accepted(tmp_path: Path, text: str) -> None:
    assert found(tmp_path, text, source="file") == []
    assert check(tmp_path, text).valid


def test_a_key_that_is_written_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    text = "git:\n  secretName: a\nreplicas: 1\ngit:\n  secretName: b\n  'secretName': c\n"
    fault = "Helm would use the last: keep one of them"
    assert found(tmp_path, text, source="file") == [
        f"4:1 git: duplicate key, first in line 1, column 1; {fault}",
        f"6:3 git.secretName: duplicate key, first in line 5, column 3; {fault}",
    ]


@pytest.mark.parametrize("keys", [("yes", "true"), ("on", "'true'"), ("1e3", "1000"), ("0x1F", "31"), ("017", "15")])
def test_keys_that_are_the_same_to_helm_are_the_same_here(tmp_path: Path, keys: tuple[str, str]) -> None:
    first, second = keys
    (message,) = found(tmp_path, f"nodeSelector:\n  {first}: a\n  {second}: b\n", source="file")
    assert "duplicate key, first in line 2" in message


def test_the_same_key_in_different_maps_or_files_is_no_repetition(tmp_path: Path) -> None:
    assert found(tmp_path, "model: {revision: a}\ndataset: {revision: a}\n", YOLOV5, YOLOV5, source="file") == []


@pytest.mark.parametrize(
    "writing", ["yes", "on", "0o17", "017", "1e3", "1:30", "2001-01-01", "0x1F", "1_000", "~", "=", "+1"]
)
def test_a_value_means_what_it_means_to_helm(tmp_path: Path, writing: str) -> None:
    """`replicas` takes whole numbers: whether it takes this writing is Helm's to say."""
    expected = {"0o17": 15, "017": 15, "1e3": 1000, "0x1F": 31, "1_000": 1000, "+1": 1, "~": None}.get(writing)
    report = check(tmp_path, f"replicas: {writing}")
    refused = [diagnostic.value for diagnostic in report.diagnostics if diagnostic.source == "schema"]
    assert bool(refused) == (writing not in ("0o17", "017", "1e3", "0x1F", "1_000", "+1", "~"))
    assert expected is not None or writing == "~" or refused == [{"yes": True, "on": True}.get(writing, writing)]


def test_all_files_that_cannot_be_read_are_told_and_nothing_else(tmp_path: Path) -> None:
    folder, wrong = tmp_path / "folder", tmp_path / "wrong.yaml"
    folder.mkdir()
    wrong.write_text("replicas: 0")
    diagnostics = validate([str(tmp_path / "none.yaml"), str(wrong), str(folder)]).diagnostics
    assert [(diagnostic.file, diagnostic.message) for diagnostic in diagnostics] == [
        (str(tmp_path / "none.yaml"), "does not exist"),
        (str(folder), "is a directory; name a file in it"),
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_told(tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("")
    secret.chmod(0)
    assert [diagnostic.message for diagnostic in validate([str(secret)]).diagnostics] == [
        "cannot be read: permission denied"
    ]


def test_a_refusal_to_open_a_file_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    assert [diagnostic.message for diagnostic in validate(["a.yaml"]).diagnostics] == [
        "cannot be read: permission denied"
    ]


def test_the_standard_input_is_a_file_among_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\nreplicas: 0")))
    (diagnostic,) = [each for each in validate([str(YOLOV5), "-"]).diagnostics if each.severity == "error"]
    assert (diagnostic.file, diagnostic.line, diagnostic.column, diagnostic.key) == ("<stdin>", 2, 1, "replicas")


def test_a_file_s_name_cannot_break_the_line(tmp_path: Path) -> None:
    (diagnostic,) = validate(["a\n\x1b[31mb\0.yaml"]).diagnostics
    assert diagnostic.file == "a\\n\\x1b[31mb\\x00.yaml"


def test_what_only_helm_can_read_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such file is known, so the second reader is made to fail."""
    import yaml

    def broken(*_: object, **__: object) -> None:
        raise yaml.YAMLError("cannot")

    monkeypatch.setattr(yaml, "parse", broken)
    report = check(tmp_path, "replicas: 0")
    assert [diagnostic.severity for diagnostic in report.diagnostics if diagnostic.source == "file"] == [
        "warning",
        "warning",
    ]
    assert [diagnostic.key for diagnostic in report.diagnostics if diagnostic.severity == "error"] == ["replicas"]


def test_an_unwritten_value_is_placed_at_what_is_written_around_it() -> None:
    top, problems, complete = locate("a:\n  b: [x,\n    {c: d}]\n", "f", lambda _: None)
    assert (problems, complete) == ([], True)
    assert place(top, "a", "b", 1, "c") == "f:3:6"
    assert place(top, "a", "b", 1, "z", "y") == "f:3:5"
    assert place(top, "a", "x") == "f:1:1"
    assert place(top, "q") == "None"


def place(top: Node, *path: str | int) -> str:
    return str(top.nearest(path))


def test_a_mistyped_name_of_a_file_is_told_what_was_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    Path("runs/run.yaml").touch()
    for path, words in {
        "runs/run.yml": "does not exist; did you mean runs/run.yaml?",
        "runs/other.yaml": "does not exist",
        "run/run.yaml": "does not exist",
        "https://example.com/run.yaml": "does not exist as a file; fetch it first, such as by curl, and give it as - from a pipe",
    }.items():
        with pytest.raises(FileError) as error:
            read_text(path)
        assert str(error.value) == words
