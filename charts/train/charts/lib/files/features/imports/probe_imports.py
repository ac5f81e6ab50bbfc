"""Checks that the image has what programs of the model repository import. Argument: {"model", "programs",
"python"}: files or `-m module`, and the interpreter, if it is another one.

The repository's sources are parsed, and not run; the image's modules are imported. Only an import that always runs
counts, and none in `try`, `if` or a function.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
import tokenize
import warnings
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple, Union

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from runner import inside

sys.path.pop(0)  # the runner is not of the image

# Where they have another name than the module.
DISTRIBUTIONS = {
    "IPython": "ipython",
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "git": "gitpython",
    "pkg_resources": "setuptools<81",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
Import = Union[ast.Import, ast.ImportFrom]


class Repository:
    def __init__(self, model: Path) -> None:
        self._model, self._sources = model, inside.Sources(model)
        self._seen: Set[str] = set()
        self.faults: List[str] = []
        files = [Path(top, name) for top, _, names in os.walk(str(model)) for name in names]
        code = [path for path in files if path.suffix in (".py", ".so")]
        # A program may add any folder to sys.path.
        self._own = {part for path in code for part in (path.name.partition(".")[0], path.parent.name)}

    def follow(self, path: Path, package: List[str], roots: List[Path]) -> Iterator[Tuple[Import, str]]:
        """Yield what a file, and the modules of the repository that it imports, import from the image, and where."""
        real, name = os.path.realpath(str(path)), os.path.relpath(str(path), str(self._model))
        if real in self._seen or not self._sources.contains(path):
            return
        self._seen.add(real)
        try:
            nodes = list(unconditional(path))
        except (SyntaxError, ValueError) as error:
            line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
            self.faults.append(f"{name}{line}: the image's Python cannot read it: {getattr(error, 'msg', error)}")
            return
        for node in nodes:
            if isinstance(node, ast.Import):
                module, more = node.names[0].name.split("."), []
            else:
                module = package[: len(package) - node.level + 1] if node.level else []
                module, more = [*module, *filter(None, (node.module or "").split("."))], [a.name for a in node.names]
            if not self._own.intersection(module[:1]):
                yield from [(node, f"{name}:{node.lineno}")] if module else []
                continue
            for parts in [module, *([*module, last] for last in more)]:
                for end in range(1, len(parts) + 1):
                    yield from self._follow_module(parts[:end], roots)

    def _follow_module(self, parts: List[str], roots: List[Path]) -> Iterator[Tuple[Import, str]]:
        for folder in (root.joinpath(*parts) for root in roots):
            for path, package in ((folder / "__init__.py", parts), (folder.with_name(f"{parts[-1]}.py"), parts[:-1])):
                if path.is_file() and self._sources.contains(path):
                    yield from self.follow(path, package, roots)
                    return


def unconditional(path: Path) -> Iterator[Import]:
    """Yield the imports that always run, up to a statement that may provide what follows."""
    with tokenize.open(str(path)) as stream:
        text = stream.read()
    lines, provides = text.splitlines(), r"\bpip3?\b|\bcheck_requirements\(|\bsys\.(modules\[|meta_path)"
    for node in ast.parse(text).body:
        provided = re.search(provides, "\n".join(lines[node.lineno - 1 : node.end_lineno]))
        if isinstance(node, ast.Import):
            yield from (ast.copy_location(ast.Import([alias]), node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node
        elif provided and isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            provides += rf"|\b{node.name}\("
        elif provided and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            return


def failed(node: Import) -> Optional[Exception]:
    """Import from the image. Returns whatever the library raises: the program will not survive it either."""
    try:
        exec(compile(ast.Module([node], []), "import", "exec"), {})  # noqa: S102 (an import alone)
    except Exception as error:
        return error
    return None


def distribution(module: str, requirements: str) -> str:
    """Return what to install for a module, by requirements.txt; "" if it is unknown: anybody may publish a free name."""
    name = DISTRIBUTIONS.get(module, "")
    own = re.escape(name or module).replace("_", "[-_.]")
    wanted = re.search(rf"^{own}(?![\w.-])[^\s;#]*", requirements, re.MULTILINE | re.IGNORECASE)
    found = wanted.group() if wanted else name
    return f"'{found}'" if re.search(r"[<>=!~\[]", found) else found


def probe(model: Path, programs: List[str]) -> Dict[str, Any]:
    more = [Path(folder) for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    lacking: Dict[str, str] = {}
    names: Set[str] = set()
    repository = Repository(model)
    for program in programs:
        path, package = model / program, []
        roots = [folder for folder in path.parents if folder == model or model in folder.parents]
        if program.startswith("-m "):
            parts, roots = program[3:].split("."), [model]
            folder = model.joinpath(*parts)
            path = folder / "__main__.py" if folder.is_dir() else folder.with_name(f"{folder.name}.py")
            package = parts if folder.is_dir() else parts[:-1]
        if not path.is_file():
            repository.faults.append(f"it has no {program}")
            continue
        for node, where in repository.follow(path, package, [*roots, *more]):
            error = failed(node)
            if error:
                kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
                lacking.setdefault(f"{kind}{' '.join(str(error).split())[:200]}", where)
                names.add(str(getattr(error, "name", "")) if isinstance(error, ModuleNotFoundError) else "")
    if repository.faults:
        return failure(f"the model repository: {'; '.join(repository.faults[:5])}", "correct it, or model.revision")
    if not lacking:
        return {"ok": True}
    file = model / "requirements.txt"
    wanted = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    install = " ".join(sorted(filter(None, (distribution(name, wanted) for name in names))))
    return failure(
        "the image lacks what programs of the model repository import: "
        + "; ".join(f"{what} ({where})" for what, where in lacking.items()),
        f"use an image that has it{install and f', such as this one after pip install {install}'}; or push your own modules",
    )


def failure(reason: str, fix: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": fix}


if __name__ == "__main__":
    argument = json.loads(sys.argv[1])
    python = argument.pop("python", sys.executable)
    if python != sys.executable:
        os.execv(python, [python, __file__, json.dumps(argument)])  # noqa: S606 (no shell is wanted)
    sys.path.pop(0)
    warnings.simplefilter("ignore")
    print(json.dumps(probe(Path(argument["model"]), argument["programs"])), flush=True)
    os._exit(0)  # a library may have started threads
