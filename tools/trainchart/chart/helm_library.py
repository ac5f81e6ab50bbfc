"""Helm's Go code in this process, by `helm-python-sdk`: a render takes about 5 ms, and no `helm` program is needed."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from trainchart.chart.engine import (
    INSTALL_SECONDS,
    UNINSTALL_SECONDS,
    HelmError,
    NewRelease,
    Target,
    reading_error,
    setting_error,
)
from trainchart.chart.set_by_library import set_by
from trainchart.errors import RenderError, UsageError
from trainchart.files import Tree

# The library brings Go's runtime, which with so small a heap would collect its garbage at every render. It reads this when
# it is loaded, which nothing does before this module.
os.environ.setdefault("GOGC", "800")

# Helm creates the objects in a thread that goes on when it is cancelled: what it creates then would not be removed. So an
# installation that is interrupted may finish first, which takes it a second or two, and is removed as a whole.
_FINISH_SECONDS = 5.0


class HelmLibrary:
    """The engine without a program.

    Raises:
        UsageError: the library cannot be loaded.
    """

    program = ""

    def __init__(self) -> None:
        try:
            import helm_python  # noqa: F401 - loads the library, in 80 ms
        except Exception as error:  # its own error, which cannot be imported without it
            words = " ".join(str(error).split())
            raise UsageError(
                f"the Helm library of trainchart[engine] cannot be loaded: {words}; install it again, or "
                "`pip uninstall helm-python-sdk` to use the helm program"
            ) from None

    def read(self, texts: Sequence[str]) -> list[Tree | RenderError]:
        return [_read(text) for text in texts]

    def set(self, values: Mapping[str, object], option: str, expression: str) -> Tree:
        import helm_python

        parse = {
            "--set": helm_python.parse_set_string,
            "--set-string": helm_python.parse_set_string_values,
            "--set-json": helm_python.parse_set_json,
        }[option]
        try:
            return set_by(parse, values, expression, is_json=option == "--set-json")
        # The last two: nested deeper, or with a longer number, than Python's JSON parser accepts.
        except (helm_python.HelmError, RecursionError, ValueError) as error:
            raise setting_error(option, str(error)) from None

    def merge(self, values: Mapping[str, object], chart: Path) -> Tree:
        merged: Tree = _judged(lambda: _load(chart).merge_values(dict(values)))
        return merged

    def render(self, values: Mapping[str, object], chart: Path, *, name: str, namespace: str) -> dict[str, str]:
        files = _judged(lambda: _load(chart).render(dict(values), name=name, namespace=namespace))
        return {path.partition("/templates/")[2]: text for path, text in files.items()}

    def install(self, release: NewRelease, target: Target) -> str:
        assert not release.arguments  # noqa: S101 - `submit` has refused them
        from helm_python import HelmContext

        options = {
            "namespace": target.namespace,
            "timeout_seconds": INSTALL_SECONDS,
            "dry_run": "server" if release.dry_run else "none",
            "labels": dict(release.labels),
            # Objects that are applied by the server belong to a manager named after the running program, here "python":
            # the programs, which are "helm", could then change none of their fields.
            "server_side_apply": False,
        }
        with HelmContext() as context, _config(target) as config:
            made = _in_thread(lambda: _install(config, context, release, options), INSTALL_SECONDS, context.cancel)
            return str(made.get("notes") or "")

    def uninstall(self, name: str, target: Target) -> None:
        with _config(target) as config:
            _in_thread(lambda: config.uninstall(name, timeout=UNINSTALL_SECONDS), UNINSTALL_SECONDS)


def _install(config: Any, context: Any, release: NewRelease, options: Mapping[str, object]) -> dict[str, Any]:
    """`Config.install` with all options of the library, of which it does not pass on `server_side_apply`."""
    from helm_python import _native

    given = (os.fspath(release.chart), release.name, json.dumps(dict(release.values)), json.dumps(dict(options)))
    answer = _native.call_string("helm_install", config._raw(), context._raw(), _native.HANDLE(0), *given)
    made: dict[str, Any] = json.loads(answer)
    return made


def _read(text: str) -> Tree | RenderError:
    from helm_python import HelmError as LibraryError
    from helm_python import values_from_yaml

    try:
        return values_from_yaml(text)
    except LibraryError as error:
        return reading_error(str(error))
    # Nested deeper, or with a longer number, than Python's JSON parser accepts.
    except (RecursionError, ValueError) as error:
        return reading_error(str(error))


def _judged(work: Callable[[], Any]) -> Any:
    """The answer of the library about a chart and values.

    Raises:
        RenderError: it refuses them.
    """
    from helm_python import HelmError as LibraryError

    try:
        with _QUIET:
            return work()
    except LibraryError as error:
        raise RenderError(str(error)) from None


@contextmanager
def _config(target: Target) -> Iterator[Any]:
    """The connection to a cluster.

    Raises:
        HelmError
    """
    from helm_python import Config
    from helm_python import HelmError as LibraryError

    try:
        with Config(
            kubeconfig_path=target.kubeconfig or None,
            kube_context=target.context or None,
            namespace=target.namespace,
        ) as config:
            yield config
    except LibraryError as error:
        raise HelmError(str(error)) from None


def _in_thread(work: Callable[[], Any], seconds: float, cancel: Callable[[], None] | None = None) -> Any:
    """The answer of a call that takes long. It runs in a thread, for Python handles no signal while it is in the library.

    Raises:
        HelmError: the call took too long.
    """
    answer: list[Any] = []
    errors: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            answer.append(work())
        except BaseException as error:  # of the thread; raised below
            errors.append(error)
        finally:
            ended.set()

    with _QUIET:
        try:
            # A daemon: a call that never returns does not keep the process.
            threading.Thread(target=run, daemon=True).start()
            if not ended.wait(seconds):
                raise HelmError(f"timed out waiting for the condition: Helm took more than {seconds:g} s")
        except BaseException:
            if not ended.wait(_FINISH_SECONDS) and cancel:
                cancel()
                ended.wait(_FINISH_SECONDS)
            raise
    if errors:
        raise errors[0]
    return answer[0]


@cache
def _load(chart: Path) -> Any:
    """The chart, loaded once per process, without its schema: Helm would compile it at every call."""
    from helm_python import Chart

    with tempfile.TemporaryDirectory() as folder:
        view = Path(folder, chart.name)
        view.mkdir()
        for entry in chart.resolve().iterdir():
            # A link costs a tenth of a copy, and Helm follows it.
            if entry.name != "values.schema.json":
                (view / entry.name).symlink_to(entry)
        with _QUIET:
            return Chart.load(view)


class _Quiet:
    """Without what Helm's library writes straight to file descriptor 2: a line per link, a line per value of a wrong type.

    Descriptors are the process's: what another thread writes to stderr in the meantime is lost too. Calls in several threads
    share one redirection, which ends with the last of them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._saved = -1

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users > 1:
                return
            try:
                self._saved = os.dup(2)
            except OSError:  # closed: nothing to keep quiet
                self._saved = -1
                return
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users and self._saved >= 0:
                os.dup2(self._saved, 2)
                os.close(self._saved)


_QUIET = _Quiet()
