"""Every cell of family x accelerator x workspace x replicas: its stated outcome, and what must hold for all that is admitted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import pytest

from hack.generate.schema import schema
from tests.chart.matrix import ADMITTED, CELLS, REFUSED, Cell, for_each, groups, sampled
from tests.chart.schemas import check_object
from tests.conftest import RENDERED
from trainchart.chart.render import Manifest, manifests_of, render, render_text
from trainchart.errors import RenderError

SHAPE = jsonschema_rs.Draft202012Validator(schema())


@dataclass(frozen=True)
class Admitted:
    """A cell that the chart admits, and its objects. No test changes them."""

    cell: Cell
    texts: dict[str, str]
    manifests: list[Manifest]

    def __str__(self) -> str:
        return str(self.cell)

    def of_kind(self, kind: str) -> Manifest:
        (found,) = [manifest for manifest in self.manifests if manifest["kind"] == kind]
        return found

    def pods(self) -> list[dict[str, Any]]:
        """The pod specs: the gang's template, and the check of `helm test`."""
        return [self.of_kind("Job")["spec"]["tasks"][0]["template"]["spec"], self.of_kind("Pod")["spec"]]


@pytest.fixture(scope="module", params=groups(ADMITTED))
def admitted(request: pytest.FixtureRequest) -> list[Admitted]:
    """Of the whole module, so that pytest runs all tests of a group in a row, and each cell is rendered once."""
    found = []
    for cell in request.param:
        try:
            texts = render_text(cell.values)
        except RenderError as error:
            raise AssertionError(f"{cell} is refused") from error
        found.append(Admitted(cell, texts, manifests_of(texts)))
    return found


def of_every_admitted_cell(check: Callable[[Admitted], None]) -> Callable[[list[Admitted]], None]:
    def test(admitted: list[Admitted]) -> None:
        for_each(admitted, check)

    return test


@pytest.mark.parametrize("cells", groups(CELLS))
def test_the_values_of_a_cell_have_the_right_shape(cells: list[Cell]) -> None:
    for_each(cells, lambda cell: SHAPE.validate(cell.values))


@pytest.mark.parametrize("cells", groups(REFUSED))
def test_a_refused_cell_is_refused_for_exactly_the_stated_keys(cells: list[Cell]) -> None:
    def check(cell: Cell) -> None:
        with pytest.raises(RenderError) as refusal:
            render(cell.values)
        assert re.findall(r"^  - ([\w.]+):", str(refusal.value), flags=re.MULTILINE) == cell.refusals

    for_each(cells, check)


@of_every_admitted_cell
def test_an_admitted_cell_renders_objects_that_the_published_schemas_allow(admitted: Admitted) -> None:
    for manifest in admitted.manifests:
        check_object(manifest)


@pytest.mark.lab
@of_every_admitted_cell
def test_a_cell_renders_the_same_bytes_twice_and_leaves_no_template_behind(admitted: Admitted) -> None:
    RENDERED.clear()
    assert render_text(admitted.cell.values) == admitted.texts
    for path, text in admitted.texts.items():
        assert "{{" not in text or path == "configmap.yaml", path
        assert "<no value>" not in text, path
        assert "%!" not in text, path


@of_every_admitted_cell
def test_the_whole_gang_starts_or_nothing_does(admitted: Admitted) -> None:
    spec = admitted.of_kind("Job")["spec"]
    (task,) = spec["tasks"]
    assert spec["minAvailable"] == task["minAvailable"] == task["replicas"] == admitted.cell.replicas


@of_every_admitted_cell
def test_every_mount_has_its_volume_and_every_volume_a_mount(admitted: Admitted) -> None:
    for pod in admitted.pods():
        volumes = [volume["name"] for volume in pod["volumes"]]
        (container,) = pod["containers"]
        mounts = container["volumeMounts"]
        assert sorted(volumes) == sorted(mount["name"] for mount in mounts)
        assert no_repeats(volumes)
        assert no_repeats(mount["mountPath"] for mount in mounts)
        assert no_repeats(variable["name"] for variable in container["env"])


@of_every_admitted_cell
def test_every_file_of_the_run_is_a_key_of_its_config_map(admitted: Admitted) -> None:
    run = admitted.of_kind("ConfigMap")
    assert run["immutable"] is True
    for pod in admitted.pods():
        (volume,) = [volume["configMap"] for volume in pod["volumes"] if volume["name"] == "run"]
        assert volume["name"] == run["metadata"]["name"]
        assert sorted(item["key"] for item in volume["items"]) == sorted(run["data"])


@of_every_admitted_cell
def test_every_pod_keeps_to_pod_security_restricted_and_has_no_token(admitted: Admitted) -> None:
    for pod in admitted.pods():
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.keys()
        assert {kind for volume in pod["volumes"] for kind in volume} <= {
            "name", "configMap", "emptyDir", "ephemeral", "persistentVolumeClaim", "secret",
        }  # fmt: skip
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@of_every_admitted_cell
def test_accelerators_are_asked_for_in_limits_alone_and_in_integers(admitted: Admitted) -> None:
    (container,) = admitted.of_kind("Job")["spec"]["tasks"][0]["template"]["spec"]["containers"]
    resources = container.get("resources", {})
    extended = {name: amount for name, amount in resources.get("limits", {}).items() if "/" in name}
    by_name = admitted.cell.data["resources"] and not admitted.cell.data.get("deviceClass")
    assert bool(extended) == bool(by_name)
    assert all(re.fullmatch(r"[1-9][0-9]*", amount) for amount in extended.values())
    assert not [name for name in resources.get("requests", {}) if "/" in name]


@of_every_admitted_cell
def test_all_objects_carry_the_release_in_name_and_labels(admitted: Admitted) -> None:
    for manifest in admitted.manifests:
        metadata = manifest["metadata"]
        assert metadata["name"].startswith("run-42")
        assert metadata["labels"]["app.kubernetes.io/instance"] == "run-42"
        assert "namespace" not in metadata


def no_repeats(items: Any) -> bool:
    return max(Counter(items).values()) == 1


def test_a_cell_that_fails_is_named_and_so_are_all_others_that_do() -> None:
    def check(number: int) -> None:
        assert number % 2, "even"

    with pytest.raises(AssertionError, match=r"^fails for 2, 4$") as failure:
        for_each([1, 2, 3, 4], check)
    assert "even" in str(failure.value.__cause__)


def test_a_cell_that_is_not_refused_is_named_too() -> None:
    def check(_: str) -> None:
        with pytest.raises(RenderError):
            pass

    with pytest.raises(AssertionError, match=r"^fails for a, b$"):
        for_each("ab", check)


@pytest.mark.parametrize("cells", [ADMITTED, REFUSED, CELLS], ids=["admitted", "refused", "all"])
def test_a_sample_has_all_meetings_of_two_values_and_the_groups_have_every_cell_once(cells: list[Cell]) -> None:
    sample = sampled(cells)
    assert meetings(sample) == meetings(cells)
    assert len(cells) / 20 < len(sample) < len(cells) / 3
    grouped = [cell for group in groups(cells) for cell in group.values[0]]
    assert sorted(map(str, grouped)) == sorted(map(str, cells))


def meetings(cells: list[Cell]) -> set[Any]:
    rows = [(cell.family, cell.profile, cell.workspace, cell.replicas) for cell in cells]
    return {(one, other, row[one], row[other]) for row in rows for one in range(4) for other in range(one)}


def test_every_cell_is_admitted_or_refused() -> None:
    assert len(CELLS) == len(ADMITTED) + len(REFUSED) > 1000
