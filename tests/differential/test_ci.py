"""The jobs `try` of `deploy/`, in the repository of a team: on GitHub beside Docker, on GitLab in the training image itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.cluster.steps import CACHE, digest
from e2e.fixtures import yolov5
from tests.chart.matrix import ROOT
from tests.tools import built
from tests.tools.ci_jobs import FILES, run, scripts, shell, variables

from .trainer import image_of

pytestmark = pytest.mark.differential
VALUES = "-f base.yaml -f run.yaml"
DOCKER = """\
#!/bin/sh
# No registry is here: an image that Docker has counts as pulled.
if [ "$1" = pull ]; then exec "{docker}" image inspect "$3" >/dev/null; fi
exec "{docker}" "$@"
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built.wheel(built.build(tmp_path_factory))


@pytest.fixture
def team(tmp_path: Path) -> Path:
    """The repository of a team: the model's, with values and a few images."""
    folder = tmp_path / "team"
    image = image_of("yolov5")
    shutil.copytree(yolov5.model_repository(image), folder, ignore=shutil.ignore_patterns(".git"))
    few = folder / "tests" / "few-images"
    shutil.copytree(yolov5.dataset_repository(image), few, ignore=shutil.ignore_patterns(".git"))
    shutil.copy(ROOT / "values/yolov5.yaml", folder / "base.yaml")
    shutil.copy(ROOT / "e2e/values/yolov5.yaml", folder / "run.yaml")
    return folder


def job(forge: str, team: Path, wheel: Path) -> subprocess.CompletedProcess[str]:
    """The job `try` of a forge."""
    return (on_github if forge == "github" else on_gitlab)(team, wheel)


def on_github(team: Path, wheel: Path) -> subprocess.CompletedProcess[str]:
    programs, python, packages = team.parent / "programs", team.parent / "python", team.parent / "packages"
    programs.mkdir()
    packages.mkdir()
    (programs / "docker").write_text(DOCKER.format(docker=shutil.which("docker")))
    (programs / "docker").chmod(0o755)
    subprocess.run([sys.executable, "-m", "venv", python], check=True)
    environment = {
        "IMAGE": image_of("yolov5"),
        "PATH": f"{programs}:{python}/bin:{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PYTHONPATH": str(built.requirements(packages)),
        "TRAINCHART": f"{wheel}[engine]",
        "TRAINCHART_CACHE": str(team.parent / "cache"),
        "VALUES": VALUES,
    }
    return run("github", "try", team, environment)


def on_gitlab(team: Path, wheel: Path) -> subprocess.CompletedProcess[str]:
    """In a container as the runner's Docker executor starts it, without a network: pip finds the packages in a folder."""
    (script,) = scripts("gitlab", "try")
    subprocess.run(["chmod", "-R", "a+rwX", team], check=True)  # as the runner's umask has it
    environment = {
        **variables("gitlab"),
        "TRAINCHART": f"/packages/{wheel.name}[engine]",
        "VALUES": VALUES,
        "PIP_NO_INDEX": "1",
    }
    options = [f"--env={name}={value}" for name, value in {**environment, "PIP_FIND_LINKS": "/packages"}.items()]
    mounts = [f"--volume={team}:/builds/team", f"--volume={packages(wheel)}:/packages:ro", "--workdir=/builds/team"]
    command = [
        "docker",
        "run",
        "--rm",
        "--interactive",
        "--network=none",
        *options,
        *mounts,
        image_of("yolov5"),
        *shell("gitlab"),
    ]
    return subprocess.run(
        command, input=script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True
    )


def packages(wheel: Path) -> Path:
    """The wheel, and the packages that it needs in the image's Python, which come from the index once."""
    asked = [
        "docker", "run", "--rm", "--network=none", image_of("yolov5"),
        "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])",
    ]  # fmt: skip
    version = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    folder = CACHE / "wheels" / digest(version, (ROOT / "requirements.txt").read_bytes())
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        pins = partial / "pins.txt"
        partial.mkdir(parents=True)
        lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
        pins.write_text("\n".join(line.removesuffix(" \\") for line in lines if "==" in line and " --hash" not in line))
        only = ["--only-binary=:all:", f"--python-version={version}"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", *only, f"--dest={partial}"]
        subprocess.run([*command, f"--constraint={pins}", f"{wheel}[engine]"], check=True)
        partial.rename(folder)
    for old in folder.glob("trainchart-*.whl"):
        old.unlink()
    shutil.copy(wheel, folder)
    return folder


@pytest.mark.parametrize("forge", FILES)
def test_the_job_trains_one_epoch(forge: str, team: Path, wheel: Path) -> None:
    process = job(forge, team, wheel)
    assert process.returncode == 0, process.stdout[-3000:]
    assert "\ncompleted after " in process.stdout
    assert "running all stages but publish, on the CPU" in process.stdout


@pytest.mark.parametrize("forge", FILES)
def test_the_job_fails_for_damaged_data_with_the_code_of_its_stage(forge: str, team: Path, wheel: Path) -> None:
    (team / "tests/few-images/labels/train/00.txt").write_text("9 0.5 0.5 0.2 0.2\n")
    process = job(forge, team, wheel)
    assert process.returncode == 30, process.stdout[-3000:]
    assert "class 9" in process.stdout.splitlines()[-2]
