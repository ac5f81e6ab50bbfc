"""A mutating webhook in the test cluster, which injects containers into pods as a service mesh does: into those of the
tests' namespace that have the label LABEL, and which ones by its value.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.cluster import kind
from e2e.cluster.docker import image_name
from e2e.cluster.steps import step, temporary_folder
from e2e.kube import Kube, Object

HERE = Path(__file__).resolve().parent
LABEL = "example.com/inject"
NATIVE, CLASSIC, ENDLESS = "native", "classic", "endless"
"""A native sidecar; ordinary containers called `aaa` and `istio-proxy`; one that never ends."""
NAME, PORT, USER = "injector", 8443, 1000
HOST = f"{NAME}.{NAME}.svc"


@contextmanager
def injecting(cluster: Kube) -> Iterator[None]:
    """The webhook, for as long as the block lasts."""
    admin = Kube(cluster.kubeconfig, NAME)
    image = image_name("custom-minimal")
    kind.load_images([image])
    with step("start the injector", "`kubectl -n injector describe pods` shows what it does.") as current:
        with temporary_folder() as folder:
            key, certificate = folder / "tls.key", folder / "tls.crt"
            request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            names = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
            current.run([*request, *names, "-keyout", key, "-out", certificate])
            files = {path.name: path.read_text() for path in (key, certificate)}
        admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}})
        admin.apply(*_server(image, files))
        admin.kubectl("rollout", "status", f"deployment/{NAME}", "--timeout", "90s", timeout=100)
        admin.apply(_webhook(cluster.namespace, files["tls.crt"]))
    try:
        yield
    finally:
        admin.kubectl("delete", "mutatingwebhookconfiguration", NAME)
        admin.kubectl("delete", "namespace", NAME)


def _server(image: str, files: dict[str, str]) -> list[Object]:
    metadata = {"name": NAME, "namespace": NAME}
    programs = {path.name: path.read_text() for path in HERE.glob("*.py") if path.name != "__init__.py"}
    container = {
        "name": NAME,
        "image": image,
        "command": ["python3", "webhook.py", str(PORT)],
        "workingDir": "/programs",
        "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
        "volumeMounts": [{"name": "programs", "mountPath": "/programs"}, {"name": "tls", "mountPath": "/tls"}],
    }
    volumes = [{"name": "programs", "configMap": {"name": NAME}}, {"name": "tls", "secret": {"secretName": NAME}}]
    pod = {"securityContext": {"runAsUser": USER}, "containers": [container], "volumes": volumes}
    template = {"metadata": {"labels": {"app": NAME}}, "spec": {**pod, "terminationGracePeriodSeconds": 1}}
    ports = [{"port": 443, "targetPort": PORT}]
    selector = {"app": NAME}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": programs},
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": files},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": selector, "ports": ports}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {"replicas": 1, "selector": {"matchLabels": selector}, "template": template},
        },
    ]


def _webhook(namespace: str, certificate: str) -> Object:
    service = {"name": NAME, "namespace": NAME, "path": "/"}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [
            {
                "name": f"{NAME}.example.com",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "timeoutSeconds": 5,
                "clientConfig": {"service": service, "caBundle": base64.b64encode(certificate.encode()).decode()},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "objectSelector": {"matchExpressions": [{"key": LABEL, "operator": "Exists"}]},
            }
        ],
    }
