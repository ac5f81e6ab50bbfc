"""Deploys MinIO and MLflow into the running cluster: images, password, deployments."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from string import Template

from e2e.cluster import docker, kind
from e2e.cluster.kind import KUBECTL
from e2e.cluster.steps import digest, step

from .client import FOLDER, USER, Servers, connect

HERE = Path(__file__).resolve().parent
ADVICE = f"`{' '.join(KUBECTL)} -n servers describe pods` shows what they do."
MINIO_PORT, MLFLOW_PORT = 30900, 30500


def ensure(minio: str, mlflow: str) -> Servers:
    """Deploys both servers from these images, reachable at the node and by name in the cluster."""
    kind.load_images([minio, mlflow])
    with step("start MinIO and MLflow", ADVICE) as current:
        address, password = docker.node_address(kind.NODE), _password()
        servers = Servers(
            minio_outside=f"http://{address}:{MINIO_PORT}", mlflow_outside=f"http://{address}:{MLFLOW_PORT}"
        )
        servers.save()
        deployments = (HERE / "servers.yaml").read_text()
        key = digest(deployments, password, *(docker.image_id(image) or "" for image in (minio, mlflow)))
        if kind.recall("servers") == key and servers.answer():
            current.cached()
            return servers
        current.run([*KUBECTL, "apply", "-f", "-"], text=json.dumps(_namespace_and_secret(password)))
        filled = Template(deployments).substitute(minio=minio, mlflow=mlflow, key=key)
        current.run([*KUBECTL, "apply", "-f", "-"], text=filled)
        for name in ("minio", "mlflow"):
            current.run([*KUBECTL, "-n", "servers", "rollout", "status", f"deployment/{name}", "--timeout", "180s"])
        current.wait("an answer of MinIO and MLflow", servers.answer, seconds=60)
        kind.remember(current, "servers", key)
        return servers


def is_ready() -> bool:
    return (FOLDER / "servers.json").exists() and connect().answer()


def _password() -> str:
    path = FOLDER / "minio-password"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True, mode=0o700)
        scratch = path.with_suffix(".new")
        scratch.touch(mode=0o600)
        scratch.write_text(secrets.token_urlsafe(18))
        scratch.replace(path)
    return path.read_text()


def _namespace_and_secret(password: str) -> dict[str, object]:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "minio", "namespace": "servers"},
        "stringData": {"MINIO_ROOT_USER": USER, "MINIO_ROOT_PASSWORD": password},
    }
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "servers"}}
    return {"apiVersion": "v1", "kind": "List", "items": [namespace, secret]}
