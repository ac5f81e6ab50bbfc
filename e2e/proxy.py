"""A network between a command and the API server that can be cut: packets that vanish, or connections that are refused."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from pathlib import Path
from urllib.parse import urlsplit


class Proxy:
    """Passes TCP on, until it is told not to."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._flows = threading.Event()
        self._flows.set()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = self._listen(0)
        self.port = self._listener.getsockname()[1]
        self.connections = 0

    def stall(self) -> None:
        """Nothing comes through any more, and nobody is told."""
        self._flows.clear()

    def refuse(self) -> None:
        """Connections break, and new ones are refused."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for each in self._open:
                with contextlib.suppress(OSError):  # it has been closed already
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            self._open.clear()

    def mend(self) -> None:
        if self._listener.fileno() < 0:
            self._listener = self._listen(self.port)
        self._flows.set()

    def kubeconfig(self, original: Path, target: Path) -> Path:
        """The same account, through this proxy."""
        config = json.loads(original.read_text())
        cluster = config["clusters"][0]["cluster"]
        cluster["tls-server-name"] = urlsplit(cluster["server"]).hostname
        cluster["server"] = f"https://127.0.0.1:{self.port}"
        target.touch(mode=0o600)
        target.write_text(json.dumps(config))
        return target

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), backlog=64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        self._flows.wait()
        try:
            far = socket.create_connection(self._target, timeout=10)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        with self._lock:
            self._open |= {near, far}
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                self._flows.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return
