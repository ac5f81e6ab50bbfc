"""Checks that this pod's PaddlePaddle sees the requested devices. Argument: {"backend", "count"}."""

from __future__ import annotations

import json
import sys
from typing import Any, Dict, List


def probe(backend: str, count: int) -> Dict[str, Any]:
    try:
        import paddle
    except ImportError as error:
        return failure(
            f"the image has no PaddlePaddle: {error}",
            "use an image with PaddlePaddle and PaddleDetection's requirements",
        )
    if backend == "cpu":
        return {"ok": True, "devices": ["cpu"]}
    wanted = max(count, 1)
    if backend == "cuda" and not paddle.device.is_compiled_with_cuda():
        return failure(
            f"accelerator: the run requests cuda, but the image's PaddlePaddle {paddle.__version__} is built for CPU only",
            "use an image with paddlepaddle-gpu",
        )
    seen: List[str] = []
    if backend == "cuda":
        seen = [f"gpu:{index}" for index in range(paddle.device.cuda.device_count())]
    elif backend in paddle.device.get_all_custom_device_type():
        seen = [name for name in paddle.device.get_available_custom_device() if name.split(":")[0] == backend]
    if len(seen) < wanted:
        return failure(
            f"the run requests {wanted} {backend} devices, and PaddlePaddle {paddle.__version__} sees {len(seen)}",
            f"check accelerator.profile and count, the node's driver, and that the image's PaddlePaddle is built for {backend}",
        )
    return {"ok": True, "devices": seen}


def failure(reason: str, fix: str) -> Dict[str, Any]:
    return {"ok": False, "reason": reason, "fix": fix}


if __name__ == "__main__":
    print(json.dumps(probe(**json.loads(sys.argv[1]))))
