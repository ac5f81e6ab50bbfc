"""Weights are read without running what is pickled in them, and a torn file is told from a whole one."""

from __future__ import annotations

import ast
import copy
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features import torchfiles, weights

from . import torchfile
from .conftest import FILES
from .torchfile import Call, Name

FAMILIES = FILES / "families"
MODEL = Name("ultralytics.nn.tasks", "DetectionModel")


def bombs(mark: Path) -> dict[str, bytes]:
    """Pickles that make the file `mark` when they are unpickled, by every way in which a pickle calls something."""
    command = f"touch {mark}"

    class Reduced:
        def __reduce__(self) -> Any:
            return os.system, (command,)

    hidden = {"epoch": 1, "optimizer": {}, "train_args": {"epochs": 3}, "last_epoch": 1, "x": Reduced()}
    word = command.encode()
    return {
        "reduce": pickle.dumps(hidden, protocol=2),
        "stack global": pickle.dumps(hidden, protocol=4),
        "inst": b"(S'" + word + b"'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nS'" + word + b"'\no.",
        "eval": b"cbuiltins\neval\n(S\"__import__('os').system('" + word + b"')\"\ntR.",
        "attribute": b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93cos\nsystem\n\x8c\x08__call__\x86R\x8c"
        + bytes([len(word)])
        + word
        + b"\x85R.",
    }


BOMBS = ("reduce", "stack global", "inst", "obj", "eval", "attribute")


def load(path: Path, environment: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-c", "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))", str(path)],
        env=environment,
        check=False,
        capture_output=True,
    )


def checkpoint_of_yolov5(folder: Path, bomb: bytes) -> tuple[str, dict[str, Any]]:
    torchfile.write(folder / "last.pt", bomb)
    return "yolov5/probe_checkpoint.py", {"path": str(folder / "last.pt"), "train": {"epochs": 3}}


def checkpoint_of_yolov8(folder: Path, bomb: bytes) -> tuple[str, dict[str, Any]]:
    torchfile.write(folder / "last.pt", bomb)
    return "yolov8/probe_checkpoint.py", {"path": str(folder / "last.pt"), "train": {"epochs": 3}}


def snapshot_of_ppyoloe(folder: Path, bomb: bytes) -> tuple[str, dict[str, Any]]:
    for suffix in (".pdparams", ".pdopt"):
        (folder / f"1{suffix}").write_bytes(bomb)
    return "ppyoloe/probe_checkpoint.py", {"path": str(folder / "1.pdopt"), "train": {"epochs": 3}}


def checkpoint_of_llm_sft(folder: Path, bomb: bytes) -> tuple[str, dict[str, Any]]:
    (folder / "trainer_state.json").write_text('{"global_step": 1, "max_steps": 2, "epoch": 1.0}')
    (folder / "model.safetensors").touch()
    (folder / "latest").write_text("step1")
    (folder / "step1").mkdir()
    torchfile.write(folder / "step1" / "rank_0_optim_states.pt", bomb)
    torchfile.write(folder / "scheduler.pt", bomb)
    return "llm-sft/probe_checkpoint.py", {"path": str(folder), "train": {}}


LIBRARIES = {  # what a probe imports; whoever unpickles here is caught by the mark
    "torch.py": "import pickle\ndef load(path, **_):\n    return pickle.load(open(path, 'rb'))\n",
    "paddle.py": "import pickle\ndef load(path, **_):\n    return pickle.load(open(path, 'rb'))\n",
    "safetensors.py": """
from contextlib import contextmanager
from types import SimpleNamespace
@contextmanager
def safe_open(path, framework):
    yield SimpleNamespace(keys=list)
""",
}


