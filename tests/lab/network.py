"""Authorities with servers that have a certificate of theirs, and a forward proxy."""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


@dataclass(frozen=True)
class Authority:
    """A CA of its own in a folder. Like those of many companies it has no key identifier, which Python 3.13 would ask for."""

    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.crt"

    @classmethod
    def create(cls, folder: Path) -> Authority:
        folder.mkdir()
        (folder / "ca.cnf").write_text(
            "[req]\ndistinguished_name = dn\nx509_extensions = v3\n[dn]\n[v3]\nbasicConstraints = critical, CA:TRUE\n"
        )
        made = ["-config", "ca.cnf", "-subj", f"/CN={folder.name}", "-days", "2", "-keyout", "ca.key", "-out", "ca.crt"]
        _openssl(folder, "req", "-x509", *_KEY, *made)
        return cls(folder)

    def server(self) -> ssl.SSLContext:
        """A server with a new certificate for 127.0.0.1."""
        (self.folder / "names").write_text("subjectAltName=IP:127.0.0.1")
        _openssl(self.folder, "req", "-new", *_KEY, "-subj", "/CN=server", "-keyout", "key", "-out", "csr")
        signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
        _openssl(self.folder, "x509", "-req", "-in", "csr", *signed, "-out", "crt")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "crt", self.folder / "key")
        return context


@contextlib.contextmanager
def with_tls(url: str, tls: ssl.SSLContext) -> Iterator[str]:
    """The https:// address at which the server at `url` answers, too."""

    def serve(plain: socket.socket) -> None:
        with contextlib.suppress(OSError), tls.wrap_socket(plain, server_side=True) as client:
            _join(client, _connect(urlsplit(url).netloc))

    with _listening(serve) as port:
        yield f"https://127.0.0.1:{port}"


@dataclass
class ForwardProxy:
    url: str = ""
    asked: list[str] = field(default_factory=list)  # the hosts with their ports
    refuses: int = 0  # the status that it answers everything with


@contextlib.contextmanager
def forward_proxy(resolve: Callable[[str], str] = lambda host: host) -> Iterator[ForwardProxy]:
    """A proxy for http:// and https:// that connects to what `resolve` makes of a host and port."""
    proxy = ForwardProxy()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_CONNECT(self) -> None:
            proxy.asked.append(self.path)
            if proxy.refuses:
                self.send_error(proxy.refuses)
                return
            there = _connect(resolve(self.path))
            self.send_response(200)
            self.end_headers()
            _join(self.connection, there)

        def do_any(self) -> None:
            target = urlsplit(self.path)
            proxy.asked.append(target.netloc)
            if proxy.refuses:
                self.send_error(proxy.refuses)
                return
            there = _connect(resolve(target.netloc))
            headers = "".join(f"{k}: {v}\r\n" for k, v in self.headers.items() if k.lower() != "connection")
            path = target.path + (f"?{target.query}" if target.query else "")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            there.sendall(f"{self.command} {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n".encode() + body)
            _join(self.connection, there)
            self.close_connection = True

        do_GET = do_POST = do_PUT = do_any  # noqa: N815

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    yield proxy
    server.shutdown()


@contextlib.contextmanager
def _listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.close()


def _connect(place: str) -> socket.socket:
    host, _, port = place.rpartition(":")
    return socket.create_connection((host, int(port)))


def _join(one: socket.socket, other: socket.socket) -> None:
    """Pass on what either side says, until one of them ends."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=pump, args=(other, one), daemon=True)
    back.start()
    pump(one, other)
    back.join()
    other.close()


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=True)
