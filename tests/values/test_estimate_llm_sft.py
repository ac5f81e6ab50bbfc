"""The memory estimate of llm-sft: what was measured of its test model, and how it grows."""

from __future__ import annotations

from typing import Any

import pytest

from trainchart.chart.families import family_data
from trainchart.values.memory import GIB, Estimate, EstimateError, Layout
from trainchart.values.models.families.llm_sft import SIZES, estimate

CPU = Layout(backend="cpu")
# Measured by bench/memory.py in the training image, in bytes.
TEST_MODEL = {
    "lora": {"parameters": 158_464, "gradients": 32_768, "optimizer": 65_648},
    "full": {"parameters": 125_696, "gradients": 125_696, "optimizer": 251_488},
}


def of(layout: Layout | None = None, **train: Any) -> Estimate:
    return estimate({**family_data("llm-sft")["defaults"]["train"], **train}, layout or Layout())


@pytest.mark.parametrize("kind", TEST_MODEL)
def test_the_state_of_the_test_model_is_estimated_within_10_percent(kind: str) -> None:
    estimated = of(CPU, modelSize="tiny", finetuningType=kind)
    for part, measured in TEST_MODEL[kind].items():
        assert getattr(estimated, part) == pytest.approx(measured, rel=0.1), part


@pytest.mark.parametrize(("size", "parameters"), [("0.6B", 596_049_920), ("8B", 8_190_735_360)])
def test_the_published_models_have_their_parameters(size: str, parameters: int) -> None:
    assert SIZES[size].parameters == parameters


def test_the_reference_document_s_training_fits_its_8_gib_and_a_full_one_does_not() -> None:
    assert of(fp16=True).total < 8 * GIB < of(fp16=True, finetuningType="full").total


def test_a_full_training_takes_16_bytes_a_parameter_and_its_half_copies() -> None:
    whole = of(finetuningType="full", bf16=True)
    assert whole.state == 18 * SIZES["0.6B"].parameters


def test_an_adapter_is_small_and_grows_with_its_rank() -> None:
    small, large = of(loraRank=8), of(loraRank=16)
    assert large.optimizer == 2 * small.optimizer
    assert small.optimizer < of(finetuningType="full").optimizer / 50
    assert of(loraTarget="q_proj, v_proj").optimizer < small.optimizer


def test_freezing_trains_two_layers() -> None:
    assert of(finetuningType="freeze").gradients == pytest.approx(4 * 2 * SIZES["0.6B"].layer, rel=1e-6)


def test_pairs_of_answers_count_twice_and_need_a_model_to_compare_with() -> None:
    assert of(stage="dpo").activations == 2 * of().activations
    assert (
        of(stage="dpo", finetuningType="full").copies - of(finetuningType="full").copies == 2 * SIZES["0.6B"].parameters
    )


def test_other_sizes_are_taken_from_their_name() -> None:
    assert of(modelSize="7B", finetuningType="full").gradients == 4 * 7_000_000_000
    assert of(modelSize="500m", finetuningType="full").gradients == 4 * 500_000_000


@pytest.mark.parametrize("size", ["", "large", "0B", "7 billion"])
def test_an_unknown_size_is_not_estimated(size: str) -> None:
    with pytest.raises(EstimateError, match=r"train\.modelSize: '.*' does not say how large"):
        of(modelSize=size)
