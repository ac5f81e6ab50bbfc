"""The memory estimate: its formula, what was published and measured of the real trainer, and what fits."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.chart.matrix import FAMILIES, ROOT
from trainchart.chart.families import family_data
from trainchart.values.memory import GIB, Estimate, EstimateError, Layout, bytes_quantity, largest_batch, parse_bytes
from trainchart.values.models.families import FAMILIES as MODELS
from trainchart.values.models.families import REGISTRY

YOLOV5 = REGISTRY["yolov5"].estimate
YOLOV8 = REGISTRY["yolov8"].estimate
# Measured by bench/memory.py in the training image, in bytes: yolov5n for the two classes of the end-to-end tests.
TEST_MODEL = {"parameters": 7_066_492, "gradients": 7_066_492, "optimizer": 7_066_492, "copies": 7_105_036}
# And yolov8n for the same two classes, with the optimizer of a short training.
YOLOV8_TEST_MODEL = {"parameters": 12_044_952, "gradients": 12_044_888, "optimizer": 24_090_508, "copies": 12_087_008}
# The README of YOLOv5 7.0: "Batch sizes shown for V100-16GB" of images of 640 pixels.
LARGEST_BATCHES = {"n": 128, "s": 64, "m": 40, "l": 24, "x": 16}


def yolov5(layout: Layout | None = None, **train: Any) -> Estimate:
    values = {"weights": "models/yolov5n.pt", "imageSize": 640, "batchSize": 16, **train}
    assert YOLOV5
    return YOLOV5(values, layout or Layout())


def yolov8(layout: Layout | None = None, **train: Any) -> Estimate:
    values = {"model": "yolov8n.yaml", "imageSize": 640, "batchSize": 16, "optimizer": "auto", **train}
    assert YOLOV8
    return YOLOV8(values, layout or Layout())


def test_every_family_is_found_by_its_name() -> None:
    assert REGISTRY.keys() == MODELS.keys() == set(FAMILIES)


def test_a_program_that_nobody_knows_has_no_estimate() -> None:
    assert REGISTRY["custom"].estimate is None


@pytest.mark.parametrize("family", [name for name in FAMILIES if REGISTRY[name].estimate])
def test_a_family_s_defaults_can_be_estimated(family: str) -> None:
    estimate = REGISTRY[family].estimate
    assert estimate
    needed = estimate(family_data(family)["defaults"]["train"], Layout())
    assert 0 < needed.parameters <= needed.state < needed.total


@pytest.mark.parametrize("part", TEST_MODEL)
def test_the_state_of_the_test_model_is_estimated_within_10_percent(part: str) -> None:
    estimated = yolov5(Layout(backend="cpu"), imageSize=128, batchSize=4)
    assert getattr(estimated, part) == pytest.approx(TEST_MODEL[part], rel=0.1)


@pytest.mark.parametrize("part", YOLOV8_TEST_MODEL)
def test_the_state_of_yolov8_s_test_model_is_estimated_within_10_percent(part: str) -> None:
    estimated = yolov8(Layout(backend="cpu"), imageSize=64, batchSize=4)
    assert getattr(estimated, part) == pytest.approx(YOLOV8_TEST_MODEL[part], rel=0.1)


@pytest.mark.parametrize(
    ("model", "millions"),
    [
        ("yolov8n.yaml", 3.2), ("yolov8s.pt", 11.2), ("weights/yolov8m.pt", 25.9), ("yolov8l.pt", 43.7), ("yolov8x.yaml", 68.2),
        ("yolo11n.pt", 2.6), ("yolo11s.pt", 9.4), ("YOLO11x.pt", 56.9), ("yolo12s.yaml", 9.3), ("yolo12x.yaml", 59.1),
    ],
)  # fmt: skip
def test_the_models_of_ultralytics_have_the_parameters_it_publishes(model: str, millions: float) -> None:
    """docs.ultralytics.com/models, in millions with one decimal."""
    assert yolov8(model=model).parameters / 4e6 == pytest.approx(millions, abs=0.15)


@pytest.mark.parametrize(("optimizer", "states"), [("auto", 2), ("AdamW", 2), ("NAdam", 2), ("SGD", 1), ("MuSGD", 1)])
def test_the_optimizer_of_yolov8_counts(optimizer: str, states: int) -> None:
    needed = yolov8(optimizer=optimizer)
    assert needed.optimizer == states * needed.parameters


def test_yolov8_takes_the_largest_images_in_the_precision_asked_for() -> None:
    usual = yolov8()
    assert yolov8(arguments=["multi_scale=0.5"]).activations == pytest.approx(2.25 * usual.activations, rel=1e-6)
    assert yolov8(arguments=["amp=False"]).activations == pytest.approx(2 * usual.activations, rel=1e-6)
    assert yolov8(Layout(backend="cpu")).activations == pytest.approx(2 * usual.activations, rel=1e-6)
    assert yolov8(Layout(processes=4)).activations == pytest.approx(usual.activations / 4, rel=1e-6)


@pytest.mark.parametrize("model", ["best.pt", "", "yolov8.yaml", "yolov8z.pt", "yolov8n-p6.yaml", "yolov8nano.pt"])
def test_a_model_of_ultralytics_without_a_known_name_is_not_estimated(model: str) -> None:
    with pytest.raises(EstimateError, match=r"train\.model: '.*' does not say which of the models yolov8n, yolov8s"):
        yolov8(model=model)


@pytest.mark.parametrize(("size", "batch"), LARGEST_BATCHES.items())
def test_the_published_largest_batches_fit_a_card_of_16_gib_and_nearly_fill_it(size: str, batch: int) -> None:
    weights = f"models/yolov5{size}.pt"
    assert 12 * GIB < yolov5(weights=weights, batchSize=batch).total <= 16 * GIB
    assert yolov5(weights=weights, batchSize=2 * batch).total > 16 * GIB


@pytest.mark.parametrize(("size", "edge", "reserved"), [("s", 640, 3.280e9), ("n", 416, 0.707e9)])
def test_16_images_take_what_was_published_of_them(size: str, edge: int, reserved: float) -> None:
    """ultralytics/yolov5#5092 and #9287: memory that CUDA reserved for forward and backward, without an optimizer."""
    needed = yolov5(weights=f"yolov5{size}.pt", imageSize=edge)
    assert needed.parameters + needed.gradients + needed.activations == pytest.approx(reserved, rel=0.1)


