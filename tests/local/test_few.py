"""A copy of a dataset with few images is a dataset of the same form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trainchart.local.few import take_few


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Of YOLO's layout, with a label for every second image."""
    root = tmp_path / "dataset"
    for part, count in (("train", 20), ("val", 5)):
        for kind in ("images", "labels"):
            (root / kind / part).mkdir(parents=True)
        for number in range(count):
            (root / "images" / part / f"{part}{number:02}.jpg").write_bytes(b"image")
            if number % 2:
                (root / "labels" / part / f"{part}{number:02}.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (root / "data.yaml").write_text("train: images/train\nval: images/val\n")
    return root


def names(copy: Path, pattern: str) -> list[str]:
    return sorted(path.relative_to(copy).as_posix() for path in copy.rglob(pattern))


def test_each_folder_keeps_its_first_images_with_labels(dataset: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert take_few(dataset, copy, 4) == (8, 25)
    train = ["01", "03", "05", "07"]
    assert names(copy / "images" / "train", "*") == [f"train{number}.jpg" for number in train]
    assert names(copy / "labels" / "train", "*") == [f"train{number}.txt" for number in train]
    assert names(copy / "images" / "val", "*") == [f"val{number}.jpg" for number in ("00", "01", "02", "03")]
    assert (copy / "data.yaml").read_text() == (dataset / "data.yaml").read_text()


def test_lists_and_the_images_that_they_name_stay_together(dataset: Path, tmp_path: Path) -> None:
    listed = [f"./images/train/train{number:02}.jpg" for number in (19, 18, 17, 16)]
    (dataset / "train.txt").write_text("".join(f"{line}\n" for line in listed))
    take_few(dataset, tmp_path / "copy", 2)
    assert (tmp_path / "copy" / "train.txt").read_text() == "images/train/train19.jpg\nimages/train/train17.jpg\n"
    assert names(tmp_path / "copy" / "images" / "train", "*") == ["train17.jpg", "train19.jpg"]


def test_coco_files_are_cut_to_images_that_stay(dataset: Path, tmp_path: Path) -> None:
    images = [{"id": number, "file_name": f"train{number:02}.jpg", "width": 9} for number in range(20)]
    boxes = [{"id": 1, "image_id": 12, "bbox": [0, 0, 1, 1]}, {"id": 2, "image_id": 3, "bbox": [0, 0, 1, 1]}]
    content = {"info": {}, "images": images, "annotations": boxes, "categories": [{"id": 1, "name": "a"}]}
    (dataset / "annotations").mkdir()
    (dataset / "annotations" / "train.json").write_text(json.dumps(content))
    take_few(dataset, tmp_path / "copy", 3)
    cut = json.loads((tmp_path / "copy" / "annotations" / "train.json").read_text())
    assert [row["id"] for row in cut["images"]] == [3, 12, 0]
    assert [row["id"] for row in cut["annotations"]] == [1, 2]
    assert cut["categories"] == content["categories"]
    assert names(tmp_path / "copy" / "images" / "train", "*") == ["train00.jpg", "train03.jpg", "train12.jpg"]


def test_other_files_stay_as_they_are(dataset: Path, tmp_path: Path) -> None:
    (dataset / "broken.json").write_text("{")
    (dataset / "list.json").write_text("[1, 2]")
    (dataset / "notes.txt").write_bytes(b"\xff\xfe notes")
    (dataset / "empty.txt").touch()
    (dataset / "dangling").symlink_to("nowhere")
    (dataset / "validation").symlink_to("images/val")
    (dataset / ".git").mkdir()
    (dataset / ".git" / "config").touch()
    copy = tmp_path / "copy"
    take_few(dataset, copy, 4)
    for name in ("broken.json", "list.json", "notes.txt", "empty.txt"):
        assert (copy / name).read_bytes() == (dataset / name).read_bytes()
    assert (copy / "validation").resolve() == copy / "images" / "val"
    assert names(copy, "*.git") == []
    assert not (copy / "dangling").is_symlink()


def test_a_dataset_without_images_is_copied(tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "train.jsonl").write_text("{}\n")
    assert take_few(tmp_path / "dataset", tmp_path / "copy", 4) == (0, 0)
    assert names(tmp_path / "copy", "*") == ["train.jsonl"]
