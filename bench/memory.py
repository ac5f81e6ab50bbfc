"""The memory estimate against what a training step really takes, on CPU, in the family's training image.

    python bench/memory.py          # the test models of the end-to-end tests, and the smallest models
    python bench/memory.py --all    # every size the estimates know; 6 minutes on two cores

For every model: builds it with its trainer's optimizer and moving average, makes one step, and adds up the bytes of the tensors. The
activations are those that autograd keeps for the backward pass; the estimate of the peak adds 30 % to them. Those of language models
are not measured: with gradient checkpointing the forward pass keeps next to nothing, and the peak is the backward pass's own.
Needs Docker and the image that `make setup` makes. Ends with 1 when parameters or optimizer are off by more than 10 %.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

IMAGE = "trainchart/train-cpu-yolo:8.4.190"
# Of families whose cases are left out where theirs was not built.
IMAGES = {"ppyoloe": "trainchart/train-cpu-paddle:2.6.2", "llm-sft": "trainchart/train-cpu-llm:0.9.5"}
TOLERANCE = 0.1
Loss = Callable[[Any], Any]  # of a batch of images
PARTS = ("parameters", "gradients", "optimizer", "copies", "activations")


@dataclass(frozen=True)
class Case:
    family: str
    model: str
    classes: int
    batch: int
    edge: int

    def __str__(self) -> str:
        return f"{self.model} {self.classes} classes {self.batch}x{self.edge}"


@dataclass(frozen=True)
class Language:
    """A language model, and whether an adapter of it is trained or the whole."""

    size: str
    kind: str
    family: str = "llm-sft"

    def __str__(self) -> str:
        return f"{self.family} {self.size} {self.kind}"


# What e2e/values/ trains: two drawn classes, and a language model of a few layers.
TEST_MODELS: list[Case | Language] = [
    Case("yolov5", "yolov5n", 2, 4, 128),
    Case("yolov8", "yolov8n", 2, 4, 64),
    Case("ppyoloe", "ppyoloe_crn_s", 2, 2, 128),
    Language("tiny", "lora"),
    Language("tiny", "full"),
]
SMALL: list[Case | Language] = [
    *(Case("yolov5", f"yolov5{size}", 80, 2, 320) for size in ("n", "s")),
    *(Case("yolov8", f"{kind}n", 80, 2, 320) for kind in ("yolov8", "yolov10", "yolo11", "yolo12", "yolo26")),
    Language("0.6B", "lora"),
]
LARGE = [
    *(Case("yolov5", f"yolov5{size}", 80, 1, 320) for size in ("m", "l", "x", "n6", "s6", "m6", "l6", "x6")),
    *(
        Case("yolov8", f"{kind}{size}", 80, 1, 320)
        for kind in ("yolov8", "yolov10", "yolo11", "yolo12", "yolo26")
        for size in "smlx"
    ),
    *(Case("yolov8", f"yolov9{size}", 80, 1, 320) for size in "tsmce"),
    Case("yolov8", "yolov10b", 80, 1, 320),
    *(Case("ppyoloe", f"ppyoloe_crn_{size}", 80, 1, 320) for size in "smlx"),
]


def main() -> int:
    parser = argparse.ArgumentParser(description="Measured memory of a training step against the estimate.")
    parser.add_argument("--all", action="store_true", help="every size that the estimate knows")
    options = parser.parse_args()
    missing = unavailable()
    if missing:
        print(f"skipped: {missing}")
        return 0
    worst = 0.0
    print(f"{'model':<27}{'part':<13}{'measured':>12}{'estimated':>12}{'ratio':>7}")
    for name, part, found, expected in rows(options.all):
        ratio = expected / found
        print(f"{name:<27}{part:<13}{found / 1e6:>9.2f} MB{expected / 1e6:>9.2f} MB{ratio:>7.3f}")
        if part in ("parameters", "optimizer"):
            worst = max(worst, abs(ratio - 1))
    print(f"parameters and optimizer: off by {worst:.1%} at most (allowed: {TOLERANCE:.0%})")
    return int(worst > TOLERANCE)


def rows(everything: bool) -> Iterator[tuple[str, str, int, int]]:
    """Model, part, measured and estimated bytes."""
    for case in [*TEST_MODELS, *SMALL, *(LARGE if everything else [])]:
        image = IMAGES.get(case.family, IMAGE)
        if not has_image(image):
            print(f"{case!s:<27}skipped: Docker has no image {image}; make e2e-all builds it")
            continue
        for part, found, expected in compare(case) if isinstance(case, Case) else compare_language(case):
            yield str(case), part, found, expected


def compare(case: Case) -> list[tuple[str, int, int]]:
    """Part, measured and estimated bytes; of the activations what is kept for the backward pass."""
    from trainchart.values.memory import Layout
    from trainchart.values.models.families import REGISTRY
    from trainchart.values.models.families.ppyoloe import LARGEST
    from trainchart.values.models.families.yolov8 import PEAK  # which is that of all

    sizes = {"imageSize": case.edge, "batchSize": case.batch}
    named = {
        "yolov5": {"weights": f"{case.model}.pt"},
        "yolov8": {"model": f"{case.model}.yaml"},
        "ppyoloe": {"config": f"{case.model}_300e_coco.yml"},
    }[case.family]
    estimate = REGISTRY[case.family].estimate
    assert estimate
    estimated = estimate({**named, **sizes}, Layout(processes=1, backend="cpu"))
    measured = measure(case.family, case.model, str(case.classes), str(case.batch), str(case.edge))
    expected = {part: getattr(estimated, part) for part in PARTS}
    # Those of ppyoloe are for the largest images that it resizes to.
    share = (case.edge / LARGEST) ** 2 if case.family == "ppyoloe" else 1
    expected["activations"] = round(estimated.activations / PEAK * share)
    return [(part, measured[part], expected[part]) for part in PARTS]


def compare_language(case: Language) -> list[tuple[str, int, int]]:
    from trainchart.chart.families import family_data
    from trainchart.values.memory import Layout
    from trainchart.values.models.families.llm_sft import SIZES, estimate

    settings = {**family_data(case.family)["defaults"]["train"], "modelSize": case.size, "finetuningType": case.kind}
    estimated = estimate(settings, Layout(processes=1, backend="cpu"))
    measured = measure(case.family, json.dumps(asdict(SIZES[case.size])), case.kind, str(settings["loraRank"]))
    return [(part, found, getattr(estimated, part)) for part, found in measured.items()]


def unavailable() -> str | None:
    """Why nothing can be measured here, if so."""
    if not shutil.which("docker"):
        return "there is no Docker here"
    return None if has_image(IMAGE) else f"Docker has no image {IMAGE}, or does not run; make setup builds it"


def has_image(name: str) -> bool:
    return subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False).returncode == 0


def measure(family: str, *arguments: str) -> dict[str, int]:
    """One training step in a container of the training image, without network; bytes by part."""
    command = ["docker", "run", "--rm", "--interactive", "--network", "none", "--env", "HOME=/tmp"]
    command += ["--env", "YOLO_CONFIG_DIR=/tmp", IMAGES.get(family, IMAGE), "python3", "-", "--inside", family]
    done = subprocess.run(
        [*command, *arguments],
        input=Path(__file__).read_text(encoding="utf-8"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        sys.exit(f"the container failed:\n{done.stderr}")
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def yolov5(name: str, classes: int) -> tuple[Any, Any, Any, Loss]:
    """What train.py of 7.0 builds."""
    import torch
    import yaml
    import yolov5
    from yolov5.models.yolo import Model
    from yolov5.utils.loss import ComputeLoss
    from yolov5.utils.torch_utils import ModelEMA, smart_optimizer

    package = Path(yolov5.__file__).parent
    model = Model(str(next(package.glob(f"models/**/{name}.yaml"))), ch=3, nc=classes)
    model.hyp = {
        **yaml.safe_load((package / "data/hyps/hyp.scratch-low.yaml").read_text(encoding="utf-8")),
        "label_smoothing": 0.0,
    }
    loss_of = ComputeLoss(model)

    def loss(images: Any) -> Any:
        boxes = torch.tensor([[image, 0, 0.5, 0.5, 0.3, 0.4] for image in range(len(images))])
        return loss_of(model(images), boxes)[0]

    return model, smart_optimizer(model, "SGD", 0.01, 0.937, 5e-4), ModelEMA(model), loss


def yolov8(name: str, classes: int) -> tuple[Any, Any, Any, Loss]:
    """What ultralytics' trainer builds: with optimizer=auto, AdamW up to 10,000 steps."""
    from types import SimpleNamespace

    import torch
    from ultralytics.cfg import get_cfg
    from ultralytics.engine.trainer import BaseTrainer
    from ultralytics.nn.tasks import DetectionModel
    from ultralytics.utils.torch_utils import ModelEMA

    model = DetectionModel(f"{name}.yaml", nc=classes, verbose=False)
    model.args = get_cfg()
    trainer = SimpleNamespace(args=model.args, data={"nc": classes})
    optimizer = BaseTrainer.build_optimizer(trainer, model, "auto", 0.01, 0.937, 5e-4, 1000)

    def loss(images: Any) -> Any:
        count = len(images)
        boxes = torch.tensor([[0.5, 0.5, 0.3, 0.4]] * count)
        batch = {"img": images, "batch_idx": torch.arange(count).float(), "cls": torch.zeros(count, 1), "bboxes": boxes}
        found = model(batch)[0]
        return sum(found.values()) if isinstance(found, dict) else found.sum()

    return model, optimizer, ModelEMA(model), loss


