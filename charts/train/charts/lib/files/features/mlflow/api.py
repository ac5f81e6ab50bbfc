"""The part of MLflow's REST API that a run needs, within the limits of its server."""

from __future__ import annotations

import base64
import http.client
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple
from urllib.parse import quote, urlencode, urlsplit

from runner import credential, network

TIMEOUT_SECONDS = 5.0
UID_TAG = "trainchart.uid"
ATTEMPT_TAG = "trainchart.attempt"
MAX_KEY, MAX_TAG = 250, 5000  # characters
MAX_PARAM, MAX_OLD_PARAM = 6000, 500  # the latter for servers before 2.8
MAX_METRICS, MAX_PARAMS = 1000, 100  # per log-batch
MAX_PARAM_CHARACTERS = 150_000  # at most six bytes each, and a request may have a million


@dataclass(frozen=True)
class Config:
    """The server, and where the credentials are mounted: a token, a user and password, or none."""

    tracking_uri: str
    experiment: str
    credentials: str = ""  # folder of the mounted secret; "" for none
    token_key: str = ""
    user_key: str = ""
    password_key: str = ""
    ca_file: str = ""  # trusted in addition to the system's; "" for none


class ApiError(Exception):
    """An error of the server; status 0 if it did not answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(" ".join(filter(None, [str(status or ""), code, message]))[:500])
        self.status = status
        self.code = code

    @property
    def is_temporary(self) -> bool:
        return self.status in (0, 401, 403, 408, 429) or self.status >= 500


class Metric(NamedTuple):
    key: str
    value: float
    timestamp: int  # milliseconds
    step: int


class Run(NamedTuple):
    id: str
    status: str
    artifact_uri: str
    params: Dict[str, str]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects, which would send the token to another server."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Api:
    def __init__(self, config: Config, timeout: float = TIMEOUT_SECONDS) -> None:
        self.config = config
        self.timeout = timeout
        self._base = config.tracking_uri.rstrip("/")
        self._long_params = True
        self._opener: Optional[urllib.request.OpenerDirector] = None

    # Experiments

    def experiment(self, create: bool = True) -> str:
        """Return the ID of the experiment, which is created or restored if necessary."""
        name = self.config.experiment
        try:
            found = self._get("experiments/get-by-name", experiment_name=name)["experiment"]
        except ApiError as error:
            if error.code != "RESOURCE_DOES_NOT_EXIST" or not create:
                raise
            try:
                return str(self._post("experiments/create", name=name)["experiment_id"])
            except ApiError as clash:
                if clash.code != "RESOURCE_ALREADY_EXISTS":  # otherwise another run was faster
                    raise
            found = self._get("experiments/get-by-name", experiment_name=name)["experiment"]
        if found.get("lifecycle_stage") == "deleted" and create:
            self._post("experiments/restore", experiment_id=found["experiment_id"])
        return str(found["experiment_id"])

    # Runs

    def find_run(self, experiment: str, uid: str) -> Optional[Run]:
        tag = uid.replace("'", "")
        found = self._post(
            "runs/search",
            experiment_ids=[experiment],
            filter=f"tags.`{UID_TAG}` = '{tag}'",
            max_results=1,
            order_by=["attributes.start_time ASC"],
        )
        return next((_run(run) for run in found.get("runs", [])), None)

    def create_run(self, experiment: str, name: str, tags: Dict[str, str], now: int) -> Run:
        made = self._post(
            "runs/create", experiment_id=experiment, run_name=name, start_time=now, tags=_pairs(tags, MAX_TAG)
        )
        return _run(made["run"])

    def set_status(self, run: str, status: str, end: Optional[int] = None) -> None:
        ended = {"end_time": end} if end else {}
        self._post("runs/update", run_id=run, status=status, **ended)

    def log_tags(self, run: str, tags: Dict[str, str]) -> None:
        self._post("runs/log-batch", run_id=run, tags=_pairs(tags, MAX_TAG))

    def log_params(self, run: str, params: Dict[str, str]) -> None:
        batch: Dict[str, str] = {}
        for key, value in sorted(params.items()):
            if len(batch) == MAX_PARAMS or sum(map(len, batch.values())) + len(value) > MAX_PARAM_CHARACTERS:
                self._log_params(run, batch)
                batch = {}
            batch[key] = value[:MAX_PARAM]
        if batch:
            self._log_params(run, batch)

    def _log_params(self, run: str, params: Dict[str, str]) -> None:
        try:
            longest = MAX_PARAM if self._long_params else MAX_OLD_PARAM
            self._post("runs/log-batch", run_id=run, params=_pairs(params, longest))
        except ApiError as error:
            if not self._long_params or error.status != 400 or max(map(len, params.values())) <= MAX_OLD_PARAM:
                raise
            self._long_params = False
            self._log_params(run, params)

    def log_metrics(self, run: str, metrics: List[Metric]) -> None:
        for start in range(0, len(metrics), MAX_METRICS):
            batch = [
                {"key": m.key, "value": _number(m.value), "timestamp": m.timestamp, "step": m.step}
                for m in metrics[start : start + MAX_METRICS]
            ]
            self._post("runs/log-batch", run_id=run, metrics=batch)

    def history(self, run: str, key: str) -> List[Tuple[int, float]]:
        """Return the steps and values of a metric of the run."""
        found = self._get("metrics/get-history", run_id=run, metric_key=key).get("metrics", [])
        return [(int(metric.get("step", 0)), float(metric["value"])) for metric in found]

    # Artifacts

    def upload(self, run: Run, path: Path, name: str) -> bool:
        """Upload a file as an artifact, through the server. Returns False if the server does not proxy artifacts."""
        place = urlsplit(run.artifact_uri)
        if place.scheme != "mlflow-artifacts":
            return False
        target = quote(f"{place.path.strip('/')}/{name}")
        with path.open("rb") as stream:
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(path.stat().st_size)}
            self._send("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{target}", stream, headers)
        return True

    # Requests

    def _get(self, call: str, **query: str) -> Any:
        return self._send("GET", f"/api/2.0/mlflow/{call}?{urlencode(query)}", None, {})

    def _post(self, call: str, **body: Any) -> Any:
        data = json.dumps(body).encode("utf-8")
        return self._send("POST", f"/api/2.0/mlflow/{call}", data, {"Content-Type": "application/json"})

    def _send(self, method: str, path: str, data: Any, headers: Dict[str, str]) -> Any:
        try:
            request = urllib.request.Request(  # noqa: S310 (a rule of the chart allows only http and https)
                self._base + path, data=data, method=method, headers={**headers, **self._authorization()}
            )
            with self._open(request) as answer:
                text = answer.read()
            return json.loads(text) if text else {}
        except urllib.error.HTTPError as error:
            raise _api_error(error) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise ApiError(0, "", f"{self._base}: {reason or type(error).__name__}") from error

    def _open(self, request: urllib.request.Request) -> Any:
        if self._opener is None:
            proxy = network.proxy_of(self._base)
            self._opener = urllib.request.build_opener(
                _NoRedirect,
                urllib.request.HTTPSHandler(context=network.tls_context(self.config.ca_file)),
                urllib.request.ProxyHandler({urlsplit(self._base).scheme: proxy.geturl()} if proxy else {}),
            )
        return self._opener.open(request, timeout=self.timeout)

    def _authorization(self) -> Dict[str, str]:
        """Return the header. The Secret is read each time, because it may be renewed during the run."""
        config = self.config
        if not config.credentials:
            return {}
        if config.token_key:
            return {"Authorization": f"Bearer {self._secret(config.token_key, ascii_only=True)}"}
        pair = f"{self._secret(config.user_key)}:{self._secret(config.password_key)}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")}

    def _secret(self, key: str, ascii_only: bool = False) -> str:
        return credential.read_key(Path(self.config.credentials), key, ascii_only).strip()


def metric_name(name: str) -> str:
    """Return a name that MLflow accepts, without the characters and path segments that it refuses."""
    parts = re.sub(r"[^A-Za-z0-9_./ -]", "_", name)[:MAX_KEY].split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..")).strip() or "_"


def _pairs(entries: Dict[str, str], longest: int) -> List[Dict[str, str]]:
    return [{"key": metric_name(key), "value": str(value)[:longest]} for key, value in entries.items()]


def _number(value: float) -> Any:
    """Return a number as protobuf's JSON has it, which names NaN and the infinities."""
    if value != value:
        return "NaN"
    return {float("inf"): "Infinity", float("-inf"): "-Infinity"}.get(value, value)


def _run(found: Dict[str, Any]) -> Run:
    info, data = found["info"], found.get("data", {})
    params = {param["key"]: param.get("value", "") for param in data.get("params", [])}
    return Run(str(info["run_id"]), str(info.get("status", "")), str(info.get("artifact_uri", "")), params)


def _api_error(error: urllib.error.HTTPError) -> ApiError:
    try:
        text = error.read(65536).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        text = ""
    try:
        answer = json.loads(text)
        return ApiError(error.code, str(answer.get("error_code", "")), str(answer.get("message", "")))
    except (ValueError, AttributeError):
        return ApiError(error.code, error.reason, " ".join(text.split())[:200])