@pytest.mark.lab
@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize(
    "lay",
    [checkpoint_of_yolov5, checkpoint_of_yolov8, snapshot_of_ppyoloe, checkpoint_of_llm_sft],
    ids=lambda it: it.__name__,
)
def test_no_probe_runs_what_is_pickled_in_a_checkpoint(
    lay: Callable[[Path, bytes], tuple[str, dict[str, Any]]], bomb: str, tmp_path: Path
) -> None:
    mark, libraries = tmp_path / "mark", tmp_path / "libraries"
    libraries.mkdir()
    for name, text in LIBRARIES.items():
        (libraries / name).write_text(text)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([str(libraries), str(FILES)])}
    program = bombs(mark)[bomb]
    (tmp_path / "bomb.pkl").write_bytes(program)
    load(tmp_path / "bomb.pkl", environment)
    assert mark.exists(), "this bomb does not explode at all"
    mark.unlink()
    (tmp_path / "run").mkdir()
    script, argument = lay(tmp_path / "run", program)
    command = [sys.executable, str(FAMILIES / script), json.dumps(argument)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    answer = json.loads(done.stdout.splitlines()[-1])
    assert not mark.exists(), f"{script} ran it: {answer}"
    assert answer["ok"] is (bomb in ("reduce", "stack global") or "llm" in script), answer


def test_nothing_in_the_pod_unpickles() -> None:
    """But for features/weights, and what libraries do when the trainer itself calls them."""
    loaders = {"torch", "paddle", "pickle", "joblib", "dill", "cloudpickle", "numpy", "np", "marshal", "shelve"}
    found = []
    for path in sorted(FILES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                owner = node.func.value
                if isinstance(owner, ast.Name) and owner.id in loaders and node.func.attr in ("load", "loads", "open"):
                    found.append(f"{path.relative_to(FILES)}:{node.lineno}")
    assert found == []


def test_the_plain_data_of_a_checkpoint_comes_out(tmp_path: Path) -> None:
    number = Call(
        Name("numpy._core.multiarray", "scalar"),
        (Call(Name("numpy", "dtype"), ("f8", False, True)), Call(Name("_codecs", "encode"), (struct.pack("<d", 0.25).decode("latin1"), "latin1"))),
    )  # fmt: skip
    state = {
        "epoch": 4, "fitness": number, "train_args": {"epochs": 9, "project": Call(Name("pathlib", "PosixPath"), ("/", "workspace"))},
        "ema": Call(MODEL, (), {"task": "detect", "weight": tensor_of(b"\0" * 16)}), "names": ["a", "b"], "none": None,
    }  # fmt: skip
    found = torchfiles.read_torch(torchfile.save(tmp_path / "last.pt", state))
    assert (found["epoch"], found["fitness"], found["names"], found["none"]) == (4, 0.25, ["a", "b"], None)
    assert found["train_args"]["epochs"] == 9
    assert (found["ema"].name, found["ema"]["task"]) == ("ultralytics.nn.tasks.DetectionModel", "detect")


def tensor_of(data: bytes) -> Call:
    return torchfile.tensor("0", data)


def whole(path: Path) -> Path:
    return torchfile.save(path, {"epoch": 1, "model": torchfile.tensor("0", bytes(range(256)) * 16)})


def test_every_cut_of_a_checkpoint_is_seen(tmp_path: Path) -> None:
    data = whole(tmp_path / "last.pt").read_bytes()
    for length in range(0, len(data), 61):
        (tmp_path / "cut.pt").write_bytes(data[:length])
        with pytest.raises(weights.WeightsError):
            torchfiles.read_torch(tmp_path / "cut.pt")


def test_a_hole_in_a_checkpoint_is_seen(tmp_path: Path) -> None:
    """A lost node leaves files of full length with blocks of zeros."""
    data = bytearray(whole(tmp_path / "last.pt").read_bytes())
    start = data.index(bytes(range(256)))
    data[start + 512 : start + 1024] = bytes(512)
    (tmp_path / "last.pt").write_bytes(data)
    with pytest.raises(weights.WeightsError, match="archive/data/0 in it is damaged"):
        torchfiles.read_torch(tmp_path / "last.pt")
    assert torchfiles.read_torch(tmp_path / "last.pt", contents=False)["epoch"] == 1


@pytest.mark.parametrize(
    ("storages", "words"),
    [({}, "storage 0 is missing"), ({"0": b"1234"}, "storage 0 is missing or has the wrong length")],
)
def test_a_checkpoint_without_its_tensors_is_none(storages: dict[str, bytes], words: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(whole(tmp_path / "last.pt")) as archive:
        program = archive.read("archive/data.pkl")
    torchfile.write(tmp_path / "last.pt", program, storages)
    with pytest.raises(weights.WeightsError, match=words):
        torchfiles.read_torch(tmp_path / "last.pt", contents=False)


def test_an_archive_that_unpacks_to_more_than_it_is_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "last.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"epoch": 1}))
        archive.writestr("archive/data/0", bytes(1 << 24))
    with pytest.raises(weights.WeightsError, match="is compressed"):
        torchfiles.read_torch(tmp_path / "last.pt")


def test_an_archive_whose_parts_overlap_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"epoch": 1}))
        archive.writestr("archive/data/0", bytes(4096))
        for number in range(1, 20):
            entry = copy.copy(archive.getinfo("archive/data/0"))
            entry.filename = entry.orig_filename = f"archive/data/{number}"
            archive.filelist.append(entry)
            archive.NameToInfo[entry.filename] = entry
    with pytest.raises(weights.WeightsError, match="overlap"):
        torchfiles.read_torch(path)


@pytest.mark.parametrize(
    "program",
    [b"", b".", b"I1\n", b"\x80\x09.", b"cos\nsystem\n", b"(l0.", b"N(NtR.", b"Nb.", b"}NNs", b"\x82\x01.", b"P1\n.", b"J.", b"\x8d" + b"\xff" * 8],
)  # fmt: skip
def test_a_pickle_that_is_none_is_an_error_of_one_line(program: bytes, tmp_path: Path) -> None:
    torchfile.write(tmp_path / "last.pt", program)
    (tmp_path / "1.pdopt").write_bytes(program)
    for read, name in ((torchfiles.read_torch, "last.pt"), (weights.read_pickle, "1.pdopt")):
        with pytest.raises(weights.WeightsError) as caught:
            read(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"model": Call(MODEL, (), {"weight": tensor_of(b"\0" * 4)})}, ""),
        ({"model": None, "ema": Call(MODEL, (), {"args": {"task": "detect"}})}, ""),
        ({"model": Call(Name("ultralytics.nn.tasks", "SegmentationModel"), (), {"nc": 2})}, "is for the task segment"),
        ({"model": Call(MODEL, (), {"task": "pose"})}, "is for the task pose"),
        ({"model": Call(Name("models.yolo", "DetectionModel"), (), {"nc": 2})}, "it has a models.yolo.DetectionModel"),
        ({"state_dict": {}}, "it has no model"),
        ([], "it has no model"),
    ],
)  # fmt: skip
def test_the_weights_that_a_run_of_yolov8_starts_from_are_known_by_their_class(
    state: Any, words: str, tmp_path: Path
) -> None:
    torchfile.save(tmp_path / "yolov8n.pt", state)
    (tmp_path / "ultralytics.py").write_text("def YOLO(model): raise SystemExit('it unpickles')\n")
    script = "import probe_dataset as it, sys\ntry: it.load(sys.argv[1], 'yolov8n.pt')\nexcept it.InputError as error: print(error.reason)"
    python_path = os.pathsep.join([str(tmp_path), str(FAMILIES / "yolov8"), str(FILES)])
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "yolov8n.pt")],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": python_path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert words in done.stdout
    assert bool(words) == bool(done.stdout)
