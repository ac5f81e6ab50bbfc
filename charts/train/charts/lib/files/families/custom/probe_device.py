"""Checks that this pod has the requested devices. Argument: {"backend", "count"}.

The program's framework is not known here: PyTorch is used if the image has it, and the device files are counted.
"""

from __future__ import annotations

import glob
import importlib
import json
import re
import sys
from typing import Any, Dict, List

# Device files in /dev. The cards of several vendors use the backend cuda.
FILES = {
    "cuda": [r"nvidia\d+", r"dri/renderD\d+", r"dxg", r"iluvatar\d+", r"mxc\w*\d+"],
    "npu": [r"davinci\d+"],
    "mlu": [r"cambricon_dev\d+"],
}


def probe(backend: str, count: int) -> Dict[str, Any]:
    wanted = max(count, 1)
    if backend == "cpu":
        return {"ok": True, "devices": ["cpu"]}
    files, by_torch = device_files(backend), torch_devices(backend)
    if max(len(files), by_torch) >= wanted or backend not in FILES:
        return {"ok": True, "devices": files or [f"{backend}:{index}" for index in range(by_torch)]}
    return {
        "ok": False,
        "reason": f"the run requests {wanted} {backend} devices, and the pod has {len(files)} of their device files in /dev"
        f" (PyTorch sees {by_torch})",
        "fix": "check accelerator.profile and count, and the node's driver and device plugin",
    }


def device_files(backend: str) -> List[str]:
    names = {path[len("/dev/") :] for path in glob.glob("/dev/*") + glob.glob("/dev/dri/*")}  # noqa: PTH207
    kinds = [[name for name in names if re.fullmatch(kind, name)] for kind in FILES.get(backend, [])]
    most = max(kinds, key=len) if kinds else []
    return sorted(most)


def torch_devices(backend: str) -> int:
    """Return how many devices PyTorch sees; 0 if the image has no PyTorch for the backend."""
    try:
        import torch

        if not hasattr(torch, backend):
            importlib.import_module(f"torch_{backend}")
        return int(getattr(torch, backend).device_count())
    except Exception:  # whatever a vendor's library raises, there are no devices
        return 0


if __name__ == "__main__":
    print(json.dumps(probe(**json.loads(sys.argv[1]))))
