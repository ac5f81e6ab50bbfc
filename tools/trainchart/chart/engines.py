"""Which engine a process uses for all it does: the program that `use_program` names; else Helm's code in this process, where
that is installed (`pip install trainchart[engine]`); else the `helm` on PATH.
"""

from __future__ import annotations

import importlib.util
import os
import shutil

from trainchart.chart.engine import Engine
from trainchart.errors import UsageError

_NEITHER = "Helm is missing: install Helm 3 or 4, or Helm's code for Python: pip install 'trainchart[engine]'"
_FORKED = (
    "this process was forked from one that had used Helm's code, which does not work in it: start it by "
    "multiprocessing.get_context('spawn'), use threads, or install the program helm"
)

_engine: Engine | None = None
_is_forked = False
"""From a process with the library: Go's runtime is without its threads in this one, and every call would wait forever."""


def engine() -> Engine:
    """The engine of this process.

    Raises:
        UsageError: there is none, or it cannot be loaded.
    """
    global _engine
    if _engine is None:
        _engine = _installed()
    return _engine


def use_program(program: str) -> None:
    """Use a `helm` program for all that this process does.

    Raises:
        UsageError: it is not on PATH.
    """
    from trainchart.chart.helm_program import find_program

    use(find_program(program))


def use(chosen: Engine | None) -> None:
    """Use this engine from now on; None: choose again at the next call of `engine`."""
    global _engine
    _engine = chosen


def _installed() -> Engine:
    """Helm's code in this process, else the `helm` program on PATH."""
    if importlib.util.find_spec("helm_python") and not _is_forked:
        from trainchart.chart.helm_library import HelmLibrary

        library = HelmLibrary()
        os.register_at_fork(after_in_child=_leave_library)
        return library
    from trainchart.chart.helm_program import HelmProgram

    program = shutil.which("helm")
    if not program:
        raise UsageError(_FORKED if _is_forked else _NEITHER)
    return HelmProgram(program)


def _leave_library() -> None:
    global _engine, _is_forked
    _is_forked = True
    if _engine and not _engine.program:
        _engine = None