def test_activations_grow_with_the_batch_and_the_pixels_and_the_state_does_not() -> None:
    small, large = yolov5(batchSize=4, imageSize=320), yolov5(batchSize=8, imageSize=640)
    assert large.activations == pytest.approx(8 * small.activations, rel=1e-6)
    assert large.state == small.state


def test_processes_share_the_batch_and_exchange_gradients() -> None:
    one, four = yolov5(), yolov5(Layout(processes=4))
    assert four.activations == pytest.approx(one.activations / 4, rel=1e-6)
    assert four.copies - one.copies == one.parameters


def test_on_cpu_nothing_is_in_half_precision() -> None:
    device, cpu = yolov5(), yolov5(Layout(backend="cpu"))
    assert cpu.activations == pytest.approx(2 * device.activations, rel=1e-6)
    assert cpu.copies < device.copies
    assert yolov5(device="cpu") == cpu


@pytest.mark.parametrize(
    ("arguments", "states"),
    [([], 1), (["--optimizer", "Adam"], 2), (["--optimizer=AdamW"], 2), (["--optimizer", "SGD"], 1)],
)
def test_the_optimizer_of_the_arguments_counts(arguments: list[str], states: int) -> None:
    needed = yolov5(arguments=arguments)
    assert needed.optimizer == states * needed.parameters


def test_the_model_of_the_arguments_comes_before_the_one_of_the_weights() -> None:
    assert yolov5(arguments=["--cfg", "models/hub/yolov5s6.yaml"]).parameters == 4 * 12_626_620


def test_images_of_many_sizes_take_the_largest() -> None:
    assert yolov5(arguments=["--multi-scale"]).activations == pytest.approx(2.25 * yolov5().activations, rel=1e-6)


def test_the_edge_is_rounded_up_as_the_trainer_does() -> None:
    assert yolov5(imageSize=609) == yolov5(imageSize=640)


@pytest.mark.parametrize("weights", ["best.pt", "", "models/yolov5z.pt", "yolov5n/best.pt", "yolov5nano.pt"])
def test_a_model_of_unknown_size_is_not_estimated(weights: str) -> None:
    with pytest.raises(EstimateError, match=r"train\.weights: '.*' does not say which of the sizes n, s, m, l, x"):
        yolov5(weights=weights)


def test_the_largest_batch_is_a_multiple_of_the_processes_and_fits() -> None:
    def of(batch: int) -> Estimate:
        return Estimate("", 0, 0, 0, 0, activations=batch * 100, runtime=0)

    assert largest_batch(of, batch=16, step=4, memory=1299) == 12
    assert largest_batch(of, batch=16, step=4, memory=1200) == 12
    assert largest_batch(of, batch=16, step=4, memory=399) == 0
    assert largest_batch(of, batch=16, step=4, memory=10_000) == 16


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("24Gi", 24 * GIB),
        ("1.5Gi", 3 * GIB // 2),
        ("512Mi", 1 << 29),
        ("20G", 20 * 10**9),
        (1024, 1024),
        (2e9, 2 * 10**9),
        (1e22, 10**22),
        ("24e9", 24 * 10**9),
    ],
)
def test_a_quantity_is_its_bytes(text: str | float, amount: int) -> None:
    assert parse_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "Gi", "4GB", "1e", "1 Gi", "four"])
def test_text_that_is_not_a_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity such as"):
        parse_bytes(text)


@pytest.mark.parametrize("amount", [4 * GIB, 256 << 20, 3 << 10, 12345])
def test_bytes_are_written_exactly(amount: int) -> None:
    assert parse_bytes(bytes_quantity(amount)) == amount


def test_the_benchmark_skips_in_words_where_there_is_no_docker() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "bench/memory.py"],
        env={"PATH": "/nonexistent"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "skipped: there is no Docker here\n", "")
