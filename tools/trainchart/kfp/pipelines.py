"""Ready pipelines, and their compiled form; `python -m trainchart.kfp FOLDER --image IMAGE` writes it.

Annotations are evaluated here: the SDK takes no others.
"""

from pathlib import Path
from typing import Any, NamedTuple

from kfp import compiler, dsl

from trainchart.kfp.components import IMAGE, check_component, train_component


class Outputs(NamedTuple):
    """What the last run of a pipeline has published."""

    run: str
    repository: str
    branch: str
    commit: str
    metrics: dict[str, Any]


def _outputs(task: dsl.PipelineTask) -> Outputs:
    return Outputs(**{name: task.outputs[name] for name in Outputs._fields})


def _train_pipeline(image: str) -> dsl.base_component.BaseComponent:
    def train(values: str, name: str = "train") -> Outputs:
        """Submit a training, follow it, and end as it ends.

        Args:
            values: Text of a values file.
            name: What the name of the run begins with.
        """
        return _outputs(train_component(values=values, name=name, image=image))

    return dsl.pipeline(name="trainchart-train")(train)


def _tune_pipeline(image: str) -> dsl.base_component.BaseComponent:
    def tune(values: str, tune_values: str, name: str = "train", tune_name: str = "tune") -> Outputs:
        """Check what a training needs, train, and search for better settings from the model that was trained.

        Args:
            values: Text of a values file, of the training.
            tune_values: Text of a values file with a section tune; its model is the commit that the training published.
            name: What the name of the training's run begins with.
            tune_name: What the name of the search's run begins with.
        """
        checked = check_component(values=values, image=image)
        trained = train_component(values=values, name=name, image=image).after(checked)
        published = {"model.repository": trained.outputs["repository"], "model.revision": trained.outputs["commit"]}
        return _outputs(train_component(values=tune_values, name=tune_name, settings=published, image=image))

    return dsl.pipeline(name="trainchart-train-and-tune")(tune)


train_pipeline = _train_pipeline(IMAGE)
tune_pipeline = _tune_pipeline(IMAGE)


def compile_pipelines(folder: Path, image: str = IMAGE) -> list[Path]:
    """Compile the pipelines, with an image of the tools, to files that Kubeflow takes; return those."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"train.yaml": _train_pipeline(image), "train-and-tune.yaml": _tune_pipeline(image)}
    for name, pipeline in files.items():
        compiler.Compiler().compile(pipeline, str(folder / name))
    return [folder / name for name in files]
