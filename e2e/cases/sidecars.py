"""Runs into whose pods the webhook of e2e/injector puts containers."""

from __future__ import annotations

from e2e.cases import SHARED, Case, Values
from e2e.fixtures import custom
from e2e.injector import CLASSIC, ENDLESS, LABEL, NATIVE

RESULTS = "sidecars-trained"


def _injected(which: str, **values: object) -> Values:
    publish = {"repository": f"https://gitea.git.svc:3000/team/{RESULTS}.git"}
    return {"sidecars": "allow", "podLabels": {LABEL: which}, "publish": publish, **values}


CASE = Case(
    image="custom-minimal",
    family="custom",
    sources={"descend": custom.model_repository, "points": custom.dataset_repository},
    results=(RESULTS,),
    runs={
        "native": _injected(NATIVE),
        "classic": _injected(CLASSIC, replicas=2),
        "user-error": _injected(CLASSIC, retries=2, train={"command": ["false"]}),
        "killed": _injected(CLASSIC, **SHARED, retries=1, env={"DIE_AFTER": "2"}),
        "endless": _injected(ENDLESS),
    },
)
