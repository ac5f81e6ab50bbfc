"""What a server answers, honest or not, and how it sends it."""

from __future__ import annotations

import http.server
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Answer:
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""
    wait: float = 0  # seconds before the first byte
    drip: float = 0  # seconds before every kilobyte of the content
    cut: int | None = None  # the connection ends after so many bytes of the content
    reset: bool = False  # ... by a reset instead of a shutdown
    length: int | None = None  # a Content-Length that may be wrong

    def send(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        time.sleep(self.wait)
        handler.send_response(self.status)
        for key, value in self.headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(self.content) if self.length is None else self.length))
        handler.end_headers()
        content = self.content if self.cut is None else self.content[: self.cut]
        for start in range(0, len(content), 1024) if self.drip else ():
            time.sleep(self.drip)
            handler.wfile.write(content[start : start + 1024])
        if not self.drip:
            handler.wfile.write(content)
        if self.cut is not None or self.length is not None:
            self._end(handler)

    def _end(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.wfile.flush()
        if self.reset:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
        else:
            handler.connection.shutdown(socket.SHUT_RDWR)


Honest = Callable[[], Answer]


@dataclass
class Fault:
    """Requests with `on` in "METHOD /path?query" get `answer`, or what it makes of the honest answer; the first `times` of them."""

    on: str
    answer: Answer | Callable[[Answer], Answer]
    times: int = 1 << 30
    authorized: bool = False  # only requests that carry credentials
    body: bytes = b""  # only requests with this in their body

    def hits(self, line: str, authorization: str | None, body: bytes) -> bool:
        if self.times <= 0 or self.on not in line or (self.authorized and not authorization) or self.body not in body:
            return False
        self.times -= 1
        return True

    def answers(self, honest: Honest) -> Answer:
        return self.answer if isinstance(self.answer, Answer) else self.answer(honest())


def answered(
    faults: Iterable[Fault], line: str, authorization: str | None, honest: Honest, body: bytes = b""
) -> Answer:
    """The answer of the first fault that is hit, else the honest one."""
    for fault in faults:
        if fault.hits(line, authorization, body):
            return fault.answers(honest)
    return honest()


# The usual ones


def login_page(type_: str = "text/html; charset=utf-8") -> Answer:
    """What a company's gateway answers where it wants a person to log in."""
    return Answer(200, {"Content-Type": type_}, b"<!DOCTYPE html><html>please log in</html>")


def redirect(url: str, status: int = 302) -> Answer:
    return Answer(status, {"Location": url})


def corrupted(real: Answer) -> Answer:
    """Other bytes of the same length."""
    return replace(real, content=bytes(byte ^ 0x55 for byte in real.content)) if real.status == 200 else real


def half(real: Answer) -> Answer:
    """The connection ends in the middle of the content."""
    return replace(real, cut=len(real.content) // 2)


def truncated(real: Answer) -> Answer:
    """Half the content, and a Content-Length that says that this is all."""
    return replace(real, content=real.content[: len(real.content) // 2])


def reset(real: Answer) -> Answer:
    return replace(real, cut=len(real.content) // 2, reset=True)


def stalled(seconds: float) -> Callable[[Answer], Answer]:
    """Nothing for so long, then the connection ends."""
    return lambda real: Answer(wait=seconds, cut=0)


def slow(seconds_per_kilobyte: float) -> Callable[[Answer], Answer]:
    return lambda real: replace(real, drip=seconds_per_kilobyte)
