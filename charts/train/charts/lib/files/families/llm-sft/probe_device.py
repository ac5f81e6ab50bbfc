"""Does this pod's PyTorch see the devices that the run asked for? Argument: {"backend", "count"}."""

from __future__ import annotations

import json
import sys
from typing import Any, Dict


def probe(backend: str, count: int) -> Dict[str, Any]:
    try:
        import torch
    except ImportError as error:
        return {
            "ok": False,
            "reason": f"the image has no PyTorch: {error}",
            "fix": "use an image with PyTorch and LLaMA-Factory",
        }
    if backend == "cpu":
        return {"ok": True, "devices": ["cpu"]}
    module: Any = getattr(torch, backend, None)
    seen = module.device_count() if module is not None and module.is_available() else 0
    if seen < max(count, 1):
        reason = f"the run asks for {max(count, 1)} {backend} devices and PyTorch {torch.__version__} sees {seen}"
        return {
            "ok": False,
            "reason": reason,
            "fix": f"check accelerator.profile and count, the node's driver, and that the image's PyTorch is built for {backend}",
        }
    return {"ok": True, "devices": [module.get_device_name(index) for index in range(seen)]}


if __name__ == "__main__":
    print(json.dumps(probe(**json.loads(sys.argv[1]))))
