"""Whether a run's pods reach its sources and the place of its result: asked from inside, as `helm test` does."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from trainchart.checks.finding import Finding, not_checked, ok, problem
from trainchart.checks.run_spec import RunSpec
from trainchart.cluster.errors import ForbiddenError
from trainchart.cluster.fields import Object, items, mapping, text
from trainchart.run import helper_pod
from trainchart.run.events import Event, parse
from trainchart.run.helper_pod import HelperPodError

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

_GOOD = {
    "settings": "the image's Python reads the run's settings",
    "tools": "the image has the tools that the run needs",
    "mounts": "the pod has all that the run reads of Secrets, and the CA bundle",
    "publish": "the result may be published: pushed with LFS objects to its branch, or uploaded to its folder",
}


def check_data(api: Api, spec: RunSpec, notify: Callable[[str], None] = lambda _: None) -> Iterator[Finding]:
    """The findings of a pod that has the run's image, Secrets and claims, and is deleted however it ends.

    Raises:
        UnreachableError
    """
    pod, settings = check_pod(spec)
    try:
        lines = helper_pod.run(api, pod, f"looks at the data of {spec.name}", notify, mounted=[settings], may_fail=True)
    except ForbiddenError as error:
        yield not_checked("data", f"data: {error}")
        return
    except HelperPodError as error:
        yield problem("data", "data", str(error), "correct what it names, and ask again")
        return
    printed = [line.decode("utf-8", "replace") for line in lines]
    found = [event for line in printed if (event := parse(line)) and "item" in event.fields]
    if not found:
        said = " ".join(printed[-3:]) or "it printed nothing"
        yield problem("data", "data", f"data: the runner did not start in image {_image(pod)}: {said}", "check `image`")
    yield from map(_finding, found)


def check_pod(spec: RunSpec, role: str = "data") -> tuple[Object, Object]:
    """The pod of `helm test`, and the ConfigMap that it mounts, under a name that no release has."""
    name = f"{spec.name}-{role}-{secrets.token_hex(3)}"
    pod = copy.deepcopy(spec.check_pod)
    labels = mapping(pod, "metadata", "labels")
    pod["metadata"] = {"name": name, "labels": labels, "annotations": mapping(spec.pod_metadata, "annotations")}
    if not spec.account:
        pod["spec"]["serviceAccountName"] = "default"  # the run's own does not exist yet
    (mounted,) = (volume["configMap"] for volume in items(pod, "spec", "volumes") if volume["name"] == "run")
    (settings,) = (
        copy.deepcopy(made) for made in spec.made("ConfigMap") if made["metadata"]["name"] == mounted["name"]
    )
    mounted["name"], settings["metadata"] = name, {"name": name, "labels": labels}
    return pod, settings


def _finding(event: Event) -> Finding:
    item = event.fields["item"]
    if event.fields.get("ok") == "true":
        commit = event.fields.get("commit", "")
        return ok(item, _GOOD.get(item, f"the run's pods can read {item}{commit and f', now at {commit}'}"))
    return problem("data", item, f"{item}: {event.fields.get('reason', '')}", event.fields.get("fix", ""))


def _image(pod: Object) -> str:
    return text(pod, "spec", "containers", 0, "image")
