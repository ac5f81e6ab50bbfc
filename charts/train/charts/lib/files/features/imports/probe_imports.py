"""Checks that the image has what programs of the model repository import. Argument: {"model", "programs", "python"}, the
last one if it is another interpreter.

The repository's sources are parsed, and not run; the image's modules are imported. Only an import that always runs
counts, and none in `try`, `if` or a function, nor after a statement that may bring the module.
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


# What a statement may do for the imports after it: bring a module, look for modules elsewhere, or change what libraries see.
EFFECTS = {
    "brings": r"\b(pip3?|conda|setup\.py)\b|\b(check_requirements|exec)\(|\bsys\.(modules\[|meta_path)",
    "looks": r"\bsys\.path\b|\baddsitedir\(",
    "changes": r"\b(environ|putenv|setattr|load_dotenv)\b",
}
# Of what looks elsewhere: it may look outside of the repository, or in an archive.
OUTSIDE = r"""["'][/~]|\.(zip|egg|whl)\b|\b(environ|getenv|argv|home|expanduser)\b"""
Found = Tuple[Import, str, bool]


class Repository:
    def __init__(self, model: Path) -> None:
        self._model, self._sources = model, inside.Sources(model)
        self._seen: Set[str] = set()
        self._roots: List[Path] = []
        self.faults: Dict[str, None] = {}
        # A program may add any folder to sys.path, and Python imports a folder without __init__.py too.
        self._own = {model.name}
        for _, folders, names in os.walk(str(model)):
            folders[:] = [name for name in folders if name != ".git"]
            self._own.update(folders, (name.partition(".")[0] for name in names if name.endswith((".py", ".so"))))

    def start(self, program: str) -> Iterator[Found]:
        """Yield what a program, and the modules of the repository that it imports, import from the image, where, and whether
        nothing has changed what libraries see.
        """
        path = self._model / program
        self._roots = [folder for folder in path.parents if self._model in (folder, *folder.parents)]
        self._roots += map(Path, filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
        self._seen, self._effects, self._ended, self._unchanged = set(), dict(EFFECTS), False, True
        if path.is_file():
            return self._follow(path)
        self.faults[f"it has no {program}"] = None
        return iter(())

    def _follow(self, path: Path) -> Iterator[Found]:
        real, name = os.path.realpath(str(path)), os.path.relpath(str(path), str(self._model))
        if real in self._seen or not self._sources.contains(path):
            return
        self._seen.add(real)
        try:
            with tokenize.open(str(path)) as stream:
                text = stream.read()
            statements = ast.parse(text).body
        except (SyntaxError, ValueError) as error:
            line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            self.faults[f"{name}{line}: the image's Python cannot read it: {getattr(error, 'msg', error)}"] = None
            return
        package = list(Path(name).parts[:-1])
        for node in self._unconditional(statements, text.split("\n")):
            if isinstance(node, ast.Import):
                modules = [node.names[0].name.split(".")]
            else:
                module = package[: len(package) - node.level + 1] if node.level else []
                module += filter(None, (node.module or "").split("."))
                modules = [module, *([*module, alias.name] for alias in node.names)]
            if modules[0] and modules[0][0] not in self._own:
                yield node, f"{name}:{node.lineno}", self._unchanged
                continue
            for parts in (module[:end] for module in modules for end in range(1, len(module) + 1)):
                found = self._find(Path(*parts))
                if found:
                    yield from self._follow(found)

    def _find(self, module: Path) -> Optional[Path]:
        files = (root / name for root in self._roots for name in (module / "__init__.py", module.with_suffix(".py")))
        return next((path for path in files if path.is_file() and self._sources.contains(path)), None)

    def _unconditional(self, statements: List[ast.stmt], lines: List[str]) -> Iterator[Import]:
        """Yield the imports that always run, up to a statement that may provide what follows, here or in another module."""
        meaning: Dict[str, str] = {}
        for node in statements:
            text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            if self._ended:
                return
            if isinstance(node, ast.Import):
                yield from (ast.copy_location(ast.Import([alias]), node) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node
            elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
                has = {name for name, pattern in self._effects.items() if re.search(pattern, text)}
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    self._effects.update((name, rf"{self._effects[name]}|\b{node.name}\(") for name in has)
                    continue
                names = [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
                whole = "\n".join([text, *(meaning.get(name, "") for name in names)])
                if "brings" in has or ("looks" in has and re.search(OUTSIDE, whole)):
                    # The part below __name__ is a program's last; `try` brings what it is about.
                    self._ended = "__name__" not in names and not isinstance(node, ast.Try)
                    return
                if isinstance(node, ast.Assign):
                    meaning.update((target.id, whole) for target in node.targets if isinstance(target, ast.Name))
                    has.update("changes" for target in node.targets if isinstance(target, ast.Attribute))
                self._unchanged = self._unchanged and not ("changes" in has and "__name__" not in names)


def distribution(module: str, requirements: str) -> str:
    """Return what to install for a module, by requirements.txt; "" if it is unknown: anybody may publish a free name."""
    name = DISTRIBUTIONS.get(module, "")
    own = re.escape(name or module).replace("_", "[-_.]")
    wanted = re.search(rf"^{own}(?![\w.-])[^\s;#]*", requirements, re.MULTILINE | re.IGNORECASE)
    found = wanted.group() if wanted else name
    return f"'{found}'" if re.search(r"[<>=!~\[]", found) else found


def failed(node: Import, unchanged: bool) -> Optional[Exception]:
    """Import from the image. Returns whatever the library raises: the program will not survive it either, unless it has
    changed what the library sees, such as KERAS_BACKEND. Then only a missing module counts.
    """
    try:
        exec(compile(ast.Module([node], []), "import", "exec"), {})  # noqa: S102 (an import alone)
    except Exception as error:
        module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        is_missing = isinstance(error, ModuleNotFoundError) and f"{module}.".startswith(f"{error.name}.")
        return error if unchanged or is_missing else None
    return None


def probe(model: Path, programs: List[str]) -> Dict[str, Any]:
    lacking: Dict[str, str] = {}
    names: Set[str] = set()
    repository = Repository(model)
    for node, where, unchanged in (found for program in programs for found in repository.start(program)):
        error = failed(node, unchanged)
        if error:
            kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
            lacking.setdefault(f"{kind}{' '.join(str(error).split())[:200]}", where)
            names.add(str(getattr(error, "name", "")) if isinstance(error, ModuleNotFoundError) else "")
    if repository.faults:
        return failure(
            f"the model repository: {'; '.join(list(repository.faults)[:5])}", "correct it, or model.revision"
        )
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
    del sys.argv[1:]  # a library may read them
    warnings.simplefilter("ignore")
    print(json.dumps(probe(Path(argument["model"]), argument["programs"])), flush=True)
    os._exit(0)  # a library may have started threads
