"""Completion in real shells; zsh and fish if they are installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.chart.matrix import FAMILIES
from trainchart.cli import main as cli

CASES = [
    ("trainchart val", ["validate"]),
    ("trainchart preset ", FAMILIES),
    ("trainchart preset yolov5 --accelerator nvidia-", ["nvidia-dra", "nvidia-mig"]),
    ("trainchart preset yolov5 --gpu-", ["--gpu-memory"]),
    ("trainchart validate --output ", ["github", "gitlab", "json", "text"]),
    ("trainchart validate own-", ["own-1.yaml", "own-2.yaml"]),
    ("trainchart cache ", ["fill", "list", "prune", "verify"]),
    ("trainchart cache prune --older", ["--older-than"]),
    ("trainchart logs run-", ["run-42", "run-43"]),
    ("trainchart docs air", ["airgapped"]),
    ("trainchart explain train.ep", ["train.epochs"]),
    ("trainchart completion ", ["bash", "fish", "zsh"]),
]
ASK = {
    "bash": """
        source "$0"
        read -r _ _ _ _ function _ <<< "$(complete -p trainchart)"
        IFS=' ' read -r -a COMP_WORDS <<< "$1"
        [[ $1 == *' ' ]] && COMP_WORDS+=('')
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        "$function" trainchart "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}"
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "fish": "source $argv[1]; complete -C $argv[2]",
}


@pytest.mark.parametrize("shell", ASK)
@pytest.mark.parametrize(("line", "expected"), CASES, ids=[line for line, _ in CASES])
def test_a_shell_completes(
    shell: str, line: str, expected: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    assert cli.main(["completion", shell]) == 0
    script.write_text(capsys.readouterr().out)
    for name in ("own-1.yaml", "own-2.yaml", "other.yaml"):
        (tmp_path / name).touch()
    listed = tmp_path / "trainchart"  # the command, which asks a cluster
    listed.write_text('#!/bin/sh\n[ "$*" = "list -o name" ] && printf "run-42\\nrun-43\\nother\\n"\n')
    listed.chmod(0o755)
    options = ["--noprofile", "--norc"] if shell == "bash" else ["--no-config"]
    process = subprocess.run(
        [shell, *options, "-c", ASK[shell], str(script), line],
        cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False,
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    assert process.stderr == ""
    assert sorted(row.split("\t")[0] for row in process.stdout.splitlines()) == expected


def test_zsh_completes_files_and_families(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """zsh completes only in its line editor, so the test types into a zsh with a terminal of its own."""
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    assert cli.main(["completion", "zsh"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    (tmp_path / "values-1.yaml").touch()
    typed = r"""
        zmodload zsh/zpty
        zpty z env TERM=dumb zsh -f -i
        ask() { zpty -n -w z "$1"; sleep 0.3 }
        zpty -w z 'autoload -Uz compinit; compinit -u -D; eval "$(<script)"; trainchart() { print -l "got: $*"; }; print rea""dy'
        zpty -r -m z line '*ready*'
        ask $'trainchart val\t val\t\n'
        ask $'trainchart preset yolov5 --accelerator volc\t\n'
        ask $'exit\n'
        while zpty -r z line; do print -r -- "$line"; done
    """
    process = subprocess.run(
        ["zsh", "-f", "-c", typed], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
    )
    said = [" ".join(line.split()) for line in process.stdout.splitlines() if line.startswith("got: ")]
    assert said == ["got: validate values-1.yaml", "got: preset yolov5 --accelerator volcano-vgpu"], process.stdout
