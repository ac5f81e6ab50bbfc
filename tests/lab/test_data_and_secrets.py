"""Data that points at a mounted Secret: refused by its name, before anything reads what is there."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from features import weights
from runner import inside, prepare
from runner.context import Context
from runner.errors import RunnerError
from tests.conftest import rows
from tests.runner.conftest import FILES

from .git_server import TOKEN, Server, git, push

NOT_PUBLISHED = {"type": "none", "modelName": "m", "maxBatchSize": 1}
PAIRS = {"a.jsonl": '{"instruction": "a", "output": "b"}\n' * 3}
YOLO5 = {"weights": "yolov5n.pt", "data": "data.yaml", "arguments": []}
YOLO8 = {"model": "yolov8n.yaml", "data": "data.yaml", "optimizer": "auto", "arguments": [], "exportFormats": []}
PADDLE = {
    "config": "c.yml", "pretrainWeights": "", "options": {}, "evaluate": False, "evalAnnotations": "", "evalImages": "",
    "trainAnnotations": "train.json", "trainImages": "images",
}  # fmt: skip
LLM = {"dataset": "", "stage": "sft", "validationSize": 0, "arguments": {}, "datasetFormat": ""}


@dataclass(frozen=True)
class Data:
    """The files of a dataset (and a model), {secret} being a file of a mounted Secret; a text after -> is a link to it."""

    name: str
    family: str
    dataset: dict[str, str]
    train: dict[str, Any]
    named: str  # what the refusal names
    model: dict[str, str] = field(default_factory=dict)


LINK = "-> {secret}"
HOSTILE = [
    Data("a folder of images", "yolov5", {}, YOLO5, "data.yaml names train,", {"data.yaml": "path: /\ntrain: '{secret}'\nval: '{secret}'\nnames: [a]\n"}),
    Data("a path that climbs", "yolov5", {}, YOLO5, "data.yaml names val,", {"data.yaml": "train: .\nval: ../secret\nnames: [a]\n"}),
    Data("a list of images", "yolov5", {}, YOLO5, "of which entry 2", {"data.yaml": "train: l.txt\nval: l.txt\nnames: [a]\n", "l.txt": "./a.jpg\n{secret}\n"}),
    Data("a list that climbs", "yolov5", {}, YOLO5, "of which entry 1", {"data.yaml": "train: l.txt\nval: l.txt\nnames: [a]\n", "l.txt": "./../secret/x.jpg\n"}),
    Data("a list that is a link", "yolov5", {}, YOLO5, "data.yaml names test,", {"data.yaml": "train: .\nval: .\ntest: l.txt\nnames: [a]\n", "l.txt": LINK}),
    Data("a description that is a link", "yolov5", {}, YOLO5, "train.data: data.yaml leads", {"data.yaml": LINK}),
    Data("a description elsewhere", "yolov5", {}, {**YOLO5, "data": "{secret}"}, "train.data:"),
    Data("a folder of images", "yolov8", {"data.yaml": "train: '{secret}'\nval: '{secret}'\nnames: [a]\n"}, YOLO8, "data.yaml names train,"),
    Data("a list of images", "yolov8", {"data.yaml": "train: l.txt\nval: l.txt\nnames: [a]\n", "l.txt": "{secret}\n"}, YOLO8, "l.txt, of which entry 1"),
    Data("a test set", "yolov8", {"data.yaml": "train: .\nval: .\ntest: '{secret}'\nnames: [a]\n"}, YOLO8, "data.yaml names test,"),
    Data("a description that is a link", "yolov8", {"data.yaml": LINK}, YOLO8, "train.data: data.yaml leads"),
    Data("annotations that are a link", "ppyoloe", {"train.json": LINK, "images/a": ""}, PADDLE, "train.trainAnnotations: train.json leads"),
    Data("a base of the configuration", "ppyoloe", {}, PADDLE, "train.config: ", {"c.yml": "_BASE_: ['base.yml']\n", "base.yml": LINK}),
    Data("an absolute file_name", "llm-sft", {"dataset_info.json": '{"x": {"file_name": "{secret}"}}'}, LLM, "dataset_info.json: x: file_name leads"),
    Data("a file_name that climbs", "llm-sft", {"dataset_info.json": '{"x": {"file_name": "../secret"}}'}, LLM, "dataset_info.json: x: file_name leads"),
    Data("a folder with a link", "llm-sft", {"dataset_info.json": '{"x": {"file_name": "d"}}', "d/a.csv": LINK}, LLM, "a file of x leads"),
    Data("a dataset_info.json that is a link", "llm-sft", {"dataset_info.json": LINK}, LLM, "dataset_info.json leads"),
    Data("metadata that are a link", "llm-sft", {"README.md": LINK, **PAIRS}, LLM, "README.md leads"),
    Data("records that are a link", "llm-sft", {"a.csv": LINK}, LLM, "a.csv leads"),
    Data("a configuration of a folder", "llm-sft", {"README.md": "---\nconfigs:\n- data_files: x.txt\n---\n", "x.txt": LINK}, LLM, "x.txt leads"),
]  # fmt: skip


@pytest.mark.lab
@pytest.mark.parametrize("data", HOSTILE, ids=lambda data: f"{data.family}: {data.name}")
def test_a_path_that_leads_out_of_the_sources_is_refused_without_a_word_of_what_is_there(
    data: Data, tmp_path: Path
) -> None:
    secret = lay_out(tmp_path / "secret", {"token.txt": f"{TOKEN}: [*x\n"}) / "token.txt"
    for name, files in whole(data).items():
        lay_out(tmp_path / name, files, secret)
    train = json.loads(json.dumps(data.train).replace("{secret}", str(secret)))
    done = probe(data.family, tmp_path, train)
    assert "s3cret" not in done.stdout + done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert not answer["ok"], done.stderr
    assert data.named in answer["reason"]
    assert "outside of the run's sources" in answer["reason"]
    assert str(tmp_path / "secret") in answer["reason"]


def probe(family: str, base: Path, train: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """The family's own program, as Family.probe starts it, in an image that has as much of the trainer as it needs to get there."""
    llm = {"datasets.py": "", "safetensors.py": "SafetensorError = ValueError\ndef safe_open(*_, **__): pass\n"}
    lay_out(base / "image", {"ultralytics/__init__.py": "", "ultralytics/cfg/default.yaml": "{}", **llm})
    script = FILES / "families" / family / "probe_dataset.py"
    folders = {name: str(base / name) for name in ("model", "dataset", "scratch")}
    run = {"replicas": 1, "processes": 1}
    argument = {**folders, "train": train, "run": run, "hyperparameters": [], "maxBroken": 0}
    python_path = os.pathsep.join([str(base / "image"), str(FILES)])
    return subprocess.run(
        [sys.executable, str(script), json.dumps(argument)],
        capture_output=True,
        text=True,
        cwd=base,
        check=False,
        env={**os.environ, "PYTHONPATH": python_path},
    )


