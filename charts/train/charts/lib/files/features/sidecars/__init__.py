"""`sidecars: allow`: ends the sidecars of a service mesh that are ordinary containers, which would keep the pod running.

A native sidecar ends with the pod, whether it was asked to or not.
"""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException

from runner import log

# Where each mesh documents that its sidecar ends at a POST, which it takes from its own pod alone.
ENDPOINTS = (("Istio", 15020, "/quitquitquit"), ("Linkerd", 4191, "/shutdown"))
SECONDS = 3.0


def end() -> None:
    """Ask every sidecar of a mesh to end, and log what became of it. A pod that has none logs nothing."""
    log.setup()
    for mesh, port, path in ENDPOINTS:
        connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        try:
            connection.request("POST", path)
            status = connection.getresponse().status
        except ConnectionRefusedError:  # there is none
            continue
        except (OSError, HTTPException) as error:
            _warn(mesh, port, path, str(error))
        else:
            if status < 300:
                log.event("sidecar", mesh=mesh, ended=True)
            else:
                _warn(mesh, port, path, f"HTTP {status}")
        finally:
            connection.close()


def _warn(mesh: str, port: int, path: str, answer: str) -> None:
    log.event(
        "warning",
        reason=f"the sidecar of {mesh} may keep the pod running: POST {path} to port {port} failed: {answer}",
        fix="let the mesh inject native sidecars, or set sidecars: disable",
    )
