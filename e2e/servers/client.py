"""A client of the test cluster's object store and MLflow: uploads objects, and reads what the runs have stored."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from e2e.cluster.steps import CACHE

FOLDER = CACHE / "servers"
USER = "admin-of-tests"
TIMEOUT_SECONDS = 30

# No proxy: the node is on this machine, whatever the environment says about the world.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Servers:
    minio_outside: str  # for this host
    mlflow_outside: str
    minio_inside: str = "http://minio.servers.svc:9000"  # for pods
    mlflow_inside: str = "http://mlflow.servers.svc:5000"

    def save(self) -> None:
        (FOLDER / "servers.json").write_text(json.dumps(asdict(self), indent=2))

    def answer(self) -> bool:
        try:
            _request("GET", f"{self.minio_outside}/minio/health/ready")
            _request("GET", f"{self.mlflow_outside}/health")
        except OSError:
            return False
        return True

    # The object store

    @property
    def password(self) -> str:
        return (FOLDER / "minio-password").read_text()

    def upload(self, tree: Path, bucket: str, prefix: str) -> None:
        """The files of a folder, without git's own, below a prefix."""
        for path in sorted(tree.rglob("*")):
            name = path.relative_to(tree)
            if path.is_file() and name.parts[0] not in (".git", ".gitattributes"):
                self.put(bucket, f"{prefix}/{name}", path.read_bytes())

    def create(self, bucket: str) -> None:
        """Create a bucket; one that exists stays as it is."""
        try:
            self._object("PUT", bucket, "", b"")
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise

    def put(self, bucket: str, key: str, content: bytes) -> None:
        self._object("PUT", bucket, key, content)

    def read(self, bucket: str, key: str) -> bytes:
        return self._object("GET", bucket, key, b"")

    def temporary_keys(self) -> dict[str, str]:
        """Keys of MinIO's token service, as a Secret has them."""
        return temporary_keys(self.minio_outside, USER, self.password)

    def _object(self, method: str, bucket: str, key: str, content: bytes) -> bytes:
        from features.s3.signature import Credentials, sign  # the runner's own; pytest knows where it lies

        path = urllib.parse.quote(f"/{bucket}/{key}".rstrip("/"), safe="/~")
        headers = {
            "host": urllib.parse.urlsplit(self.minio_outside).netloc,
            "x-amz-content-sha256": hashlib.sha256(content).hexdigest(),
        }
        credentials = Credentials(USER, self.password)
        signed = sign(method, path, {}, headers, credentials, "us-east-1", time.gmtime())
        return _request(method, self.minio_outside + path, content if method == "PUT" else None, signed)

    # MLflow

    def runs(self, experiment: str, uid: str) -> list[dict[str, Any]]:
        """The MLflow runs of one Job."""
        query = urllib.parse.urlencode({"experiment_name": experiment})
        try:
            number = self._mlflow("GET", f"experiments/get-by-name?{query}")["experiment"]["experiment_id"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return []
            raise
        wanted = {"experiment_ids": [number], "filter": f"tags.`trainchart.uid` = '{uid}'"}
        runs: list[dict[str, Any]] = self._mlflow("POST", "runs/search", wanted).get("runs", [])
        return runs

    def history(self, run: dict[str, Any], metric: str) -> list[int]:
        """The steps of a metric."""
        query = urllib.parse.urlencode({"run_id": run["info"]["run_id"], "metric_key": metric})
        return [int(point.get("step", 0)) for point in self._mlflow("GET", f"metrics/get-history?{query}")["metrics"]]

    def _mlflow(self, method: str, call: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        return json.loads(_request(method, f"{self.mlflow_outside}/api/2.0/mlflow/{call}", data, headers))


def _request(method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as reply:
        return bytes(reply.read())


def temporary_keys(url: str, user: str, password: str, policy: str = "") -> dict[str, str]:
    """Keys for an hour of the token service of a MinIO, as a Secret has them. `policy`: they may do no more than it says."""
    from features.s3.signature import Credentials, sign

    question = {"Action": "AssumeRole", "Version": "2011-06-15", "DurationSeconds": 3600}
    body = urllib.parse.urlencode({**question, **({"Policy": policy} if policy else {})}).encode()
    headers = {
        "host": urllib.parse.urlsplit(url).netloc,
        "content-type": "application/x-www-form-urlencoded",
        "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
    }
    keys, now = Credentials(user, password), time.gmtime()
    signed = sign("POST", "/", {}, headers, keys, "us-east-1", now, service="sts")
    root = ElementTree.fromstring(_request("POST", f"{url}/", body, signed))
    names = {
        "AWS_ACCESS_KEY_ID": "AccessKeyId",
        "AWS_SECRET_ACCESS_KEY": "SecretAccessKey",
        "AWS_SESSION_TOKEN": "SessionToken",
    }
    return {key: root.findtext(f".//{{*}}{name}") or "" for key, name in names.items()}


def connect() -> Servers:
    """The servers that `python3 -m e2e.cluster servers` started."""
    path = FOLDER / "servers.json"
    if not path.exists():
        raise LookupError("the object store and MLflow are not running; `python3 -m e2e.cluster servers` starts them")
    return Servers(**json.loads(path.read_text()))
