"""The programs of the pod as a run's ConfigMap holds them: without comments, docstrings and the types of functions, every line
where it was.

A release carries what it renders, and a third of the runner is words for its readers and checkers. The chart includes the packed texts as they
are, indented already; a traceback's line numbers are still those of the sources.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

from trainchart.paths import LIB

FOLDERS = ("runner", "features/*", "families/*")
"""Below files/: what is packed, each folder into one file."""
MOUNTED = {"families": "family"}
"""The chosen family's folder has the same name in every pod."""


def packed_files(files: Path = LIB / "files") -> dict[Path, str]:
    """Every packed file with the text it should have."""
    # In every run, for a package `features` of the image's own must not be taken for it.
    shared = _entry("features.__init__.py", files / "features" / "__init__.py")
    folders = [folder for pattern in FOLDERS for folder in sorted(files.glob(pattern)) if folder.is_dir()]
    return {
        files / "packed" / f"{'.'.join(folder.relative_to(files).parts)}.yaml": pack(folder, files)
        + (shared if folder.name == "runner" else "")
        for folder in folders
        if folder.name != "__pycache__"
    }


def pack(folder: Path, files: Path) -> str:
    """A folder's programs and data as entries of a ConfigMap: `runner.train.py` for runner/train.py."""
    kind, *rest = folder.relative_to(files).parts
    prefix = MOUNTED.get(kind) or ".".join([kind, *rest])
    return "".join(_entry(f"{prefix}.{path.name}", path) for path in _programs(folder))


def _programs(folder: Path) -> Iterator[Path]:
    """A family's data file is the chart's alone."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != "family.yaml":
            yield path


def _entry(key: str, path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        text = without_words(text)
    lines = "".join(f"    {line}\n" if line else "\n" for line in text.rstrip("\n").split("\n"))
    # An indicator, for a text whose first line is empty now would lose it.
    return f"  {key}: |2\n{lines}" if lines.startswith("\n") else f"  {key}: |\n{lines}"


def without_words(source: str) -> str:
    """Python without comments, docstrings, annotations of functions and wide indents, each statement on its line as before."""
    lines = source.splitlines()
    tree = ast.parse(source)
    for begin, end in sorted(_annotations(tree), reverse=True):
        line = lines[begin[0] - 1].encode()
        if begin[0] == end[0]:  # columns count bytes
            cut = line.rfind(b"->", 0, begin[1]) if line[: begin[1]].rstrip().endswith(b"->") else begin[1]
            lines[begin[0] - 1] = (line[:cut].rstrip() + line[end[1] :]).decode()
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) or not node.body:
            continue
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            count = (first.end_lineno or first.lineno) - first.lineno + 1
            lines[first.lineno - 1 : first.lineno - 1 + count] = [""] * count
            if len(node.body) == 1 and not isinstance(node, ast.Module):
                lines[first.lineno - 1] = " " * first.col_offset + "pass"
    for token in tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline):
        if token.type == tokenize.COMMENT and not token.string.startswith("#!"):
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for begin_line, end_line in _idle_imports("\n".join(lines) + "\n"):
        lines[begin_line - 1 : end_line] = [""] * (end_line - begin_line + 1)
    return "\n".join(_narrow(lines)) + "\n"


def _narrow(lines: list[str]) -> Iterator[str]:
    """With one space where there were four, but for what lies in a text of several lines."""
    inside = {
        number
        for node in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(node, (ast.Constant, ast.JoinedStr))
        for number in range(node.lineno + 1, (node.end_lineno or node.lineno) + 1)
    }
    for number, line in enumerate(lines, start=1):
        if number in inside:
            yield line
            continue
        deep = len(line) - len(line.lstrip(" "))
        yield (" " * (deep // 4 + deep % 4) + line.lstrip(" ")).rstrip()


def _idle_imports(source: str) -> Iterator[tuple[int, int]]:
    """The lines of imports that only annotations needed."""
    tree = ast.parse(source)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    annotated = any(isinstance(node, ast.AnnAssign) for node in ast.walk(tree))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module in ("typing", "__future__"):
            idle = not annotated if node.module == "__future__" else used.isdisjoint(name.name for name in node.names)
            if idle:
                yield node.lineno, node.end_lineno or node.lineno


def _annotations(tree: ast.Module) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where they go: of arguments and variables with their colon, of results without their arrow."""
    # What a dataclass is made of stays.
    fields = [node for part in ast.walk(tree) if isinstance(part, ast.ClassDef) for node in part.body]
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation:
            yield (node.lineno, node.col_offset + len(node.arg.encode())), _end(node.annotation)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.returns:
            yield (node.returns.lineno, node.returns.col_offset), _end(node.returns)
        elif isinstance(node, ast.AnnAssign) and node.value and node not in fields:
            yield _end(node.target), _end(node.annotation)


def _end(node: ast.expr) -> tuple[int, int]:
    return node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
