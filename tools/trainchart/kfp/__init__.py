"""Tasks and pipelines of Kubeflow Pipelines v2 that train with trainchart; `pip install 'trainchart[kfp]'`.

    from trainchart.kfp import train_component

    @dsl.pipeline
    def pipeline(epochs: int = 30):
        train_component(values=Path("run.yaml"), settings={"train.epochs": epochs})

`trainchart docs kubeflow` describes it.
"""

from __future__ import annotations

try:
    import kfp
    from kfp import dsl, kubernetes  # noqa: F401

    if tuple(map(int, kfp.__version__.split(".")[:2])) < (2, 17):
        raise ImportError(f"this is kfp {kfp.__version__}")
except ImportError as error:
    raise ImportError(
        "trainchart.kfp needs the SDK of Kubeflow Pipelines, 2.17 or a later 2, with its part for Kubernetes "
        f"({error}): pip install 'trainchart[kfp]'"
    ) from error

from trainchart.kfp.components import IMAGE, check_component, train_component
from trainchart.kfp.local import docker_runner
from trainchart.kfp.pipelines import compile_pipelines, train_pipeline, tune_pipeline

__all__ = [
    "IMAGE",
    "check_component",
    "compile_pipelines",
    "docker_runner",
    "train_component",
    "train_pipeline",
    "tune_pipeline",
]
