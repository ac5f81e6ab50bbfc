"""What is injected. `mesh` ends as the sidecar of Istio does, by a request from its own pod; `beside` ends with it;
`endless` does not end.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

PORT = 15020


class Agent(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        is_quit = self.path == "/quitquitquit" and self.client_address[0] == "127.0.0.1"
        self.send_response(200 if is_quit else 403)
        self.send_header("Content-Length", "0")
        self.end_headers()
        if is_quit:
            os._exit(0)


def answers() -> bool:
    try:
        socket.create_connection(("127.0.0.1", PORT), 1).close()
    except OSError:
        return False
    return True


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
role = sys.argv[1]
if role == "mesh":
    HTTPServer(("", PORT), Agent).serve_forever()
while role == "beside" and not answers():
    time.sleep(0.1)
while role == "endless" or answers():
    time.sleep(0.5)
