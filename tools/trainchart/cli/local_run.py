"""What `try` and `check-data` share: options, where to run, the values of a run on this machine, and what its runner says."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainchart.cli.output import coloured
from trainchart.cli.parser import Parser
from trainchart.errors import ExitCode, FileError, RenderError, UsageError
from trainchart.files import Tree, overlay
from trainchart.terminal import print_message, print_text

if TYPE_CHECKING:
    from trainchart.local.container import Engine
    from trainchart.local.pod import LocalPod
    from trainchart.values.overrides import Overrides

NAME = "try"
"""The name of the release, and of the run's folder."""

_NAMESPACE = "this-machine"
_OPTIONS = {"model": "--model", "dataset": "--data"}
_LOCATIONS = ("repository", "bucket", "claimName")


def add_local_options(parser: Parser) -> None:
    """Add the options that say where to run."""
    group = parser.add_argument_group("this machine")
    group.add_argument(
        "--engine", choices=("docker", "podman"), default="", help="container engine (default: the one that is there)"
    )
    group.add_argument(
        "--here", action="store_true", help="run in this Python, which has the trainer, and not in a container"
    )
    group.add_argument(
        "--network", action="store_true", help="let the container use the network (default: it has none)"
    )


@dataclass(frozen=True)
class Place:
    """Where to run: in a container of an engine, or, without one, in this Python."""

    engine: Engine | None
    network: bool = False
    gpu: bool = False

    @property
    def device(self) -> str:
        return "GPU" if self.gpu else "CPU"

    def __str__(self) -> str:
        return self.engine.name if self.engine else f"this Python ({sys.executable})"

    def discard(self, folder: Path) -> None:
        """End what a command that was killed has left running in its working folder."""
        from trainchart.local import container

        if self.engine:
            container.remove_abandoned(self.engine, folder)

    def run(self, pod: LocalPod, show: Callable[[bytes], None]) -> int:
        """Run the pod, and return the exit code of its runner.

        Raises:
            ContainerError: it could not be started, or its runner has reported no reason.
        """
        from trainchart.chart.exit_codes import runner_codes
        from trainchart.chart.families import local_profile
        from trainchart.local import container, here

        last: list[bytes] = []

        def watch(line: bytes) -> None:
            last[:] = [*last[-4:], line]
            show(line)

        if self.engine is None:
            code = here.run(pod, watch)
        else:
            devices = self.engine.gpu_options(local_profile()[1]) if self.gpu else []
            code = container.run(self.engine, pod, watch, network=self.network, devices=devices)
        if code in runner_codes():
            return code
        said = b" ".join(last).decode("utf-8", "replace")
        raise container.ContainerError(_unexplained(code, said, pod.image))


def _unexplained(code: int, said: str, image: str) -> str:
    """Why a run ended where its runner reported nothing."""
    if "exec format error" in said:
        return f"image {image} is for another kind of machine, and does not run here; get the one for this machine"
    if "executable file not found" in said or code == 127:
        return f"image {image} has no python3, which every run needs; use another image"
    if "No module named runner" in said:
        return (
            "the container does not see the folders of this machine: its engine is elsewhere; name a folder that both share "
            "by TRAINCHART_CACHE, or use --here"
        )
    return f"the run ended with exit code {code}, and no reason reported by the runner; see its output above"


def choose_place(options: argparse.Namespace) -> Place:
    """Where the options say to run; `gpu` says whether one is there.

    Raises:
        UsageError, EngineError: it cannot run there.
    """
    from trainchart.chart.families import local_profile
    from trainchart.local import here
    from trainchart.local.container import find_engine

    _, local = local_profile()
    if not options.here:
        engine = find_engine(options.engine)
        return Place(engine, options.network, bool(engine.gpu_options(local)))
    if options.engine or options.network:
        raise UsageError("--here: has no container; leave out --engine and --network")
    if sys.platform != "linux":
        raise UsageError("--here: the runner needs Linux; leave it out to run in a container")
    return Place(None, gpu=here.has_gpu(local))


def without_needless_gpu(place: Place, given: Mapping[str, Any]) -> Place:
    """The place, with its GPU only if the values ask for one of its kind."""
    from trainchart.chart.families import local_profile, profile_data, profile_names

    local, _ = local_profile()
    accelerator = section(given, "accelerator")
    name = accelerator.get("profile")
    profile = section(section(accelerator, "profiles"), str(name)) or (
        profile_data(str(name)) if name in profile_names() else {}
    )
    return replace(place, gpu=place.gpu and profile.get("backend") == profile_data(local)["backend"])


def values_given(files: Sequence[tuple[str, str]], overrides: Overrides) -> Tree:
    """The values as the user has them; empty if they cannot be read, which `manifests` reports."""
    from trainchart.values.validate import values_of

    try:
        return values_of([path for path, _ in files], overrides)
    except (FileError, RenderError):
        return {}


