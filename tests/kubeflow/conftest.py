"""The SDK of Kubeflow Pipelines is in an environment of its own (e2e/cluster/kubeflow.py); elsewhere nothing is collected here."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("kfp") else ["test_*.py"]