def ppyoloe(name: str, classes: int, batch: int, edge: int) -> dict[str, int]:
    """What PaddleDetection's trainer builds, and one step of it. The multiples are those of its configurations."""
    import paddle
    from ppdet.core.workspace import create, merge_config
    from ppdet.optimizer import ModelEMA

    def total(tensors: Any) -> int:
        return sum(int(tensor.size) * int(tensor.element_size()) for tensor in tensors)

    depth, width = {"s": (0.33, 0.5), "m": (0.67, 0.75), "l": (1.0, 1.0), "x": (1.33, 1.25)}[name[-1]]
    head = {
        "fpn_strides": [32, 16, 8],
        "use_varifocal_loss": True,
        "loss_weight": {"class": 1.0, "iou": 2.5, "dfl": 0.5},
        "static_assigner": {"name": "ATSSAssigner", "topk": 9},
        "assigner": {"name": "TaskAlignedAssigner", "topk": 13, "alpha": 1.0, "beta": 6.0},
        "nms": {"name": "MultiClassNMS", "nms_top_k": 1000, "keep_top_k": 300},
    }
    merge_config(
        {
            "num_classes": classes,
            "norm_type": "bn",
            "depth_mult": depth,
            "width_mult": width,
            "YOLOv3": {
                "backbone": "CSPResNet",
                "neck": "CustomCSPPAN",
                "yolo_head": "PPYOLOEHead",
                "post_process": None,
            },
            "CSPResNet": {"channels": [64, 128, 256, 512, 1024], "return_idx": [1, 2, 3], "use_large_stem": True},
            "CustomCSPPAN": {
                "out_channels": [768, 384, 192],
                "stage_num": 1,
                "block_num": 3,
                "act": "swish",
                "spp": True,
            },
            "PPYOLOEHead": head,
            "OptimizerBuilder": {"optimizer": {"type": "Momentum", "momentum": 0.9}, "regularizer": None},
        }
    )
    model = create("YOLOv3")
    optimizer, average = create("OptimizerBuilder")(0.001, model), ModelEMA(model)
    own = {parameter.data_ptr() for parameter in model.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        if tensor.data_ptr() not in own:
            kept[tensor.data_ptr()] = tensor
        return tensor

    data = {
        "image": paddle.rand([batch, 3, edge, edge]),
        "epoch_id": 0,
        "scale_factor": paddle.ones([batch, 2]),
        "gt_class": paddle.zeros([batch, 1, 1], "int32"),
        "pad_gt_mask": paddle.ones([batch, 1, 1]),
        "gt_bbox": paddle.to_tensor([[[20.0, 20.0, 90.0, 100.0]]] * batch),
        "im_shape": paddle.ones([batch, 2]),
    }
    model.train()
    with paddle.autograd.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(data)
    activations = total(kept.values())
    model(data)["loss"].backward()  # once more: PaddlePaddle 2.6 crashes on its way back through hooks
    gradients = total(parameter.grad for parameter in model.parameters() if parameter.grad is not None)
    optimizer.step()
    average.update()
    states = [value for value in optimizer.state_dict().values() if isinstance(value, paddle.Tensor)]
    return {
        "parameters": total(model.parameters()),
        "gradients": gradients,
        "optimizer": total(states),
        "copies": total(average.state_dict.values()),
        "activations": activations,
    }


def language_model(geometry: dict[str, Any], kind: str, rank: int) -> dict[str, int]:
    """A model of this shape, and one step of AdamW on an adapter or on the whole of it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen3Config, Qwen3ForCausalLM

    model: Any = Qwen3ForCausalLM(
        Qwen3Config(
            hidden_size=geometry["hidden"],
            num_hidden_layers=geometry["layers"],
            num_attention_heads=geometry["heads"],
            num_key_value_heads=geometry["groups"],
            head_dim=geometry["head"],
            intermediate_size=geometry["inner"],
            vocab_size=geometry["vocabulary"],
            tie_word_embeddings=geometry["tied"],
        )
    )
    if kind == "lora":
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=rank, target_modules="all-linear"))
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad])
    tokens = torch.randint(geometry["vocabulary"], (1, 16))
    model(input_ids=tokens, labels=tokens).loss.backward()
    optimizer.step()
    return of_step(model, optimizer)


def of_step(model: Any, optimizer: Any) -> dict[str, int]:
    """What PyTorch holds after a step."""
    import torch

    states = (value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value))
    return {
        "parameters": total(model.parameters()),
        "gradients": total(parameter.grad for parameter in model.parameters() if parameter.grad is not None),
        "optimizer": total(states),
    }


def total(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def inside(family: str, *arguments: str) -> dict[str, int]:
    """In the container: what the family's trainer builds, and one step of it."""
    import logging

    logging.disable(logging.CRITICAL)
    if family == "llm-sft":
        return language_model(json.loads(arguments[0]), arguments[1], int(arguments[2]))
    name, (classes, batch, edge) = arguments[0], map(int, arguments[1:])
    if family == "ppyoloe":
        return ppyoloe(name, classes, batch, edge)
    import torch

    model, optimizer, average, loss_of = {"yolov5": yolov5, "yolov8": yolov8}[family](name, classes)
    own = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage  # held, so that no other tensor gets its address
        return tensor

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = loss_of(torch.rand(batch, 3, edge, edge))
    activations = sum(storage.nbytes() for storage in kept.values())
    loss.backward()
    optimizer.step()
    average.update(model)
    copies = total(average.ema.state_dict().values())
    return {**of_step(model, optimizer), "copies": copies, "activations": activations}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        print(json.dumps(inside(*sys.argv[2:])))
    else:
        sys.exit(main())
