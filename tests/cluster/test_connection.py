"""A command that is printed to be copied uses the cluster that the user named."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chart.matrix import ROOT
from tests.fakes.api import FakeApi
from tests.fakes.captured import CASES, captured, cluster
from trainchart.checks.diagnosis import diagnose
from trainchart.checks.doctor import examine
from trainchart.checks.finding import problem
from trainchart.cluster.connection import Connection
from trainchart.run import state

NAMED = Connection("lab", "/home/a user/config")
GIVEN = "--context lab --kubeconfig '/home/a user/config'"
# What uses a cluster, with its arguments.
COMMAND = re.compile(
    r"\bkubectl [-\w]|\bhelm (?:uninstall|status|list)\b"
    r"|\btrainchart (?:wait|logs|stop|status|list|result|doctor|submit|delete|prune) (?:[-A-Z{]|$)"
)
PACKAGE = ROOT / "tools" / "trainchart"


@pytest.mark.parametrize(
    ("command", "with_connection"),
    [
        ("trainchart wait run-42 -n training", f"trainchart wait run-42 -n training {GIVEN}"),
        ("kubectl -n a create secret generic b ...", f"kubectl {GIVEN} -n a create secret generic b ..."),
        ("helm uninstall run-42 -n a", f"helm uninstall run-42 -n a {GIVEN.replace('--context', '--kube-context')}"),
        ("trainchart validate run.yaml", "trainchart validate run.yaml"),
        ("vcctl queue operate -n team -a open", "vcctl queue operate -n team -a open"),
    ],
)
def test_a_command_names_the_context_and_the_kubeconfig_that_were_given(command: str, with_connection: str) -> None:
    assert NAMED.command(command) == with_connection
    assert NAMED.command(with_connection) == with_connection, "once"
    assert Connection().command(command) == command
    assert NAMED.commands_in(f"it is gone (`{command}`), or is not") == f"it is gone (`{with_connection}`), or is not"


def test_what_the_cluster_said_is_not_changed() -> None:
    said = problem("refused", "", "no", "`kubectl get nodes`", details="`kubectl get nodes`").on(NAMED)
    assert (said.fix, said.details) == (f"`kubectl {GIVEN} get nodes`", "`kubectl get nodes`")


@pytest.mark.parametrize("case", CASES)
def test_the_findings_on_a_run_name_the_connection(case: str) -> None:
    api: Any = cluster(case)
    api.connection = NAMED
    run = state.load(api, captured(case)["job"]["metadata"]["name"])
    for text in [run.uninstall, f"`{run.command('wait {}')}`", *(one.text + one.fix for one in diagnose(api, run))]:
        assert_named(text)


def test_the_findings_of_doctor_name_the_connection() -> None:
    api: Any = FakeApi(connection=NAMED)
    texts = [one.text + one.fix for one in examine(api, None)]
    assert any(f"`kubectl {GIVEN} create namespace training`" in text for text in texts)
    for text in texts:
        assert_named(text)


def assert_named(text: str) -> None:
    for command in re.findall(r"`((?:kubectl|helm|trainchart) [^`]+)`", text):
        assert all(part in command for part in ("context lab", "--kubeconfig '/home/a user/config'")), command


def modules() -> list[Path]:
    """The findings of checks/ get their connection all together; a values file and a shell's completion are for any cluster."""
    anywhere = ("preset", "completion")
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.parts[-2] != "checks" and path.stem not in anywhere]


def printed_without_connection(path: Path) -> Iterator[str]:
    """The commands in string literals that no call of `command` completes; docstrings and help texts left out."""

    def visit(node: ast.AST, completed: bool) -> Iterator[str]:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("add_"):
            return
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            completed = completed or name in ("command", "command_line", "compile")
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and COMMAND.search(node.value):
            if not completed:
                yield f"{path.name}:{node.lineno}: {node.value}"
            return
        for child in ast.iter_child_nodes(node):
            yield from visit(child, completed)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), False)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_command_is_printed_without_the_connection(path: Path) -> None:
    assert list(printed_without_connection(path)) == []


def test_a_command_without_connection_is_found(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text('print(f"it continues: trainchart wait {name} -n {namespace}")\n')
    assert list(printed_without_connection(tmp_path / "x.py")) == ["x.py:1: it continues: trainchart wait "]
