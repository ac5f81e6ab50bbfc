"""Pods of one run finding each other: the commits that rank 0 pinned, and the name of its service."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from dataclasses import asdict
from typing import Callable, Dict, TypeVar

from . import log
from .context import COMMIT, Context, Pinned
from .errors import RunnerError

_T = TypeVar("_T")


def serve_pins(context: Context) -> None:
    """Rank 0 tells its commits to whoever asks on the port after the trainer's, for as long as it lives (a daemon thread)."""
    answer = json.dumps(
        {"run": _identity(context), "sources": {name: asdict(pin) for name, pin in context.sources.items()}}
    )
    listener = socket.socket(socket.AF_INET6 if ":" in context.own_ip else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", context.settings.topology.port + 1))
    listener.listen(64)

    def serve() -> None:
        while True:
            peer, _ = listener.accept()
            with peer, contextlib.suppress(OSError):  # a rank that went away asks again
                peer.settimeout(10)
                peer.sendall(answer.encode("utf-8") + b"\n")

    threading.Thread(target=serve, name="pins", daemon=True).start()


def ask_pins(context: Context) -> Dict[str, Pinned]:
    """The commits rank 0 pinned. Its pod may be slower than ours, and a pod of an earlier attempt may still answer."""
    topology = context.settings.topology

    def ask() -> Dict[str, Pinned]:
        address = (topology.service, topology.port + 1)
        with socket.create_connection(address, timeout=10) as connection, connection.makefile("rb") as stream:
            return parse_pins(context, stream.readline(1 << 20))

    return _until_joined(context, "the commits of rank 0", ask)


def parse_pins(context: Context, line: bytes) -> Dict[str, Pinned]:
    """What arrived from the network is believed only if it is of this attempt and has the run's own shape."""
    try:
        answer = json.loads(line)
        pins = {str(name): Pinned(**pin) for name, pin in answer["sources"].items()}
        identity = answer["run"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise OSError(f"not an answer of a runner: {error!r}") from error
    if identity != _identity(context):
        raise OSError("a pod of another run or attempt answers")
    wanted = context.settings.sources
    if set(pins) != set(wanted) or any(pin.repository != wanted[name].repository for name, pin in pins.items()):
        raise OSError("rank 0 has other repositories")
    if not all(
        isinstance(pin.commit, str) and COMMIT.fullmatch(pin.commit) and isinstance(pin.revision, str)
        for pin in pins.values()
    ):
        raise OSError("rank 0 sent something that is no commit")
    return pins


def wait_for_service(context: Context) -> None:
    """The service's name must resolve before the trainer's rendezvous, and on rank 0 to this very pod: DNS lags behind the pods."""
    topology = context.settings.topology

    def resolve() -> None:
        addresses = {
            info[4][0] for info in socket.getaddrinfo(topology.service, topology.port, type=socket.SOCK_STREAM)
        }
        if context.rank == 0 and context.own_ip and context.own_ip not in addresses:
            raise OSError(
                f"it resolves to {', '.join(sorted(map(str, addresses)))}, not to this pod ({context.own_ip})"
            )

    _until_joined(context, f"the name {topology.service}", resolve)


def _identity(context: Context) -> str:
    return f"{context.uid}/{context.attempt}"


def _until_joined(context: Context, what: str, attempt: Callable[[], _T]) -> _T:
    """Try every second, for at most topology.joinSeconds."""
    seconds = context.settings.topology.join_seconds
    until, told = time.monotonic() + seconds, 0.0
    while True:
        try:
            return attempt()
        except OSError as error:  # noqa: PERF203
            if time.monotonic() >= until:
                raise RunnerError(
                    "peer-lost",
                    f"rank {context.rank} waited {seconds} seconds for {what} at {context.settings.topology.service}: {error}",
                    "see the log of rank 0, and whether its pod could start (kubectl describe pod)",
                ) from error
            if time.monotonic() - told > 10:
                told = time.monotonic()
                log.event("waiting", what=what, reason=error)
            time.sleep(1)
