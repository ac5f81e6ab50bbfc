"""A custom program: two pods that find each other by their environment, one that dies, and an image without Python."""

from __future__ import annotations

from e2e.cases import SHARED, Case
from e2e.fixtures import custom

RESULTS = "custom-trained"
EPOCHS = 6
DIES_AFTER = 2
ORPHANS = 200

_LEAVES_ORPHANS = f"""
import os, pathlib, subprocess, time
for _ in range({ORPHANS}):
    subprocess.run(["sh", "-c", "(setsid true &)"], check=True)
subprocess.run(["sh", "-c", "setsid sleep 3600 &"], check=True)
print("left {ORPHANS} orphans and a daemon", flush=True)
time.sleep(20)
"""
# What is published, unless the daemon is still there.
_LOOKS_FOR_THE_DAEMON = """
import os, pathlib
left = [path for path in pathlib.Path("/proc").glob("[0-9]*/cmdline") if path.read_bytes() == b"sleep\\0003600\\0"]
assert not left, left
pathlib.Path(os.environ["ARTIFACTS_DIR"], "none").write_text("no daemon is left\\n")
"""

CASE = Case(
    image="custom-minimal",
    sources={"descend": custom.model_repository, "points": custom.dataset_repository},
    results=(RESULTS,),
    runs={
        "happy": {"replicas": 2},
        "killed": {**SHARED, "replicas": 2, "retries": 1, "env": {"DIE_AFTER": str(DIES_AFTER)}},
        # The image that every node of Kubernetes has.
        "no-python": {"image": "registry.k8s.io/pause:3.10.1"},
        # Memory that is written to, for a page that is not costs none.
        "out-of-memory": {
            "retries": 1,
            "train": {"command": ["python3", "-c", "kept = []\nwhile True: kept.append(b'x' * 10_000_000)"]},
            "resources": {"limits": {"memory": "192Mi"}},
        },
        "orphans": {
            "train": {
                "command": ["python3", "-c", _LEAVES_ORPHANS],
                "exportCommand": ["python3", "-c", _LOOKS_FOR_THE_DAEMON],
            },
        },
        # Leaves something to look at, and fails.
        "held": {
            "holdAfterFailure": "15m",
            "train": {"command": ["python3", "-c", "open('/tmp/seen', 'w').write('42'); raise SystemExit('no data')"]},
        },
        "no-program": {"train": {"command": ["torchrun", "descend.py"]}},
    },
)
