"""Pods of one run finding each other: what rank 0 has decided for all (commits, checkpoint), and the name of its service."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import Any, Callable, Dict, TypeVar

from runner import log
from runner.context import COMMIT, Context, Pinned
from runner.errors import RunnerError

_T = TypeVar("_T")


class NotYetError(OSError):
    """Rank 0 answers, and has not decided yet: however long it takes, it is alive."""


_decided: Dict[str, Any] = {}


def tell(context: Context, topic: str, value: Any) -> None:
    """Rank 0 tells what it decided to whoever asks on the port after the trainer's, for as long as it lives (a daemon thread)."""
    first = not _decided
    _decided[topic] = value
    if not first:
        return
    listener = socket.socket(socket.AF_INET6 if ":" in context.own_ip else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", context.settings.topology.port + 1))
    listener.listen(64)

    def serve() -> None:
        while True:
            peer, _ = listener.accept()
            with peer, contextlib.suppress(OSError):  # a rank that went away asks again
                peer.settimeout(10)
                answer = json.dumps({"run": _identity(context), "decided": _decided})
                peer.sendall(answer.encode("utf-8") + b"\n")

    threading.Thread(target=serve, name="decisions", daemon=True).start()


def ask(context: Context, topic: str, parse: Callable[[Context, Any], _T]) -> _T:
    """What rank 0 decided. Its pod may be slower than ours, and a pod of an earlier attempt may still answer."""
    topology = context.settings.topology

    def once() -> _T:
        address = (topology.service, topology.port + 1)
        with socket.create_connection(address, timeout=10) as connection, connection.makefile("rb") as stream:
            return parse(context, decision(context, topic, stream.readline(1 << 20)))

    return _until_joined(context, f"rank 0 to tell the {topic}", once)


def decision(context: Context, topic: str, line: bytes) -> Any:
    """What arrived from the network is believed only if it is of this attempt."""
    try:
        answer = json.loads(line)
        identity, decided = answer["run"], dict(answer["decided"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise OSError(f"not an answer of a runner: {error!r}") from error
    if identity != _identity(context):
        raise OSError("a pod of another run or attempt answers")
    if topic not in decided:
        raise NotYetError(f"rank 0 has not told the {topic} yet")
    return decided[topic]


def parse_pins(context: Context, told: Any) -> Dict[str, Pinned]:
    """Rank 0's commits, if they have the run's own shape."""
    try:
        pins = {str(name): Pinned(**pin) for name, pin in told.items()}
    except (TypeError, AttributeError) as error:
        raise OSError(f"not the commits of a runner: {error!r}") from error
    wanted = context.settings.sources
    if set(pins) != set(wanted) or any(pin.repository != wanted[name].location for name, pin in pins.items()):
        raise OSError("rank 0 has other sources")
    if not all(
        isinstance(pin.commit, str)
        and (COMMIT.fullmatch(pin.commit) or wanted[name].type == "claim")
        and isinstance(pin.revision, str)
        for name, pin in pins.items()
    ):
        raise OSError("rank 0 sent something that is no commit")
    return pins


def wait_for_service(context: Context) -> str:
    """The address of rank 0's pod. The service's name must resolve before the trainer's rendezvous, and on rank 0 to this very
    pod: DNS lags behind the pods.
    """
    topology = context.settings.topology

    def resolve() -> str:
        addresses = {
            info[4][0] for info in socket.getaddrinfo(topology.service, topology.port, type=socket.SOCK_STREAM)
        }
        if context.rank == 0 and context.own_ip and context.own_ip not in addresses:
            raise OSError(
                f"it resolves to {', '.join(sorted(map(str, addresses)))}, not to this pod ({context.own_ip})"
            )

        return context.own_ip if context.rank == 0 and context.own_ip else min(map(str, addresses))

    return _until_joined(context, f"the name {topology.service}", resolve)


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
            if isinstance(error, NotYetError):
                until = time.monotonic() + seconds
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
