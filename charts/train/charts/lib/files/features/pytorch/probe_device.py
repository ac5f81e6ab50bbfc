"""Checks that this pod's PyTorch can compute on the requested devices. Argument: {"backend", "count", "libraries"}."""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import Any, Dict, Sequence


def probe(backend: str, count: int, libraries: Sequence[str] = ()) -> Dict[str, Any]:
    """Return the answer of the probe. `libraries` are further imports of the family's trainer."""
    missing = [name for name in ("torch", *libraries) if importlib.util.find_spec(name) is None]
    if missing:
        return failure(
            f"the image lacks {', '.join(missing)}", "use an image with the trainer and all its requirements"
        )
    import torch

    if backend == "cpu":
        return {"ok": True, "devices": ["cpu"]}
    module: Any = getattr(torch, backend, None)
    seen = module.device_count() if module is not None and module.is_available() else 0
    if seen < max(count, 1):
        return failure(
            f"the run requests {max(count, 1)} {backend} devices, and PyTorch {torch.__version__} sees {seen}",
            f"check accelerator.profile and count, the node's driver, and that the image's PyTorch is built for {backend}",
        )
    devices = []
    for index in range(seen):
        name = module.get_device_name(index)
        try:
            torch.ones(8, 8, device=f"{backend}:{index}").square().sum().item()
            devices.append(f"{name}, {module.mem_get_info(index)[0] >> 20} MiB free")
        except RuntimeError as error:
            return failure(
                f"PyTorch {torch.__version__} sees {name}, but cannot compute on it: {str(error).splitlines()[0]}",
                "use an image whose PyTorch is built for this device and the node's driver, or free its memory",
            )
    return {"ok": True, "devices": devices}


def failure(reason: str, fix: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": fix}


if __name__ == "__main__":
    print(json.dumps(probe(**json.loads(sys.argv[1]))))
