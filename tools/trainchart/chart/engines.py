"""Which engine a process uses for all it does: the program that `use_program` names; else Helm's code in this process, where
that is installed (`pip install trainchart[engine]`); else the `helm` on PATH.
"""

from __future__ import annotations

import importlib.util
import shutil

from trainchart.chart.engine import Engine
from trainchart.errors import UsageError

_NEITHER = "Helm is missing: install Helm 3 or 4, or Helm's code for Python: pip install 'trainchart[engine]'"

_engine: Engine | None = None


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
    if importlib.util.find_spec("helm_python"):
        from trainchart.chart.helm_library import HelmLibrary

        return HelmLibrary()
    from trainchart.chart.helm_program import HelmProgram

    program = shutil.which("helm")
    if not program:
        raise UsageError(_NEITHER)
    return HelmProgram(program)