def probed(family: str, base: Path, train: dict[str, Any]) -> dict[str, Any]:
    done = probe(family, base, train)
    assert done.stdout, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def whole(data: Data) -> dict[str, dict[str, str]]:
    """With what every model of the family has."""
    tools = {"tools/train.py": "", "tools/export_model.py": "", "c.yml": "{}"}
    base = {"config.json": '{"model_type": "x"}', "tokenizer.json": "{}", "tokenizer_config.json": "{}"}
    empty = {"model.safetensors": "\x02" + "\0" * 7 + "{}"}
    models = {"ppyoloe": tools, "llm-sft": {**base, **empty}}
    return {"model": {**models.get(data.family, {"a": ""}), **data.model}, "dataset": data.dataset}


def lay_out(folder: Path, files: dict[str, str], secret: Path | None = None) -> Path:
    folder.mkdir()
    for name, content in files.items():
        path, text = folder / name, content.replace("{secret}", str(secret))
        path.parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            path.symlink_to(text[len("-> ") :])
        else:
            path.write_text(text)
    return folder


CALL = b"cos\nsystem\n(S'touch called'\ntR."
CACHES = {
    "a pickle": CALL,
    "an array of one": b"\x93NUMPY\x01\x00" + (16).to_bytes(2, "little") + b"{'descr': '|O'}\n" + CALL,
    "an array with a long header": b"\x93NUMPY\x02\x00" + (2).to_bytes(4, "little") + b"{}" + CALL,
    "a pickle that breaks off after the call": CALL[:-1],
}


@pytest.mark.parametrize("content", CACHES.values(), ids=CACHES)
@pytest.mark.parametrize("family", rows(["yolov5", "yolov8"], "yolov8"))
def test_a_cache_of_labels_that_would_run_something_is_refused_and_not_run(
    family: str, content: bytes, tmp_path: Path
) -> None:
    description = {"data.yaml": "train: .\nval: .\nnames: [a]\n"}
    where = {"model": description if family == "yolov5" else {"a": ""}, "dataset": {"labels/a.txt": "", **description}}
    for name, files in where.items():
        lay_out(tmp_path / name, files)
    (tmp_path / "dataset" / "labels.cache").write_bytes(content)
    answer = probed(family, tmp_path, YOLO5 if family == "yolov5" else YOLO8)
    assert answer["reason"].endswith("dataset/labels.cache is not a label cache: loading it would call os.system")
    assert not list(tmp_path.rglob("called"))


