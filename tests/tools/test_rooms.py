"""The packages of tools/trainchart import each other in one direction only, as the table in ARCHITECTURE.md says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.chart.matrix import ROOT

PACKAGE = ROOT / "tools" / "trainchart"
FOUNDATION = "foundation"
MOST_IMPORTS = 46
"""Between packages, the foundation included: 46 when this was written, of which those for users, `cli`, `client` and `kfp`, have 21. A package that imports everything is no part."""


def documented_imports() -> dict[str, set[str]]:
    """The rows of the table in ARCHITECTURE.md, the highest package first, and what each may import."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = text.partition("<!-- packages -->")[2].partition("<!-- end of packages -->")[0]
    rows = re.findall(r"^\| `?(\w+).* \| (.*?) \|$", table, re.MULTILINE)
    return {name: set(re.findall(r"\w+", last)) - {"nothing"} for name, last in rows if name != "package"}


DOCUMENTED = documented_imports()


def module_name(path: Path) -> str:
    parts = ["trainchart", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(name: str) -> Iterator[str]:
    """The modules of trainchart that a module imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name} imports relatively; write the whole name of the module"
            wanted = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in wanted:
            found = target if target in MODULES else target.rpartition(".")[0]
            if found in MODULES and found != name:
                yield found


def package_of(module: str) -> str:
    """The row of the table that a module belongs to; single files without a row are the foundation."""
    if "." not in module:
        return "client"  # the package itself has the names of the Python API
    first = module.split(".")[1]
    return "cli" if first == "__main__" else first if first in DOCUMENTED else FOUNDATION


@cache
def graph() -> dict[str, set[str]]:
    """What every module imports."""
    return {name: set(imports(name)) for name in MODULES}


@cache
def actual() -> dict[str, set[str]]:
    """What every package imports of the others."""
    found = {package: set[str]() for package in DOCUMENTED}
    for module, targets in graph().items():
        found[package_of(module)] |= {package_of(target) for target in targets} - {package_of(module)}
    return found


def test_every_package_has_a_row() -> None:
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} <= set(DOCUMENTED)


@pytest.mark.parametrize("package", DOCUMENTED)
def test_a_package_imports_what_its_row_says(package: str) -> None:
    assert actual()[package] == DOCUMENTED[package]


@pytest.mark.parametrize("package", DOCUMENTED)
def test_imports_point_to_a_lower_row(package: str) -> None:
    order = list(DOCUMENTED)
    assert DOCUMENTED[package] <= set(order[order.index(package) + 1 :])


def test_few_packages_import_few_others() -> None:
    assert sum(map(len, actual().values())) <= MOST_IMPORTS


def test_no_module_imports_itself_through_others() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
