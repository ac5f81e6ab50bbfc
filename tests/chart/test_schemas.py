"""The checks of the matrix can fail: a field that nobody knows, and a value of the wrong type, are found."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest

from tests.chart.matrix import ADMITTED
from tests.chart.schemas import check_object
from trainchart.chart.render import Manifest, render

BREAKS: dict[str, Callable[[Manifest], object]] = {
    "an unknown field of the Job": lambda job: job["spec"].update(minAvailble=1),
    "an unknown field of a task": lambda job: job["spec"]["tasks"][0].update(replica=1),
    "an unknown field of a container": lambda job: pod(job)["containers"][0].update(image_pull_policy="Always"),
    "a number where a text is due": lambda job: pod(job)["containers"][0]["env"].append({"name": "N", "value": 1}),
    "a text where a number is due": lambda job: job["spec"].update(minAvailable="all"),
}


@pytest.mark.parametrize("change", BREAKS.values(), ids=BREAKS)
def test_a_broken_job_is_found(change: Callable[[Manifest], object]) -> None:
    (job,) = [manifest for manifest in render(ADMITTED[0].values) if manifest["kind"] == "Job"]
    broken = deepcopy(job)
    change(broken)
    check_object(job)
    with pytest.raises(Exception, match=r"(?i)additional properties|unexpected|is not of type|not valid"):
        check_object(broken)


def pod(job: Manifest) -> Manifest:
    spec: Manifest = job["spec"]["tasks"][0]["template"]["spec"]
    return spec
