"""Answers requests, one JSON object a line, each in a process of its own that is forked once the libraries are loaded.

Import it before them: what they print goes to stderr from then on.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Dict

HOME = Path("/trainchart")  # as in a pod: runner/, features/, family/
CASES = Path("/cases")
OUT = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)


def load(name: str) -> ModuleType:
    """Return a module of the family, such as probe_dataset."""
    sys.path[:0] = [path for path in (str(HOME / "family"), str(HOME)) if path not in sys.path]
    spec = importlib.util.spec_from_file_location(name, HOME / "family" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def copied(request: Dict[str, Any]) -> Path:
    """Return a copy of the request's folder: readers mend files, and write caches beside them. It is in the place where
    a run would have it.
    """
    run = Path(tempfile.mkdtemp(prefix="run-"))
    shutil.copytree(CASES / request["folder"], run, symlinks=True, dirs_exist_ok=True)
    return run


def serve(answer: Callable[[Dict[str, Any]], Dict[str, Any]]) -> None:
    """Answer the requests of stdin until it ends."""
    print(json.dumps({"ready": True}), file=OUT, flush=True)
    for line in sys.stdin:
        print(_in_child(answer, json.loads(line)), file=OUT, flush=True)


def _in_child(answer: Callable[[Dict[str, Any]], Dict[str, Any]], request: Dict[str, Any]) -> str:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        with tempfile.TemporaryDirectory() as folder:
            tempfile.tempdir = folder
            try:
                found = answer(request)
            except BaseException:
                found = {"error": traceback.format_exc()}
        with os.fdopen(write, "w", encoding="utf-8") as pipe:
            pipe.write(json.dumps(found))
        os._exit(0)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return text or json.dumps({"error": "the process died"})
