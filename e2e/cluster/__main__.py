"""`python3 -m e2e.cluster COMMAND`, run from the root of the checkout."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from types import ModuleType

from e2e.gitserver import server as gitserver
from e2e.servers import server as servers

from . import browser, docker, engines, kind, kubeflow, published, registry, sshd, steps, volcano
from .docker import ImageSet
from .from_source import images as source
from .from_source.programs import build_tools
from .steps import CACHE, KUBECONFIG, StepError, quiet, say, step

IMAGES_CHOICE = CACHE / "images-from"


def up() -> None:
    """Builds what is missing, and starts the cluster, Volcano and the git server until all of them answer."""
    choice = os.environ.get("TRAINCHART_IMAGES", "")
    if choice not in ("", "published", "source"):
        advice = "It may be 'published' or 'source'; where it is unset, the choice is made here."
        raise StepError(f"TRAINCHART_IMAGES is {choice!r}", advice)
    build_tools()
    docker.ensure()
    images = prepare_images(choice)
    kind.ensure(images)
    kind.load_images(images.load)
    volcano.install(images)
    server = gitserver.ensure(images.gitea)
    say(f"\nready: export KUBECONFIG={KUBECONFIG}\n       git server {server.url_outside}, in pods {server.url_inside}")


def prepare_images(choice: str) -> ImageSet:
    """The images from the given source, else from the one chosen before, else from a registry if one answers."""
    if not choice and IMAGES_CHOICE.exists():
        choice = IMAGES_CHOICE.read_text().strip()
    if not choice:
        with step("probe an image registry"):
            choice = "published" if published.can_pull() else "source"
    say(f"images: {choice}")
    images = published.prepare() if choice == "published" else source.prepare()
    IMAGES_CHOICE.write_text(choice)
    return images


def load_training_images(folders: Sequence[str]) -> None:
    """Builds training images, and loads them into the node of the running cluster."""
    kind.load_images(_chosen().training_images(folders))


def load_tools_image() -> None:
    """Builds the image of the tools from this checkout, and loads it into the node of the running cluster."""
    kind.load_images([source.build_tools_image(_chosen().DEBIAN)])


def load_notebook_image() -> None:
    """Builds the image of a notebook from this checkout, and loads it into the node of the running cluster."""
    kind.load_images([source.notebook_image(_chosen().DEBIAN)])


def start_servers() -> None:
    """Starts an object store and MLflow in the running cluster."""
    chosen = _chosen()
    minio = source.minio_image(chosen.DEBIAN)
    (mlflow,) = chosen.training_images(["mlflow"])
    started = servers.ensure(minio, mlflow)
    say(f"\nready: object store {started.minio_outside}, in pods {started.minio_inside}")
    say(f"       MLflow {started.mlflow_outside}, in pods {started.mlflow_inside}")


def start_engines(names: Sequence[str]) -> None:
    """Installs engines in the running cluster, and loads the image of the tools that their steps run.

    They are built from source on every host: Tekton's published images have no names that can be known here.
    """
    for name in names:
        if name not in engines.ENGINES:
            raise StepError(f"engine {name!r} does not exist", f"The engines are {', '.join(engines.ENGINES)}.")
    wanted, chosen = names or list(engines.ENGINES), _chosen()
    kind.load_images([*source.engine_images(wanted), source.build_tools_image(chosen.DEBIAN)])
    for name in wanted:
        engines.install(name)


def _chosen() -> ModuleType:
    """The module that provides the images of the running cluster."""
    if not IMAGES_CHOICE.exists() or not kind.is_ready():
        raise StepError("the cluster is not running", "Run `python3 -m e2e.cluster up` first.")
    return published if IMAGES_CHOICE.read_text().strip() == "published" else source


def down() -> None:
    """Stops the node; `up` starts it again with everything in it."""
    with step("stop the cluster") as current:
        if quiet(["docker", "inspect", "--format", "{{.State.Status}}", kind.NODE]) == "running":
            current.run(["docker", "stop", "--time", "15", kind.NODE])
        else:
            current.cached()


def clean() -> None:
    """Removes the cluster, the images that were built, and the cache."""
    with step("remove the cluster") as current:
        kind.delete(current)
    with step("remove the images"):
        docker.remove_images()
    with step(f"remove {CACHE}"):
        shutil.rmtree(CACHE, ignore_errors=True)


def status() -> bool:
    """Prints which parts are ready; returns whether all are."""
    facts = {
        "docker": docker.answers(),
        "cluster": kind.is_ready(),
        "volcano": volcano.is_ready(),
        "git server": gitserver.is_ready(),
    }
    for name, stands in facts.items():
        say(f"{name:<11} {'ready' if stands else 'not ready'}")
    say(f"kubeconfig  {KUBECONFIG}")
    return all(facts.values())


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python3 -m e2e.cluster",
        description="A Kubernetes cluster with Volcano and a git server on this machine, for end-to-end tests.",
        epilog=textwrap.dedent("""\
            TRAINCHART_CACHE             where everything is kept (default: $XDG_CACHE_HOME/trainchart or ~/.cache/trainchart)
            TRAINCHART_IMAGES            published | source: where images come from (default: published if a registry answers)
            TRAINCHART_KEEP_BUILD_CACHE  1 keeps the Go caches after a build
        """),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    tool_parser = commands.add_parser("tools", help=f"build pinned tools into {steps.BIN}; without names, all of them")
    tool_parser.add_argument("names", nargs="*", metavar="NAME")
    commands.add_parser("browser", help="install Chromium if it is missing, for the tests of pages")
    commands.add_parser("kubeflow", help="install the SDK of Kubeflow Pipelines if it is missing, for its tests")
    commands.add_parser("sshd", help="install sshd if it is missing, for the tests of git over SSH")
    commands.add_parser("gpg", help="install gpg if it is missing, for the tests of signatures")
    commands.add_parser("registry", help="build an OCI registry, and install gpg, for the tests of published charts")
    commands.add_parser("docker", help="install and start Docker if it is missing")
    commands.add_parser("up", help="bring up everything; quick if the cluster is running already")
    image_parser = commands.add_parser("images", help="build training images and load them into the running cluster")
    image_parser.add_argument("names", nargs="+", metavar="NAME", help="a folder of e2e/images")
    commands.add_parser("tools-image", help="build the image of the tools and load it into the running cluster")
    commands.add_parser(
        "notebook-image", help="build the image of a notebook with the tools and load it into the running cluster"
    )
    commands.add_parser(
        "servers", help="start an object store and MLflow in the running cluster, for the cases that need them"
    )
    engine_parser = commands.add_parser(
        "engines", help="install Tekton and Argo Workflows in the running cluster, for the cases that need them"
    )
    engine_parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{' or '.join(engines.ENGINES)}; without names, all of them"
    )
    commands.add_parser("down", help="stop the cluster's node; up starts it again")
    commands.add_parser("clean", help="remove the cluster, its images and the cache")
    commands.add_parser("status", help="print which parts are ready; exit code 1 if one is not")
    arguments = parser.parse_args()
    try:
        if arguments.command == "status":
            return 0 if status() else 1
        with steps.alone():
            shutil.rmtree(CACHE / "tmp", ignore_errors=True)  # of a run that was killed
            if arguments.command == "tools":
                build_tools(arguments.names)
            elif arguments.command == "images":
                load_training_images(arguments.names)
            elif arguments.command == "engines":
                start_engines(arguments.names)
            else:
                functions = {
                    "browser": browser.ensure,
                    "kubeflow": kubeflow.ensure,
                    "sshd": sshd.ensure,
                    "gpg": registry.ensure_gpg,
                    "registry": registry.ensure,
                    "docker": docker.ensure,
                    "up": up,
                    "tools-image": load_tools_image,
                    "notebook-image": load_notebook_image,
                    "servers": start_servers,
                    "down": down,
                    "clean": clean,
                }
                functions[arguments.command]()
    except StepError as failure:
        sys.stdout.flush()
        print(failure.report(), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command continues from here", file=sys.stderr)
        return 130
    steps.print_table()
    return 0


if __name__ == "__main__":
    sys.exit(main())
