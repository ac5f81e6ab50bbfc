"""Checks that the image has what programs of the model repository import. Argument: {"model", "programs", "python"}, the
last one if it is another interpreter.

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
        self._roots: List[Path] = []
        self.faults: List[str] = []
        files = [Path(top, name) for top, _, names in os.walk(str(model)) for name in names]
        code = [path for path in files if path.suffix in (".py", ".so")]
        # A program may add any folder to sys.path.
        self._own = {part.partition(".")[0] for path in code for part in path.parts}

    def start(self, program: str) -> Iterator[Tuple[Import, str]]:
        """Yield what a program, and the modules of the repository that it imports, import from the image, and where."""
        path = self._model / program
        self._roots = [folder for folder in path.parents if self._model in (folder, *folder.parents)]
        self._roots += map(Path, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
        if path.is_file():
            return self._follow(path)
        self.faults.append(f"it has no {program}")
        return iter(())

    def _follow(self, path: Path) -> Iterator[Tuple[Import, str]]:
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
        package = list(Path(name).parts[:-1])
        for node in nodes:
            if isinstance(node, ast.Import):
                modules = [node.names[0].name.split(".")]
            else:
                module = package[: len(package) - node.level + 1] if node.level else []
                module += filter(None, (node.module or "").split("."))
                modules = [module, *([*module, alias.name] for alias in node.names)]
            if modules[0] and modules[0][0] not in self._own:
                yield node, f"{name}:{node.lineno}"
                continue
            for parts in (module[:end] for module in modules for end in range(1, len(module) + 1)):
                found = self._find(Path(*parts))
                if found:
                    yield from self._follow(found)

    def _find(self, module: Path) -> Optional[Path]:
        files = (root / name for root in self._roots for name in (module / "__init__.py", module.with_suffix(".py")))
        return next((path for path in files if path.is_file() and self._sources.contains(path)), None)


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


def distribution(module: str, requirements: str) -> str:
    """Return what to install for a module, by requirements.txt; "" if it is unknown: anybody may publish a free name."""
    name = DISTRIBUTIONS.get(module, "")
    own = re.escape(name or module).replace("_", "[-_.]")
    wanted = re.search(rf"^{own}(?![\w.-])[^\s;#]*", requirements, re.MULTILINE | re.IGNORECASE)
    found = wanted.group() if wanted else name
    return f"'{found}'" if re.search(r"[<>=!~\[]", found) else found


def failed(node: Import) -> Optional[Exception]:
    """Import from the image. Returns whatever the library raises: the program will not survive it either."""
    try:
        exec(compile(ast.Module([node], []), "import", "exec"), {})  # noqa: S102 (an import alone)
    except Exception as error:
        return error
    return None


def probe(model: Path, programs: List[str]) -> Dict[str, Any]:
    lacking: Dict[str, str] = {}
    names: Set[str] = set()
    repository = Repository(model)
    for node, where in (found for program in programs for found in repository.start(program)):
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
