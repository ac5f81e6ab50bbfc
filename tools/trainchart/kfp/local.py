"""Pipelines in Docker on this machine, against a cluster, without a Kubeflow backend."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kfp import local

from trainchart.errors import UsageError

_INSIDE = "/kubeconfig"


def docker_runner(kubeconfig: str | os.PathLike[str] = "", **arguments: Any) -> local.DockerRunner:
    """The SDK's runner for `kfp.local.init`, whose containers submit to the cluster of a kubeconfig.

    Args:
        kubeconfig: the file (default: $KUBECONFIG, else ~/.kube/config); it may refer to no others.
        arguments: further ones of `kfp.local.DockerRunner`.

    Raises:
        UsageError: the file does not exist, or the Docker package for Python is missing.
    """
    try:
        from docker.types import Mount
    except ImportError:
        raise UsageError("kfp.local.DockerRunner needs Docker's package for Python: pip install docker") from None

    file = Path(kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config").expanduser().absolute()
    if not file.is_file():
        raise UsageError(f"{file} does not exist; name a kubeconfig")
    mounts = [*arguments.pop("mounts", []), Mount(_INSIDE, str(file), type="bind", read_only=True)]
    environment = {**arguments.pop("environment", {}), "KUBECONFIG": _INSIDE}
    # The cluster's address may be one of this machine, and what the container writes belongs to this user.
    own: dict[str, Any] = {"network_mode": "host", "user": f"{os.getuid()}:{os.getgid()}"}
    return local.DockerRunner(**{**own, **arguments}, mounts=mounts, environment=environment)
