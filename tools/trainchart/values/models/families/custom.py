"""Family custom: a program of the user's own, in any image. What it needs on a device, only its author knows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from trainchart.values.models.base import Section
from trainchart.values.models.family import Family
from trainchart.values.words import must_be

_PART = r"[.]?[^./\t\n][^/\t\n]*"
_INSIDE = rf"({_PART}(/{_PART})*)?$"
Pattern = Annotated[
    str,
    StringConstraints(pattern=f"^{_INSIDE}"),
    Field(json_schema_extra=must_be("a path in the run's output folder, without a leading / and without ..")),
]
MetricsFile = Annotated[
    str,
    StringConstraints(pattern=rf"^({_INSIDE[:-1]}[.](csv|jsonl))?$"),
    Field(json_schema_extra=must_be("a path in the run's output folder that ends in .csv or .jsonl")),
]
LfsPattern = Annotated[
    str,
    StringConstraints(pattern=r"^[^\s]+$"),
    Field(json_schema_extra=must_be("a pattern of file names without blanks")),
]
"""A path or glob that stays below its folder: relative, and no part of it begins with `..`."""


class Custom(Section):
    command: list[str] | None = Field(
        None,
        description="The program and its arguments, without a shell; started in the model's folder.",
        examples=[["python3", "train.py"]],
    )
    exportCommand: list[str] | None = Field(
        None, description="Started on rank 0 after the training, likewise; empty: nothing.", examples=[["./export.sh"]]
    )
    rendezvous: Literal["nodes", "ranks", "none"] = Field(
        "nodes",
        description="Environment for several pods. nodes: what launchers read. ranks: also RANK and WORLD_SIZE, of "
        "pods. none.",
    )
    artifacts: list[Pattern] | None = Field(
        None,
        description="What is published, as globs below OUTPUT_DIR; empty: ARTIFACTS_DIR, or else all but the "
        "checkpoints.",
        examples=[["model/*", "config.json"]],
    )
    metricsFile: MetricsFile | None = Field(
        None,
        description="File below OUTPUT_DIR with a row of numbers per epoch.",
        examples=["metrics.csv", "metrics.jsonl"],
    )
    checkpoints: Pattern | None = Field(
        None,
        description="Glob below OUTPUT_DIR; the newest that is whole becomes RESUME_FROM.",
        examples=["checkpoints/*"],
    )
    lfsPatterns: list[LfsPattern] | None = Field(
        None, description="Names that go to LFS, beside the usual ones.", examples=[["*.ckpt"]]
    )


FAMILY = Family(
    model=Custom,
    estimate=None,
    example={
        "image": "registry.example.com/training/vendor:1.0",
        "git": {"secretName": "git-credentials"},
        "model": {"repository": "https://git.example.com/team/program.git"},
        "dataset": {"repository": "https://git.example.com/team/data.git"},
        "publish": {"repository": "https://git.example.com/team/trained.git"},
        "train": {"command": ["python3", "train.py"]},
        "accelerator": {"profile": "nvidia", "count": 1},
        "replicas": 1,
        "resources": {"requests": {"cpu": "1", "memory": "8Gi"}, "limits": {"cpu": "8", "memory": "20Gi"}},
        "sharedMemory": "2Gi",
        "workspace": {"type": "emptyDir", "size": "5Gi"},
    },
    notes={
        "image": "Any image with python3; with git and git-lfs where the run clones or pushes.",
        "model": "Optional: a repository with the program; it finds it as MODEL_DIR.",
        "dataset": "Optional: its data; it finds them as DATASET_DIR.",
    },
)