def test_the_trainer_s_own_caches_of_labels_are_plain(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    cache = {
        "a.jpg": [numpy.zeros((2, 5), dtype="float32"), (640, 480), [numpy.ones((3, 2))]],
        "hash": "x",
        "version": 0.6,
    }
    for protocol in (2, 4, 5):
        (tmp_path / "labels.cache").write_bytes(pickle.dumps(cache, protocol))
        assert weights.find_unknown_call(tmp_path / "labels.cache") == ""
    with (tmp_path / "labels.cache").open("wb") as stream:
        numpy.save(stream, cache)
    assert weights.find_unknown_call(tmp_path / "labels.cache") == ""


@pytest.mark.parametrize("link", ["token.txt", "folder"])
@pytest.mark.parametrize("kind", ["git", "claim"])
@pytest.mark.lab
def test_a_source_with_a_link_to_something_outside_is_refused(
    kind: str, link: str, server: Server, secret: Path, tmp_path: Path, make_context: Callable[..., Context]
) -> None:
    target = secret if link == "folder" else secret / "GIT_TOKEN"
    source = git_with_link(server, tmp_path, link, target) if kind == "git" else claim_with_link(tmp_path, link, target)
    context = make_context({"sources": {"dataset": source}, "publish": NOT_PUBLISHED})
    asked: list[Any] = []
    family: Any = SimpleNamespace(probe=lambda *arguments: asked.append(arguments))
    with pytest.raises(RunnerError) as caught:
        prepare.prepare(context, family, lambda: None)
    assert caught.value.exit.name == "prepare-failed"
    assert caught.value.reason == f"dataset: deep/{link} is a link to {target}, outside of the run's sources"
    assert not asked
    assert TOKEN not in caught.value.reason


def git_with_link(server: Server, tmp_path: Path, name: str, target: Path) -> dict[str, Any]:
    server.repository(f"{tmp_path.name}.git")
    push(server, f"{tmp_path.name}.git", {"deep/a.txt": "a"})
    work = server.folder.parent / "work" / f"{tmp_path.name}.git-main"
    (work / "deep" / name).symlink_to(target)
    git("add", "--all", cwd=work)
    git("commit", "--quiet", "-m", "a link", cwd=work)
    git("push", "--quiet", "origin", "HEAD:refs/heads/main", cwd=work)
    return {"type": "git", "repository": f"{server.url}/{tmp_path.name}.git", "revision": "main", "path": "data"}


def claim_with_link(tmp_path: Path, name: str, target: Path) -> dict[str, Any]:
    mount = tmp_path / "sources" / "dataset"
    (mount / "deep").mkdir(parents=True)
    (mount / "deep" / name).symlink_to(target)
    return {"type": "claim", "claimName": "coco", "path": "data"}


def test_links_inside_the_sources_and_links_that_lead_nowhere_are_no_matter(tmp_path: Path) -> None:
    for name in ("model", "data/a", "data/.git"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data/a/file").write_text("a")
    links = {
        "data/up": "a/file", "data/a/down": "../a/file", "data/a/other": str(tmp_path / "model"), "model/data": "../data",
        "data/nowhere": "/no/such/file", "data/.git/config": "/etc/passwd",
    }  # fmt: skip
    for name, target in links.items():
        (tmp_path / name).symlink_to(target)
    claimed = tmp_path / "claimed"
    claimed.symlink_to(tmp_path / "data")
    sources = inside.Sources(claimed, tmp_path / "model")
    assert [*sources.links_outside(claimed), *sources.links_outside(tmp_path / "model")] == []
    (tmp_path / "data/a/two-steps").symlink_to("out")
    (tmp_path / "data/a/out").symlink_to("/etc/passwd")
    assert [path.name for path in sources.links_outside(claimed)] == ["out", "two-steps"]


@pytest.mark.parametrize(
    ("path", "within"),
    [
        ("data/x.jpg", True),
        ("data/../data/x.jpg", True),
        ("data", True),
        ("data-2/x.jpg", False),
        ("data/../secret", False),
        ("data/..", False),
        ("data/link/x.jpg", False),
        ("/proc/self/root/etc/passwd", False),
    ],
)
def test_a_path_lies_in_the_sources_where_it_really_does(path: str, within: bool, tmp_path: Path) -> None:
    for name in ("data", "data-2", "secret"):
        (tmp_path / name).mkdir()
    (tmp_path / "data/link").symlink_to(tmp_path / "secret")
    assert inside.Sources(tmp_path / "data").contains(tmp_path / path) is within


def test_what_is_wrong_with_a_file_is_told_without_a_piece_of_it() -> None:
    yaml = pytest.importorskip("yaml")
    for reader, text in ((yaml.safe_load, f"{TOKEN}: [\n"), (json.loads, f'{{"a": {TOKEN}'), (int, TOKEN)):
        with pytest.raises(Exception) as caught:  # noqa: PT011 (each reader has its own)
            reader(text)
        assert "s3cret" not in inside.describe_error(caught.value)
