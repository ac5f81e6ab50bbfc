"""The memory estimate against what a training step really takes, on CPU, in the family's training image.

    python bench/memory.py          # the test model of the end-to-end tests, and the two smallest models
    python bench/memory.py --all    # every size the estimate knows; 3 minutes on two cores

For every model: builds it with its own optimizer and moving average, makes one step, and adds up the bytes of the tensors. The
activations are those that autograd keeps for the backward pass; the estimate of the peak adds 30 % to them.
Needs Docker and the image that `make setup` makes. Ends with 1 when parameters or optimizer are off by more than 10 %.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IMAGE = "trainchart/train-cpu-yolo:8.4.190"
FAMILY = "yolov5"
TOLERANCE = 0.1
PARTS = ("parameters", "gradients", "optimizer", "copies", "activations")


@dataclass(frozen=True)
class Case:
    size: str
    classes: int
    batch: int
    edge: int


# What e2e/values/ trains: two drawn classes, 4 images of 128 pixels.
TEST_MODEL = Case("n", 2, 4, 128)
SMALL = [Case("n", 80, 2, 320), Case("s", 80, 2, 320)]
LARGE = [Case(size, 80, 1, 320) for size in ("m", "l", "x", "n6", "s6", "m6", "l6", "x6")]


def main() -> int:
    parser = argparse.ArgumentParser(description="Measured memory of a training step against the estimate.")
    parser.add_argument("--all", action="store_true", help="every size that the estimate knows")
    options = parser.parse_args()
    missing = unavailable()
    if missing:
        print(f"skipped: {missing}")
        return 0
    worst = 0.0
    print(f"{'model':<26}{'part':<13}{'measured':>12}{'estimated':>12}{'ratio':>7}")
    for case in [TEST_MODEL, *SMALL, *(LARGE if options.all else [])]:
        for part, found, expected in compare(case):
            ratio = expected / found
            name = f"{FAMILY}{case.size} {case.classes} classes {case.batch}x{case.edge}"
            print(f"{name:<26}{part:<13}{found / 1e6:>9.2f} MB{expected / 1e6:>9.2f} MB{ratio:>7.3f}")
            if part in ("parameters", "optimizer"):
                worst = max(worst, abs(ratio - 1))
    print(f"parameters and optimizer: off by {worst:.1%} at most (allowed: {TOLERANCE:.0%})")
    return int(worst > TOLERANCE)


def compare(case: Case) -> list[tuple[str, int, int]]:
    """Part, measured and estimated bytes; of the activations what is kept for the backward pass."""
    from trainchart.estimate import Layout
    from trainchart.values.families import REGISTRY
    from trainchart.values.families.yolov5 import PEAK

    train = {"weights": f"{FAMILY}{case.size}.pt", "imageSize": case.edge, "batchSize": case.batch}
    estimated = REGISTRY[FAMILY].estimate(train, Layout(processes=1, backend="cpu"))
    measured = measure(case)
    expected = {part: getattr(estimated, part) for part in PARTS}
    expected["activations"] = round(estimated.activations / PEAK)
    return [(part, measured[part], expected[part]) for part in PARTS]


def unavailable() -> str | None:
    """Why nothing can be measured here, if so."""
    if not shutil.which("docker"):
        return "there is no Docker here"
    found = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False)
    return None if found.returncode == 0 else f"Docker has no image {IMAGE}, or does not run; make setup builds it"


def measure(case: Case) -> dict[str, int]:
    """One training step in a container of the training image, without network; bytes by part."""
    command = ["docker", "run", "--rm", "--interactive", "--network", "none", "--env", "HOME=/tmp", IMAGE]
    arguments = ["--inside", case.size, str(case.classes), str(case.batch), str(case.edge)]
    done = subprocess.run(
        [*command, "python3", "-", *arguments],
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


def inside(size: str, classes: int, batch: int, edge: int) -> dict[str, int]:
    """In the container: what train.py of 7.0 builds, and one step of it."""
    import logging

    logging.disable(logging.CRITICAL)
    import torch
    import yaml
    import yolov5
    from yolov5.models.yolo import Model
    from yolov5.utils.loss import ComputeLoss
    from yolov5.utils.torch_utils import ModelEMA, smart_optimizer

    def total(tensors: Any) -> int:
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    package = Path(yolov5.__file__).parent
    model = Model(str(next(package.glob(f"models/**/yolov5{size}.yaml"))), ch=3, nc=classes)
    model.hyp = {
        **yaml.safe_load((package / "data/hyps/hyp.scratch-low.yaml").read_text(encoding="utf-8")),
        "label_smoothing": 0.0,
    }
    optimizer = smart_optimizer(model, "SGD", 0.01, 0.937, 5e-4)
    average = ModelEMA(model)
    loss_of = ComputeLoss(model)

    own = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    kept: dict[int, Any] = {}

    def keep(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage  # held, so that no other tensor gets its address
        return tensor

    images = torch.rand(batch, 3, edge, edge)
    boxes = torch.tensor([[image, 0, 0.5, 0.5, 0.3, 0.4] for image in range(batch)])
    model.train()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss, _ = loss_of(model(images), boxes)
    activations = sum(storage.nbytes() for storage in kept.values())
    loss.backward()
    optimizer.step()
    average.update(model)
    return {
        "parameters": total(model.parameters()),
        "gradients": total(parameter.grad for parameter in model.parameters() if parameter.grad is not None),
        "optimizer": total(
            value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)
        ),
        "copies": total(average.ema.state_dict().values()),
        "activations": activations,
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        print(json.dumps(inside(sys.argv[2], *map(int, sys.argv[3:]))))
    else:
        sys.exit(main())
