"""Tasks of a pipeline that run the command line of trainchart in its image."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from inspect import Parameter, Signature
from typing import Any, TypeAlias

from kfp import dsl, kubernetes
from kfp.dsl.pipeline_channel import PipelineChannel

from trainchart.errors import FileError, UsageError
from trainchart.files import read_text
from trainchart.kfp.settings import parameter_names
from trainchart.values.from_python import yaml_of
from trainchart.version import __version__

IMAGE = f"trainchart/trainchart:{__version__}"
"""The image of the tools, which every task runs: build it, push it, and give its name as `image`."""

Values: TypeAlias = Mapping[str, Any] | os.PathLike[str] | str | PipelineChannel
Setting: TypeAlias = str | int | float | bool | PipelineChannel | None
"""A channel is what is known when the pipeline runs: a parameter of the pipeline, or an output of a task."""

_OUTPUTS = {"run": str, "repository": str, "branch": str, "commit": str, "metrics": dict, "completed": bool}
# What tells one task of one run of a pipeline from every other, and is the same for its retries. The backend replaces each of them only
# where it is the whole value of an input, and the last is the id of the DAG around the task: of the iteration, in a loop.
_STEP = {
    "pipeline_run": dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    "task_name": dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
    "dag": dsl.PIPELINE_TASK_ID_PLACEHOLDER,
}
_PLACEHOLDER = re.compile(r"\{\{\$\.[a-z_]+\}\}")
# Of what is known when the pipeline runs, by the names that the SDK has had for them.
_TYPES: dict[str, type] = {
    **dict.fromkeys(("STRING", "string", "str"), str),
    **dict.fromkeys(("NUMBER_INTEGER", "integer", "int"), int),
    **dict.fromkeys(("NUMBER_DOUBLE", "double", "float"), float),
    **dict.fromkeys(("BOOLEAN", "boolean", "bool"), bool),
}


def train_component(
    *,
    values: Values = "",
    name: str | PipelineChannel = "train",
    family: str | PipelineChannel = "",
    settings: Mapping[str, Setting] = {},
    image: str = IMAGE,
    pull_policy: str = "IfNotPresent",
) -> dsl.PipelineTask:
    """A task that submits a run, follows it, and ends as it ends; to be called in a pipeline, or after `kfp.local.init`.

    Its outputs are `run` (the name of the run), `repository`, `branch`, `commit`, `metrics` (a dict), and `completed`. It is never
    cached. In the cluster, the run is stopped when the task is, belongs to the Workflow of the pipeline's run, and is followed by a
    retry of the task instead of being submitted again.

    Args:
        values: of the run: a mapping, the path of a values file, or the text of one; a mapping or a text may be a parameter of
            the pipeline.
        name: what the run's name begins with: at most 41 characters a-z, 0-9 and -.
        family: what to train, instead of the family of the values.
        settings: single values that lie over `values`, which parameters of the pipeline and outputs of other tasks may be: by their
            keys, such as train.epochs, or as parameters, such as TRAIN_ARG_EPOCHS (`trainchart docs values`). An empty one,
            or None, is not configured, but an output that is empty fails the task.
        image: the image of the tools.
        pull_policy: Always, IfNotPresent or Never.

    Raises:
        UsageError: something that is known already is wrong.
    """
    if isinstance(name, str) and not re.fullmatch(r"[a-z][-a-z0-9]{0,40}", name) and not _PLACEHOLDER.fullmatch(name):
        raise UsageError(
            f"name {name!r} cannot begin the name of a run; use a letter, then at most 40 of a-z, 0-9 and -"
        )
    inputs = {"name": name, **_STEP, **_values(values, family)}
    parameters = _parameters(settings)

    def words(given: Mapping[str, Any]) -> list[str]:
        outputs = [word for what in _OUTPUTS for word in ("--output", what, given[what])]
        return [
            "submit",
            f"--generate-name={given['name']}-",
            f"--step-id={'/'.join(str(given[part]) for part in _STEP)}",
            *_value_words(given, parameters),
            *("--logs", "--on-signal", "stop", *outputs),
        ]

    return _task("train", inputs, parameters, words, image, pull_policy, _OUTPUTS)


def check_component(
    *,
    values: Values = "",
    family: str | PipelineChannel = "",
    settings: Mapping[str, Setting] = {},
    data: bool = True,
    image: str = IMAGE,
    pull_policy: str = "IfNotPresent",
) -> dsl.PipelineTask:
    """A task that runs `trainchart doctor`, and fails where something would keep the run from starting; to be called in a pipeline.

    Args:
        values: as of `train_component`, as are all others.
        data: whether a pod of the run's image looks at its sources too, and at the repository of the result.

    Raises:
        UsageError: something that is known already is wrong.
    """
    parameters = _parameters(settings)

    def words(given: Mapping[str, Any]) -> list[str]:
        return ["doctor", *_value_words(given, parameters), *(["--data"] if data else [])]

    return _task("check", _values(values, family), parameters, words, image, pull_policy, {})


def _values(values: Values, family: str | PipelineChannel) -> dict[str, Any]:
    return {"values": _text(values), **({} if family == "" else {"family": family})}


def _value_words(given: Mapping[str, Any], parameters: Mapping[str, Setting]) -> list[str]:
    """The options for values. Each is one word, for a text may begin with a hyphen; `dsl.ConcatPlaceholder` would not be replaced."""
    family = [f"--family={given['family']}"] if "family" in given else []
    options = {name: "required-param" if _is_output(value) else "param" for name, value in parameters.items()}
    return [
        f"--values-text={given['values']}",
        *family,
        *(f"--{option}={name}={given[name]}" for name, option in options.items()),
    ]


def _is_output(value: Setting) -> bool:
    """Whether it is an output of another task, and neither a parameter of the pipeline nor an item of a loop."""
    return isinstance(value, PipelineChannel) and bool(value.task_name)


def _task(
    name: str,
    inputs: Mapping[str, Any],
    parameters: Mapping[str, Any],
    words: Callable[[Mapping[str, Any]], list[str]],
    image: str,
    pull_policy: str,
    outputs: Mapping[str, type],
) -> dsl.PipelineTask:
    if not isinstance(image, str):
        raise UsageError(
            f"image is {type(image).__name__}; give text: Kubeflow has to know it when the pipeline is compiled"
        )
    types = {**dict.fromkeys(inputs, str), **{key: _type(key, value) for key, value in parameters.items()}}
    if _is_mapping(inputs["values"]):
        types["values"] = dict
    written = {what: dsl.OutputPath(kind) for what, kind in outputs.items()}

    def component(*placeholders: Any) -> dsl.ContainerSpec:
        given = dict(zip([*types, *written], placeholders, strict=True))
        return dsl.ContainerSpec(image=image, command=["trainchart"], args=words(given))

    # By its signature, the SDK learns the inputs and outputs.
    component.__name__ = name
    component.__signature__ = Signature(  # type: ignore[attr-defined]
        [Parameter(key, Parameter.POSITIONAL_OR_KEYWORD, annotation=kind) for key, kind in {**types, **written}.items()]
    )
    task = dsl.container_component(component)(**inputs, **parameters)
    if dsl.pipeline_context.Pipeline.get_default_pipeline() is None:
        return task  # outside a pipeline, where the SDK has run it on this machine
    # Else a second run with equal inputs would end at once, with the outputs of the first.
    task.set_caching_options(False)
    task.set_cpu_request("50m").set_memory_request("128Mi").set_memory_limit("512Mi")
    kubernetes.set_image_pull_policy(task, pull_policy)
    # The host name of a pod is cut at 63 characters.
    kubernetes.use_field_path_as_env(task, env_name="POD_NAME", field_path="metadata.name")
    return task


def _parameters(settings: Mapping[str, Setting]) -> dict[str, Any]:
    given = {key: value for key, value in settings.items() if value is not None}
    return {name: _plain(key, given[key]) for key, name in parameter_names(given).items()}


def _plain(key: str, value: Setting) -> Any:
    if isinstance(value, str) and not _PLACEHOLDER.fullmatch(value):
        return _replaced_nowhere(f"settings: {key}", value)
    if isinstance(value, (PipelineChannel, str)):
        return value
    if isinstance(value, dsl.PipelineTask):
        raise UsageError(f"settings: {key} is a task; give one of its outputs, such as task.outputs['commit']")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    raise UsageError(
        f"settings: {key} is {type(value).__name__}; give text, a number, True or False, and others in values"
    )


def _is_mapping(value: Any) -> bool:
    """Whether it is a mapping that is known when the pipeline runs: it reaches the task as JSON, which is YAML."""
    return isinstance(value, PipelineChannel) and str(value.channel_type).upper().startswith(("STRUCT", "DICT"))


def _type(key: str, value: Any) -> type:
    if not isinstance(value, PipelineChannel):
        return str
    kind = str(value.channel_type)
    if found := _TYPES.get(kind) or _TYPES.get(kind.lower()):
        return found
    raise UsageError(f"settings: {key} is {kind}, and has to be text, a number, or true or false; put it in values")


def _text(values: Values) -> str | PipelineChannel:
    """The text of a values file."""
    if isinstance(values, PipelineChannel):
        return values
    if isinstance(values, Mapping):
        try:
            text = yaml_of(values)
        except UsageError as error:
            raise UsageError(f"{error}; what is known when the pipeline runs is given in settings") from None
    elif isinstance(values, os.PathLike):
        try:
            text = read_text(os.fspath(values))
        except FileError as error:
            raise UsageError(f"values: {os.fspath(values)} {error}") from None
    elif isinstance(values, str):
        text = values
        if text.strip() and "\n" not in text and (text.endswith((".yaml", ".yml", ".json")) or ":" not in text):
            raise UsageError(f"values is the text of a values file; for a file, give Path({text!r})")
    else:
        raise UsageError(f"values is {type(values).__name__}; give a mapping, the Path of a values file, or its text")
    return _replaced_nowhere("values", text)


def _replaced_nowhere(what: str, text: str) -> str:
    """Return a text without anything that Kubeflow would replace in it, or leave as it is. Raises UsageError."""
    if "{{$" in text:
        raise UsageError(f"{what} has {{{{$, which begins what Kubeflow replaces; leave it out")
    return text
