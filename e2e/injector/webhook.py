"""The webhook's server, in the cluster: adds containers that run sidecar.py to a pod, before its own."""

from __future__ import annotations

import base64
import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PROGRAM = Path("sidecar.py").read_text(encoding="utf-8")
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
SMALL = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}

# Value of the label -> place in the pod, and containers: name -> what sidecar.py does in it.
INJECTED: dict[str, tuple[str, dict[str, str]]] = {
    "native": ("initContainers", {"istio-proxy": "mesh"}),
    "classic": ("containers", {"aaa": "beside", "istio-proxy": "mesh"}),
    "endless": ("containers", {"aaa": "endless"}),
}


class Webhook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        pod = review["request"]["object"]
        patch = base64.b64encode(json.dumps(patches(pod)).encode()).decode()
        answer = {"uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch", "patch": patch}
        content = json.dumps({**review, "request": None, "response": answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def patches(pod: dict[str, Any]) -> list[dict[str, Any]]:
    place, containers = INJECTED[pod["metadata"]["labels"]["example.com/inject"]]
    image = pod["spec"]["containers"][0]["image"]
    added = [
        {
            "name": name,
            "image": image,
            "command": ["python3", "-c", PROGRAM, role],
            "securityContext": RESTRICTED,
            "resources": SMALL,
            **({"restartPolicy": "Always"} if place == "initContainers" else {}),
        }
        for name, role in containers.items()
    ]
    return [{"op": "add", "path": f"/spec/{place}", "value": added + pod["spec"].get(place, [])}]


if __name__ == "__main__":
    server = ThreadingHTTPServer(("", int(sys.argv[1])), Webhook)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
