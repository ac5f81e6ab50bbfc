"""`trainchart try` and `check-data` with the trainers themselves, in a container of their images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.fixtures import llm, ppyoloe, yolov5, yolov8
from tests.chart.matrix import ROOT
from trainchart.cli import main as cli

from .trainer import image_of

pytestmark = pytest.mark.differential
SOURCES: dict[str, tuple[Callable[[str], Path] | None, Callable[[str], Path]]] = {
    "llm-sft": (llm.model_repository, llm.dataset_repository),
    "ppyoloe": (ppyoloe.model_repository, ppyoloe.dataset_repository),
    "yolov5": (yolov5.model_repository, yolov5.dataset_repository),
    "yolov8": (None, yolov8.dataset_repository),
}
"""The model and dataset repositories of the end-to-end tests."""


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINCHART_CACHE", str(tmp_path / "cache"))


def options(family: str) -> list[str]:
    model = SOURCES[family][0]
    values = [str(ROOT / folder / f"{family}.yaml") for folder in ("values", "e2e/values")]
    return ["-f", values[0], "-f", values[1], *(["--model", str(model(image_of(family)))] if model else [])]


def dataset(family: str, folder: Path) -> Path:
    """A copy of a dataset, without its repository."""
    return Path(shutil.copytree(SOURCES[family][1](image_of(family)), folder, ignore=shutil.ignore_patterns(".git")))


def listing(folder: Path) -> list[tuple[str, int, int]]:
    return sorted((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*"))


@pytest.mark.parametrize("family", SOURCES)
def test_a_run_is_tried_to_its_export(family: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = dataset(family, tmp_path / "data")
    before = listing(data)
    code = cli.main(["try", *options(family), "--data", str(data), "--keep", str(tmp_path / "kept")])
    said = capfd.readouterr()
    assert code == 0, said.out[-2000:]
    result = json.loads((tmp_path / "kept" / "result.json").read_text())
    assert result["metrics"]["epochs"] == 1
    for file in result["files"]:
        assert (tmp_path / "kept" / "artifacts" / file["path"]).stat().st_size == file["bytes"]
    assert listing(data) == before
    assert not list((tmp_path / "cache" / "local").iterdir())
    print(said.out[said.out.rindex("completed after") :])


def test_a_try_checks_all_images_and_trains_on_few(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = dataset("ppyoloe", tmp_path / "data")
    annotations = data / "annotations" / "train.json"
    content = json.loads(annotations.read_text())
    for image in list(content["images"]):
        file = next(path for path in data.rglob(image["file_name"]) if "train" in path.parts)
        shutil.copy(file, file.with_name(f"copy-{file.name}"))
        content["images"].append({**image, "id": image["id"] + 100, "file_name": f"copy-{image['file_name']}"})
    boxes = [{**one, "id": one["id"] + 1000, "image_id": one["image_id"] + 100} for one in content["annotations"]]
    content["annotations"] += boxes
    annotations.write_text(json.dumps(content))
    code = cli.main(["try", *options("ppyoloe"), "--data", str(data)])
    said = capfd.readouterr()
    assert code == 0, said.out[-2000:]
    assert "part=train used=16 total=16 unit=images" in said.out
    assert "part=train used=8 total=8 unit=images" in said.out
    assert "uses all 16 images of train" in said.out


def yolo(folder: Path, *, label: str = "0 0.5 0.5 0.2 0.2\n", description: str = "") -> None:
    (folder / "labels" / "train" / "00.txt").write_text(label)
    if description:
        for old in folder.glob("*.yaml"):
            old.unlink()
        (folder / "data.yaml").write_text(description)


def records(folder: Path, name: str, content: str) -> None:
    (folder / "identity.jsonl").unlink()
    (folder / name).write_text(content)


def annotated(folder: Path, change: Callable[[dict[str, list[dict[str, object]]]], object]) -> None:
    file = folder / "annotations" / "train.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
ALPACA = '{"instruction": "Who are you?", "input": "", "output": "I am small."}'
SHAREGPT = '{"conversations": [{"from": "human", "value": "Who?"}, {"from": "gpt", "value": "I am small."}]}'
FOLDERS: dict[str, tuple[str, Callable[[Path], object], int, str]] = {
    # what it is: family, what is changed, exit code, words
    "yolov5, as it is": ("yolov5", lambda _: None, 0, "ok: "),
    "yolov5, an image without objects": ("yolov5", lambda folder: yolo(folder, label=""), 0, "ok: "),
    "yolov5, a class that is not described": ("yolov5", lambda folder: yolo(folder, label="9 0.5 0.5 0.2 0.2\n"), 30, "class 9"),
    "yolov5, pixels for shares": ("yolov5", lambda folder: yolo(folder, label="0 64 64 20 20\n"), 30, "coordinates"),
    "yolov5, no images": ("yolov5", lambda folder: shutil.rmtree(folder / "images"), 30, "images"),
    "yolov5, an LFS pointer": ("yolov5", lambda folder: (folder / "images/train/00.jpg").write_text(POINTER), 30, "git lfs pull"),
    "yolov8, as it is": ("yolov8", lambda _: None, 0, "ok: "),
    "yolov8, names in a list": ("yolov8", lambda folder: yolo(folder, description="train: images/train\nval: images/val\nnames: [a, b]\n"), 0, "ok: "),
    "yolov8, no description": ("yolov8", lambda folder: (folder / "data.yaml").unlink(), 30, "data.yaml"),
    "yolov8, a folder that does not exist": ("yolov8", lambda folder: yolo(folder, description="train: images/none\nval: images/val\nnames: [a, b]\n"), 30, "images/none"),
    "yolov8, text in a label": ("yolov8", lambda folder: yolo(folder, label="circle 0.5 0.5 0.2 0.2\n"), 30, "00.jpg"),
    "yolov8, a text called .jpg": ("yolov8", lambda folder: (folder / "images/train/00.jpg").write_text("no image"), 30, "00.jpg"),
    "ppyoloe, as it is": ("ppyoloe", lambda _: None, 0, "ok: "),
    "ppyoloe, a crowd": ("ppyoloe", lambda folder: annotated(folder, lambda all_: all_["annotations"][0].update(iscrowd=1)), 0, "ok: "),
    "ppyoloe, no annotations": ("ppyoloe", lambda folder: shutil.rmtree(folder / "annotations"), 30, "train.json"),
    "ppyoloe, annotations that are no JSON": ("ppyoloe", lambda folder: (folder / "annotations/train.json").write_text("{"), 30, "train.json"),
    "llm-sft, as it is": ("llm-sft", lambda _: None, 0, "ok: "),
    "llm-sft, one JSON array": ("llm-sft", lambda folder: records(folder, "identity.json", f"[{ALPACA}, {ALPACA}]"), 0, "ok: "),
    "llm-sft, conversations": ("llm-sft", lambda folder: records(folder, "identity.jsonl", f"{SHAREGPT}\n" * 20), 0, "ok: "),
    "llm-sft, a record without an answer": ("llm-sft", lambda folder: records(folder, "identity.jsonl", f'{ALPACA}\n{{"instruction": "Who?"}}\n'), 30, "identity.jsonl"),
    "llm-sft, no records": ("llm-sft", lambda folder: records(folder, "identity.jsonl", ""), 30, "identity"),
    "llm-sft, a line that is cut": ("llm-sft", lambda folder: records(folder, "identity.jsonl", f"{ALPACA}\n{ALPACA[:20]}\n"), 30, "identity.jsonl"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_checked_before_it_is_pushed(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    family, change, code, words = FOLDERS[name]
    data = dataset(family, tmp_path / "data")
    change(data)
    before = listing(data)
    assert cli.main(["check-data", family, str(data), *options(family)]) == code, capfd.readouterr()
    said = capfd.readouterr().out
    assert words in said
    assert listing(data) == before
    print(said)
