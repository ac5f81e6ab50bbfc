"""The device probe that all families on PyTorch share, on a PyTorch that has what the test says."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features import rdma
from runner import verify
from runner.context import Context

from .conftest import FILES, fake_family

PROBE = FILES / "features/pytorch/probe_device.py"
TORCH = """
import os
import resource
class cuda:
    is_available = staticmethod(lambda: True)
    device_count = staticmethod(lambda: int(os.environ["DEVICES"]))
    get_device_name = staticmethod(lambda index: f"card {index}")
    mem_get_info = staticmethod(lambda index: (2 << 30, 4 << 30))
__version__ = "2.6"
class ones:
    def __init__(self, *shape, device):
        if os.environ.get("BROKEN"):
            raise RuntimeError("no kernel image is available\\nsecond line")
    square = sum = lambda self: self
    item = lambda self: 64.0
"""


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    (tmp_path / "torch.py").write_text(TORCH)
    (tmp_path / "trainer.py").touch()

    def go(devices: int = 0, broken: str = "", **argument: Any) -> dict[str, Any]:
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "DEVICES": str(devices), "BROKEN": broken}
        command = [sys.executable, str(PROBE), json.dumps(argument)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    return go


def test_the_devices_are_named_with_their_free_memory(ask: Callable[..., dict[str, Any]]) -> None:
    assert ask(backend="cpu", count=0) == {"ok": True, "devices": ["cpu"]}
    found = ask(devices=2, backend="cuda", count=2, libraries=["trainer"])
    assert found == {"ok": True, "devices": ["card 0, 2048 MiB free", "card 1, 2048 MiB free"]}


@pytest.mark.parametrize("backend", ["cuda", "npu"])
def test_fewer_devices_than_asked_for_are_a_failure(ask: Callable[..., dict[str, Any]], backend: str) -> None:
    answer = ask(devices=0, backend=backend, count=1)
    assert answer["ok"] is False
    assert answer["reason"] == f"the run requests 1 {backend} devices, and PyTorch 2.6 sees 0"


def test_a_device_that_does_not_compute_is_a_failure(ask: Callable[..., dict[str, Any]]) -> None:
    answer = ask(devices=1, broken="1", backend="cuda", count=1)
    assert answer["reason"] == "PyTorch 2.6 sees card 0, but cannot compute on it: no kernel image is available"


def test_libraries_that_the_image_lacks_are_all_named(ask: Callable[..., dict[str, Any]]) -> None:
    answer = ask(backend="cpu", count=0, libraries=["trainer", "no_such", "nor_this"])
    assert answer["reason"] == "the image lacks no_such, nor_this"


def test_verify_asks_with_the_family_s_libraries(make_context: Callable[..., Context]) -> None:
    asked: list[Any] = []

    def probe(*question: Any) -> dict[str, Any]:
        asked.append(question)
        return {}

    context = make_context({"run.family.libraries": ["trainer"], "publish.type": "none"})
    verify.verify(context, fake_family(probe))
    (question,) = asked
    assert question == ("device", {"backend": "cpu", "count": 0, "libraries": ["trainer"]}, "verify-failed")


# -- memory that a device for RDMA may read and write


def test_the_limit_of_locked_memory_is_raised_as_far_as_it_may_be_and_a_low_one_is_told() -> None:
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 1048576)); from features import rdma; "
        "rdma.check(); print(resource.getrlimit(resource.RLIMIT_MEMLOCK))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    warning, limits = said.splitlines()
    assert limits == "(1048576, 1048576)"
    assert "event=warning" in warning
    assert "the pod may lock 1024 KiB of memory" in warning
    assert "LimitMEMLOCK=infinity" in warning


def test_nothing_is_said_where_all_memory_may_be_locked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (65536, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: set_to.append(limits))
    rdma.check()
    assert (set_to, capsys.readouterr().out) == ([(resource.RLIM_INFINITY, resource.RLIM_INFINITY)], "")
