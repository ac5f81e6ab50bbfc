"""A device for RDMA among the run's resources: how much memory its programs may lock, which such a device reads and writes.

libibverbs and libfabric's EFA provider only warn of a low limit, as a program that registers little memory works with it.
"""

from __future__ import annotations

import contextlib
import resource

from runner import log


def check() -> None:
    """Raise the limit as far as the pod may, and log a warning if that is not unlimited."""
    _, most = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (most, most))
    if most != resource.RLIM_INFINITY:
        log.event(
            "warning",
            reason=f"the pod may lock {most >> 10} KiB of memory, and its resources have a device for RDMA, which needs more: "
            "NCCL then fails with `ibv_reg_mr failed: Cannot allocate memory`",
            fix="let an administrator set LimitMEMLOCK=infinity for the container runtime of the nodes (trainchart docs pods)",
        )
