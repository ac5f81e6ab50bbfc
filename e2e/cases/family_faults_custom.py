"""Faults of a user's program, of which the runner knows nothing but its output."""

from __future__ import annotations

from e2e.fixtures import custom
from e2e.fixtures.faults import case, fault

_TOO_FAST = "import descend; descend.RATE = 1e300; descend.train()"

CASE = case(
    "custom",
    "custom-minimal",
    {
        "import": fault("descend.py", "csv"),
        # It writes two lines of JSON in each of its six epochs.
        "last-epoch": fault("descend.py", "json:dumps", after=11),
        "nan": {"train": {"command": ["python3", "-c", _TOO_FAST]}},
        "export": fault("report", "json:loads"),
    },
    dataset=custom.dataset_repository,
    model={"descend": custom.model_repository},
)
