"""Kubeflow as far as it needs no SDK; the rest is in tests/kubeflow, and runs with `make lab`."""

from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.chart.accepted import is_accepted
from tests.chart.matrix import ROOT
from tests.tools.pages import yaml_blocks
from trainchart.cli.main import make_parser
from trainchart.cli.outputs import KNOWN
from trainchart.values.parameters import parameters

PIPELINES = sorted((ROOT / "deploy/kubeflow").glob("*.yaml"))
# What a backend, or the SDK, puts in the place of an input.
GIVEN = {"name": "train", "values": "--- # -x\nfamily: yolov8\n", "MODEL_REPO_URL": "https://git.example.com/a b.git"}


def executors(file: Any) -> list[dict[str, Any]]:
    specification, _ = yaml.safe_load_all(file.read_text(encoding="utf-8"))
    return [one["container"] for one in specification["deploymentSpec"]["executors"].values()]


@pytest.mark.parametrize("file", PIPELINES, ids=lambda file: str(file.name))
def test_the_command_line_takes_what_a_compiled_pipeline_starts(file: Any) -> None:
    def replaced(word: str) -> str:
        inputs = re.sub(r"\{\{\$\.inputs\.parameters\['(\w+)'\]\}\}", lambda found: GIVEN.get(found[1], "7"), word)
        return re.sub(r"\{\{\$\.outputs\.parameters\['(\w+)'\]\.output_file\}\}", r"/tmp/kfp/outputs/\1/data", inputs)

    for container in executors(file):
        options = make_parser().parse_args([replaced(word) for word in container["args"]])
        assert container["command"] == ["trainchart"]
        assert options.values_text == GIVEN["values"]
        if options.command == "submit":
            assert (options.generate_name, options.step_id) == ("train-", "7/7/7")
            assert (options.logs, options.on_signal) == (True, "stop")
            assert {what for what, _ in options.outputs} <= set(KNOWN)
            names = {one.partition("=")[0] for one in [*options.parameters, *options.required]}
            assert names <= {parameter.name for parameter in parameters("yolov8")}


def test_the_values_of_the_page_are_accepted_with_their_search() -> None:
    (values,) = yaml_blocks("kubeflow.md")
    assert is_accepted(values)
    search = {"trials": 1, "metric": "metrics/mAP50-95(B)", "space": {"lr0": {"low": 1e-5, "high": 1e-1}}}
    assert is_accepted({**values, "tune": search, "train": {"model": "best.pt", "optimizer": "SGD"}})


@pytest.mark.parametrize(
    ("version", "says"), [("", "halted"), ("1.8.22", "kubernetes"), ("2.7.0", "this is kfp 2.7.0")]
)
def test_without_its_sdk_or_with_an_older_one_the_fix_is_named(
    version: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sdk = ModuleType("kfp")
    vars(sdk).update(__version__=version, __path__=[], dsl=ModuleType("kfp.dsl"))
    if not version.startswith("1."):
        vars(sdk).update(kubernetes=ModuleType("kfp.kubernetes"))
    monkeypatch.setitem(sys.modules, "kfp", sdk if version else None)
    for name in [name for name in sys.modules if name.startswith("trainchart.kfp")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match=rf"2\.17 or a later 2.*{says}.*pip install 'trainchart\[kfp\]'"):
        import trainchart.kfp  # noqa: F401
