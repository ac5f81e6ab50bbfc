"""A command in a container, with the streams of this process: what `kubectl exec` does, by the official client's WebSocket."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trainchart.cluster.errors import UnreachableError, network_errors, response_error
from trainchart.errors import TrainchartError

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

STDIN, STDOUT, STDERR, RESIZE = 0, 1, 2, 4
_CHUNK = 65536
_LATEST_SECONDS = 1.0  # how long a look at the connection may wait


def execute(api: Api, pod: str, container: str, command: Sequence[str], *, interactive: bool) -> int:
    """Run a command, and return its exit code.

    Args:
        api: the client.
        pod: its name.
        container: its name.
        command: the program and its arguments.
        interactive: with a terminal, which is this process's own.

    Raises:
        ForbiddenError: without the rights to get and create pods/exec; before Kubernetes 1.35 a WebSocket takes get alone.
        NotFoundError, RefusedError: the pod or its container does not exist, or does not run any more.
        UnreachableError: also where the connection broke.
    """
    session = _open(api, pod, container, command, interactive=interactive)
    try:
        with _raw_terminal() if interactive else _as_it_is():
            if interactive:
                _resize(session)
                signal.signal(signal.SIGWINCH, lambda *_: _resize(session))
            threading.Thread(target=_feed, args=(session,), daemon=True).start()
            while session.is_open():
                session.update(timeout=_LATEST_SECONDS)
                _print(session)
            _print(session)
    finally:
        session.close()
    code = session.returncode
    if code is None:
        raise UnreachableError(f"the connection to pod {pod} broke; what the command came to is not known")
    return int(code)


def _open(api: Api, pod: str, container: str, command: Sequence[str], *, interactive: bool) -> Any:
    from kubernetes.client import ApiException, CoreV1Api
    from kubernetes.stream import stream

    headers = dict(api.impersonation)
    for name, value in headers.items():
        api.client.set_default_header(name, value)  # type: ignore[no-untyped-call]
    try:
        with network_errors(api.server):
            return stream(
                CoreV1Api(api.client).connect_get_namespaced_pod_exec,
                pod,
                api.namespace,
                container=container,
                command=list(command),
                stdin=True,
                stdout=True,
                stderr=not interactive,  # a terminal has one stream
                tty=interactive,
                binary=True,
                _preload_content=False,
            )
    except ApiException as error:
        raise _refusal(str(error.reason), f"get and create pods/exec of pod {pod}") from None


def _refusal(reason: str, action: str) -> TrainchartError:
    """Of a connection that is not upgraded, the client keeps status and answer in a text only: `Handshake status 403 ... {...}`."""
    status, answer = re.search(r"status (\d{3})", reason), re.search(r'\{"kind".*\}', reason, re.DOTALL)
    return response_error(int(status[1]) if status else 502, (answer[0] if answer else reason).encode(), action)


def _feed(session: Any) -> None:
    """Send what comes on the standard input, and its end."""
    try:
        while data := os.read(sys.stdin.fileno(), _CHUNK):
            session.write_channel(STDIN, data)
        session.close_channel(STDIN)
    except (OSError, ValueError):  # either side is gone
        return


def _print(session: Any) -> None:
    for channel, stream in ((STDOUT, sys.stdout), (STDERR, sys.stderr)):
        if data := session.read_channel(channel):
            stream.buffer.write(data)
            stream.buffer.flush()


def _resize(session: Any) -> None:
    width, height = shutil.get_terminal_size()
    session.write_channel(RESIZE, json.dumps({"Width": width, "Height": height}).encode())


@contextmanager
def _raw_terminal() -> Iterator[None]:
    """Every key goes to the other side, Ctrl-C too."""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield
