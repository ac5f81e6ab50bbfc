"""Run a ready pipeline in Docker on this machine, and write its outputs: `python run.py PIPELINE KUBECONFIG ROOT < ARGUMENTS`.

In the environment of e2e/cluster/kubeflow.py, where the SDK is; it imports trainchart alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from kfp import local

from trainchart import kfp

name, kubeconfig, root = sys.argv[1:]
arguments = json.load(sys.stdin)
local.init(runner=kfp.docker_runner(kubeconfig), pipeline_root=root)
outputs = getattr(kfp, name)(**arguments).outputs
Path(root, "outputs.json").write_text(json.dumps(outputs), encoding="utf-8")
