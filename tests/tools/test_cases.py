"""What the end-to-end tests are put together from, as far as it needs no cluster."""

from __future__ import annotations

import pytest

from e2e.cases import QUICK, Case, load, named
from e2e.cluster.docker import QUICK_IMAGES
from e2e.cluster.from_source.go_modules import GoModule
from e2e.cluster.from_source.images import ENGINE_IMAGES
from e2e.cluster.from_source.programs import ENGINES, program_key
from e2e.cluster.steps import StepError
from e2e.resume import epochs
from e2e.runs import catalog, value_files
from tests.chart.matrix import FAMILIES, ROOT

LOG = """\
trainchart time=2026-01-01T00:00:00Z event=metrics epoch=1 epochs=3 loss=0.5
epoch=7 event=metrics says a trainer
trainchart time=2026-01-01T00:00:01Z event=checkpoint epoch=1
trainchart time=2026-01-01T00:00:02Z event=metrics epoch=2 epochs=3 loss=0.4
"""


def test_the_epochs_of_a_log_are_those_whose_metrics_the_runner_logged() -> None:
    assert epochs(LOG) == [1, 2]


def test_the_quick_set_comes_first_and_needs_no_image_that_is_not_loaded_at_once() -> None:
    cases = load()
    assert tuple(cases)[: len(QUICK)] == QUICK
    assert {cases[name].image for name in QUICK} <= set(QUICK_IMAGES)


@pytest.mark.parametrize("case", load())
def test_every_case_has_an_image_that_can_be_built(case: str) -> None:
    assert load([case])[case].image_name


def test_the_runs_of_a_slow_case_have_its_name_before_theirs() -> None:
    cases = {"yolov5": Case("x", runs={"happy": {}}), "slow": Case("x", runs={"happy": {}}, family="yolov5")}
    assert {name: (run.case, run.family) for name, run in catalog(cases).items()} == {
        "happy": ("yolov5", "yolov5"),
        "slow-happy": ("slow", "yolov5"),
    }


def test_a_session_names_its_own_branches_at_any_depth() -> None:
    given = {"publish": {"branch": "gang{session}"}, "train": {"arguments": ["{session}", "{other}"], "epochs": 2}}
    assert named(given, "-e2e1") == {
        "publish": {"branch": "gang-e2e1"},
        "train": {"arguments": ["-e2e1", "{other}"], "epochs": 2},
    }


@pytest.mark.parametrize("family", [*FAMILIES, "allreduce"])
def test_every_values_file_of_a_run_is_there(family: str) -> None:
    assert all((ROOT / file).is_file() for file in value_files(family))


def test_a_case_or_an_image_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(LookupError, match=r"no case yolov9 .*yolov5"):
        load(["yolov9"])
    with pytest.raises(StepError, match="no training image 'train-gpu'"):
        _ = Case("train-gpu").image_name


def test_a_program_is_built_again_when_a_link_of_its_module_changes() -> None:
    keys = {
        GoModule("", "m", "v1", {"p": "."}, links=links).key("p") for links in ({}, {"a": "b"}, {"b": "a"}, {"a": "c"})
    }
    assert len(keys) == 4


def test_every_program_of_an_engine_has_an_image_of_a_user_that_is_not_root() -> None:
    for engine, images in ENGINE_IMAGES.items():
        programs = [program for image in images for program in image.programs]
        assert programs == list(ENGINES[engine].programs)
        assert all(program_key(name) for name in programs)
        assert all(any(line.startswith("USER ") for line in image.lines) for image in images)
