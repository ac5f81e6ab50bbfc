"""Everything over SSH: a model whose program is a submodule with LFS data, a dataset in LFS, and the result. And a deploy key
that the server does not know.
"""

from __future__ import annotations

from e2e.cases import SHARED, Case, Values
from e2e.fixtures import custom, nested

RESULTS = "ssh-trained"
SECRET, STRANGER = "git-ssh", "git-ssh-stranger"
_TEAM = "ssh://git@gitea.git.svc:2222/team"


def _over_ssh(secret: str) -> Values:
    return {
        "git": {"secretName": secret},
        "model": {"repository": f"{_TEAM}/descend-nested.git", "submodules": True},
        "dataset": {"repository": f"{_TEAM}/points.git"},
        "publish": {"repository": f"{_TEAM}/{RESULTS}.git"},
        "train": {"command": ["python3", "train.py"], "exportCommand": ["python3", "library/descend.py", "report"]},
        # No image knows this user.
        "securityContext": {"runAsUser": 12345, "runAsGroup": 12345, "fsGroup": 12345},
    }


CASE = Case(
    image="custom-minimal",
    sources={
        nested.LIBRARY: nested.library_repository,
        "descend-nested": nested.model_repository,
        "points": custom.dataset_repository,
    },
    results=(RESULTS,),
    runs={"happy": {**_over_ssh(SECRET), "retries": 0}, "stranger": {**_over_ssh(STRANGER), **SHARED}},
    family="custom",
)