def section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of the values, whatever is there."""
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def is_configured(values: Mapping[str, Any], name: str) -> bool:
    """Whether the values name a model or dataset."""
    return any(section(values, name).get(key) for key in _LOCATIONS)


def on_this_machine(overrides: Overrides, given: Mapping[str, Any], sources: Sequence[str], place: Place) -> Overrides:
    """The overrides that make of a run for the cluster one of a single pod on this machine, which publishes nothing.

    Args:
        overrides: those of the command line.
        given: the values as the user has them.
        sources: those that are folders of this machine.
        place: where to run.
    """
    from trainchart.chart.families import local_profile

    kept = {key: value for key, value in section(given, "dataset").items() if key in ("path", "maxBroken")}
    publish = {key: value for key, value in section(given, "publish").items() if key in ("modelName", "maxBatchSize")}
    sections: dict[str, tuple[str, Any]] = {
        "model": (_OPTIONS["model"], _claim("model") if "model" in sources else {}),
        "dataset": (_OPTIONS["dataset"], {**_claim("dataset"), **kept} if "dataset" in sources else {}),
        "accelerator": (NAME, {"profile": local_profile()[0], "count": 1} if place.gpu else {"profile": "cpu"}),
        "workspace": (NAME, {**_claim("workspace"), "type": "existingClaim"}),
        "publish": (NAME, {**publish, "type": "none"}),
        **{key: (NAME, {}) for key in ("cache", "git", "mlflow", "tune", "networkPolicy", "resources", "owner")},
        # No cluster, no Secrets, ConfigMaps and claims.
        "caBundle": (NAME, {}),
        "secretEnv": (NAME, {}),
        "secretFiles": (NAME, {}),
        "volumes": (NAME, []),
        "sidecars": (NAME, "disable"),
        "holdAfterFailure": (NAME, ""),
        "replicas": (NAME, 1),
        "retries": (NAME, 0),
    }
    if place.engine is None:
        sections["sharedMemory"] = ("--here", "1Mi")
        sections["image"] = ("--here", given.get("image") or "this-python")
    return replace(overrides, sections=sections, defaults={} if place.gpu else _without_device(given))


def _claim(name: str) -> Tree:
    """A volume of the pod, which is a folder of this machine."""
    return {"type": "claim", "claimName": f"local-{name}"}


def _without_device(given: Mapping[str, Any]) -> Tree:
    """What a family's settings have to be without an accelerator."""
    from trainchart.chart.families import family_data, family_names

    name = given.get("family")
    values: Tree = {}
    for key in family_data(name).get("acceleratorOnly", []) if name in family_names() else []:
        head, _, last = key.partition(".")
        values = overlay(values, {head: {last: False}})
    return values


def are_fitting(files: Sequence[tuple[str, str]], overrides: Overrides) -> bool:
    """Whether the cluster takes each value that the user has given, also those that this machine replaces; what is wrong has
    been printed. Values may be missing.
    """
    from trainchart.checks.values import validated
    from trainchart.values.validate import Report

    given = values_given(files, overrides)
    wrong = Report(
        [
            found
            for found in validated(files, overrides, name=NAME, namespace=_NAMESPACE).diagnostics
            if found.source == "schema" or (found.source == "rule" and _has(given, found.key or ""))
        ],
        "",
    )
    if not wrong.valid:
        print_text(wrong.text(coloured), sys.stderr, styled=True)
    return wrong.valid


def _has(values: Any, key: str) -> bool:
    """Whether the values have something at a key, such as model.revision."""
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return bool(values)


def manifests(files: Sequence[tuple[str, str]], overrides: Overrides) -> list[dict[str, Any]] | None:
    """The objects of the run; None if the values are not valid, which has been printed."""
    from trainchart.chart.render import render
    from trainchart.checks.values import validated
    from trainchart.values.validate import values_of

    report = validated(files, overrides, name=NAME, namespace=_NAMESPACE)
    if not report.valid:
        print_text(report.text(coloured), sys.stderr, styled=True)
        return None
    return render(values_of([path for path, _ in files], overrides), name=NAME, namespace=_NAMESPACE)


def check_image(place: Place, objects: Sequence[Mapping[str, Any]]) -> None:
    """Check that the image is there, before anything is fetched. Raises ImageError."""
    from trainchart.local import container
    from trainchart.local.pod import image_of

    if place.engine and (platform := container.check_image(place.engine, image_of(objects))):
        print_message(f"image {image_of(objects)} is for {platform}; on this machine it is slow, if it runs at all")


def source_folder(name: str, folder: str, given: Mapping[str, Any], scratch: Path) -> Path:
    """The folder of model or dataset: the one that the command line names, or what the user's git fetches.

    Raises:
        UsageError, FileError
    """
    from trainchart.local.sources import check_folder, fetch

    if folder:
        return check_folder(_OPTIONS[name], folder)
    source = section(given, name)
    print_message(f"fetching {name}.repository with your git: {source.get('repository')}")
    return fetch(name, source, scratch / f"fetched-{name}")


def result_of(pod: LocalPod) -> Mapping[str, Any]:
    """What the runner has left as result.json; empty if it has left none."""
    try:
        found = json.loads(pod.result.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def print_failure(what: str, result: Mapping[str, Any]) -> None:
    """Print why the run failed, as `trainchart wait` does."""
    from trainchart.follow.outcome import format_failure

    print_text("\n".join([what, *format_failure(result)]), sys.stderr)


EXIT_CODES = (ExitCode.NOT_FOUND, ExitCode.UNREACHABLE, ExitCode.RUN_FAILED)
"""Those that both commands have."""
