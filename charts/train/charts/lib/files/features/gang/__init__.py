"""Coordination of the pods of one run: rank 0's decisions for all ranks (commits, checkpoint), and the name of its
Service.
"""

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
    """Rank 0 has answered, but not decided yet: it is alive, however long that takes."""


_decided: Dict[str, Any] = {}


def send(context: Context, topic: str, value: Any) -> None:
    """Serve a decision of rank 0 on the port after the trainer's, in a daemon thread, for as long as the runner
    lives.
    """
    first = not _decided
    _decided[topic] = value
    if not first:
        return
    listener = socket.socket(socket.AF_INET6 if ":" in context.own_ip else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", context.settings.pod.port + 1))
    listener.listen(64)

    def serve() -> None:
        while True:
            peer, _ = listener.accept()
            with peer, contextlib.suppress(OSError):  # a rank that lost the connection asks again
                peer.settimeout(10)
                answer = json.dumps({"run": _identity(context), "decided": _decided})
                peer.sendall(answer.encode("utf-8") + b"\n")

    threading.Thread(target=serve, name="decisions", daemon=True).start()


def receive(context: Context, topic: str, parse: Callable[[Context, Any], _T]) -> _T:
    """Return what rank 0 decided, once `parse` accepts it. Its pod may start later, and one of an earlier attempt may
    still answer.

    Raises:
        RunnerError: peer-lost, after topology.joinSeconds.
    """
    settings = context.settings

    def once() -> _T:
        address = (settings.run.service, settings.pod.port + 1)
        with socket.create_connection(address, timeout=10) as connection, connection.makefile("rb") as stream:
            return parse(context, decision(context, topic, stream.readline(1 << 20)))

    return _until_joined(context, f"rank 0 to send the {topic}", once)


def decision(context: Context, topic: str, line: bytes) -> Any:
    """Return the decision in an answer. Raises OSError unless it comes from this attempt of this run."""
    try:
        answer = json.loads(line)
        identity, decided = answer["run"], dict(answer["decided"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise OSError(f"the answer is not from a runner: {error!r}") from error
    if identity != _identity(context):
        raise OSError("the answer is from another run or attempt")
    if topic not in decided:
        raise NotYetError(f"rank 0 has not sent the {topic} yet")
    return decided[topic]


def parse_pins(context: Context, received: Any) -> Dict[str, Pinned]:
    """Return rank 0's commits. Raises OSError if they do not match the settings."""
    try:
        pins = {str(name): Pinned(**pin) for name, pin in received.items()}
    except (TypeError, AttributeError) as error:
        raise OSError(f"rank 0 sent invalid commits: {error!r}") from error
    wanted = context.settings.sources
    if set(pins) != set(wanted) or any(pin.repository != wanted[name].location for name, pin in pins.items()):
        raise OSError("rank 0 has other sources")
    if not all(
        isinstance(pin.commit, str)
        and (COMMIT.fullmatch(pin.commit) or wanted[name].type == "claim")
        and isinstance(pin.revision, str)
        for name, pin in pins.items()
    ):
        raise OSError("rank 0 sent something that is not a commit")
    return pins


def wait_for_service(context: Context) -> str:
    """Return the address of rank 0's pod, once the Service's name resolves (on rank 0: to this pod). DNS lags behind
    the pods, and the trainer's rendezvous needs the name.

    Raises:
        RunnerError: peer-lost, after topology.joinSeconds.
    """
    settings = context.settings

    def resolve() -> str:
        found = socket.getaddrinfo(settings.run.service, settings.pod.port, type=socket.SOCK_STREAM)
        addresses = {info[4][0] for info in found}
        if context.rank == 0 and context.own_ip and context.own_ip not in addresses:
            raise OSError(
                f"it resolves to {', '.join(sorted(map(str, addresses)))}, not to this pod ({context.own_ip})"
            )

        return context.own_ip if context.rank == 0 and context.own_ip else min(map(str, addresses))

    return _until_joined(context, f"the name {settings.run.service}", resolve)


def _identity(context: Context) -> str:
    return f"{context.uid}/{context.attempt}"


def _until_joined(context: Context, what: str, attempt: Callable[[], _T]) -> _T:
    """Try every second for joinSeconds, or longer if rank 0 has not decided yet."""
    seconds = context.settings.pod.join_seconds
    until, logged = time.monotonic() + seconds, 0.0
    while True:
        try:
            return attempt()
        except OSError as error:  # noqa: PERF203
            if isinstance(error, NotYetError):
                until = time.monotonic() + seconds
            if time.monotonic() >= until:
                raise RunnerError(
                    "peer-lost",
                    f"rank {context.rank} waited {seconds} seconds for {what} at {context.settings.run.service}: {error}",
                    "see the log of rank 0, and whether its pod has started (kubectl describe pod)",
                ) from error
            if time.monotonic() - logged > 10:
                logged = time.monotonic()
                log.event("waiting", what=what, reason=error)
            time.sleep(1)
