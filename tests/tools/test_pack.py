"""Programs as a run's ConfigMap holds them: the same programs, without the words for their readers."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

from tests.chart.matrix import LIB
from trainchart.pack import pack, without_words

PROGRAMS = sorted(path for folder in ("runner", "features", "families") for path in LIB.glob(f"files/{folder}/**/*.py"))


class Wordless(ast.NodeTransformer):
    """Takes docstrings and annotations other than of fields out of a tree."""

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
        self.kept.update(map(id, fields))
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if id(node) in self.kept or node.value is None:
            return node
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)

    def __init__(self) -> None:
        self.kept: set[int] = set()

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        return None if node.module in ("typing", "__future__") else node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        body = getattr(node, "body", None)
        if (
            isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
            and body
            and ast.get_docstring(node) is not None
        ):
            node.body = body[1:] or ([] if isinstance(node, ast.Module) else [ast.Pass()])
        return node


def shape(source: str) -> str:
    return ast.dump(Wordless().visit(ast.parse(source)))


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(LIB / "files")))
def test_a_packed_program_is_the_same_program_line_by_line(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    packed = without_words(source)
    assert shape(packed) == shape(source)
    places = [
        [
            node.lineno
            for node in ast.walk(Wordless().visit(ast.parse(text)))
            if isinstance(node, ast.stmt) and not isinstance(node, ast.Pass)
        ]
        for text in (source, packed)
    ]
    assert places[0] == places[1], "a traceback's line is the source's"


def test_words_go_and_what_only_looks_like_them_stays() -> None:
    source = (
        '"""About."""\nx = "# not a comment"  # a comment\n\n\nclass E(Exception):\n    """Only words."""\n\n\n'
        'def f(a: int, b: "Dict[str, int]" = {}, *c: str) -> "List[int]":\n    """Words\n    in two lines."""\n    return """# kept"""\n'
    )
    packed = without_words(source)
    assert packed == (
        '\nx = "# not a comment"\n\n\nclass E(Exception):\n pass\n\n\ndef f(a, b = {}, *c):\n\n\n return """# kept"""\n'
    )


def test_a_packed_folder_is_part_of_a_config_map(tmp_path: Path) -> None:
    folder = tmp_path / "families" / "toy"
    folder.mkdir(parents=True)
    (folder / "family.yaml").write_text("title: Toy\n")
    (folder / "hooks.py").write_text('"""Hooks."""\n\nx = 1\n')
    (folder / "settings.json").write_text('{"a": 1}\n')
    assert yaml.safe_load(f"data:\n{pack(folder, tmp_path)}")["data"] == {
        "family.hooks.py": "\n\nx = 1\n",
        "family.settings.json": '{"a": 1}\n',
    }
