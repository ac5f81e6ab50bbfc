"""A custom program that two releases train in one folder, and one whose git server goes down before it publishes."""

from __future__ import annotations

from e2e.cases import SHARED, Case
from e2e.cases import custom as custom_case

RESULTS = "safety-results"
FOLDER = "one-folder{session}"

_PUBLISH = {"repository": f"https://gitea.git.svc:3000/team/{RESULTS}.git"}
_ONE_FOLDER = {"workspace": {**SHARED["workspace"], "directory": FOLDER}, "publish": _PUBLISH}

CASE = Case(
    image="custom-minimal",
    sources=custom_case.CASE.sources,
    results=(RESULTS,),
    family="custom",
    runs={
        "first": {**_ONE_FOLDER, "env": {"EPOCH_SECONDS": "8"}},
        "second": {**_ONE_FOLDER, "env": {"EPOCH_SECONDS": "1"}},
        "outage": {"publish": _PUBLISH, "env": {"EPOCH_SECONDS": "3"}, "timeLimit": "30m"},
    },
)
