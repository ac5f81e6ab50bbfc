"""What is handed out: the packed chart is the chart and always the same bytes; the wheel works without a checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from hack.package import CHARTS, package_chart, package_python, uncommitted
from tests.conftest import rows
from tests.tools.built import build
from tests.tools.ci_jobs import commit
from tests.values.checks import ROOT, YOLOV5
from trainchart.chart.paths import CHART, LIB
from trainchart.version import __version__

PLATFORM = ROOT / "charts/platform"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, helm: str) -> Path:
    return package_chart(tmp_path_factory.mktemp("chart"), helm=helm)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the wheel and the sdist of this checkout."""
    return build(tmp_path_factory)


def chart_files() -> set[str]:
    return {
        path.relative_to(CHART).as_posix()
        for path in CHART.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.endswith(".pyc")
    }


def test_the_packed_chart_is_the_chart_with_its_license_and_nothing_else(packed: Path) -> None:
    with tarfile.open(packed) as archive:
        names = {name.removeprefix("train/") for name in archive.getnames()}
    assert names == chart_files() | {"charts/lib/LICENSE"}
    # The hook of `helm test` is part of the chart; tests of ours are not.
    assert [name for name in names if "test" in name] == ["templates/tests/check.yaml"]


def test_the_chart_packs_to_the_same_bytes_twice(packed: Path, tmp_path: Path, helm: str) -> None:
    copy = shutil.copytree(CHART, tmp_path / "elsewhere" / "train")
    (copy / "values.yaml").touch(0o600)
    (copy / "__pycache__").mkdir()
    (copy / "__pycache__" / "left.pyc").touch()
    assert package_chart(tmp_path, helm=helm, chart=copy).read_bytes() == packed.read_bytes()


@pytest.mark.parametrize("version", rows(["helm", "helm3"], "helm"))
def test_the_packed_chart_installs_as_the_folder_does(
    packed: Path, version: str, request: pytest.FixtureRequest
) -> None:
    def rendered(chart: Path) -> str:
        command = [request.getfixturevalue(version), "template", "run-42", str(chart), "-f", str(YOLOV5)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert rendered(packed) == rendered(CHART) != ""


@pytest.mark.parametrize("version", ["helm", "helm3"])
@pytest.mark.parametrize("chart", [CHART, pytest.param(PLATFORM, marks=pytest.mark.lab)], ids=lambda path: path.name)
def test_a_chart_passes_the_strict_linter(chart: Path, version: str, request: pytest.FixtureRequest) -> None:
    values = ["--values", str(YOLOV5)] if chart == CHART else []
    command = [request.getfixturevalue(version), "lint", "--strict", str(chart), *values]
    process = subprocess.run(command, check=False, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr


@pytest.mark.parametrize("chart", CHARTS, ids=lambda path: path.name)
def test_a_chart_describes_itself_as_artifact_hub_reads_it(chart: Path) -> None:
    """https://artifacthub.io/docs/topics/annotations/helm: a category or a license that it does not know is dropped."""
    annotations = yaml.safe_load((chart / "Chart.yaml").read_text())["annotations"]
    expected = {
        "category": "ai-machine-learning",
        "license": "Apache-2.0",
        "prerelease": str(__version__.startswith("0.")).lower(),
    }
    assert annotations == {**annotations, **{f"artifacthub.io/{name}": value for name, value in expected.items()}}
    assert all(isinstance(value, str) for value in annotations.values())


def test_charts_library_and_tools_have_one_version() -> None:
    folders = (CHART, LIB, PLATFORM)
    chart, library, platform = (yaml.safe_load((folder / "Chart.yaml").read_text()) for folder in folders)
    versions = {chart["version"], chart["appVersion"], chart["dependencies"][0]["version"], library["version"]}
    assert versions | {platform["version"], platform["appVersion"]} == {__version__}


def test_what_is_packed_without_a_commit_is_told(tmp_path: Path) -> None:
    assert uncommitted(tmp_path) == []  # the source distribution, which has no git
    commit(tmp_path / "new", {"docs/a.md": "a", "tests/a.py": "a", ".gitignore": "*.pyc\n"})
    assert uncommitted(tmp_path / "new") == []
    for name in ("docs/a.md", "deploy/my token", "tools/a/.env", "tools/a.pyc", "tests/b.py"):
        (tmp_path / "new" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "new" / name).write_text("changed")
    assert uncommitted(tmp_path / "new") == ["docs/a.md", "deploy/my token", "tools/a/.env"]


def test_the_platform_chart_packs_whole(tmp_path: Path, helm: str) -> None:
    with tarfile.open(package_chart(tmp_path, helm=helm, chart=PLATFORM)) as archive:
        names = {name.removeprefix("platform/") for name in archive.getnames()}
    assert names == {
        "LICENSE",
        *(path.relative_to(PLATFORM).as_posix() for path in PLATFORM.rglob("*") if path.is_file()),
    }


@pytest.mark.lab
def test_the_wheel_has_the_version_of_the_tools(built: Path) -> None:
    assert {path.name.split("-")[1].removesuffix(".tar.gz") for path in built.iterdir()} == {__version__}


def test_the_wheel_holds_the_chart_the_schema_and_the_pages(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    bundle = "trainchart/bundle/"
    assert {name.removeprefix(bundle) for name in names if name.startswith(bundle)} == {
        "values/schema.json",
        *(f"charts/train/{name}" for name in chart_files()),
        *(
            path.relative_to(ROOT).as_posix()
            for pages in ("docs/*.md", "docs/*.ipynb", "deploy/**/*.yaml")
            for path in ROOT.glob(pages)
        ),
    }
    assert {"trainchart/chart/paths.py", "trainchart/py.typed"} <= set(names)
    assert not [name for name in names if name.startswith("package.py")]


@pytest.mark.lab
def test_the_sdist_builds_the_same_bytes_on_a_machine_that_is_set_up_otherwise(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path)
    (root,) = tmp_path.iterdir()
    (root / "tools/trainchart/__pycache__").mkdir()
    (root / "tools/trainchart/__pycache__/left.pyc").touch()
    again = tmp_path / "again"
    again.mkdir()
    monkeypatch.setenv("TZ", "Asia/Seoul")
    monkeypatch.setenv("LC_ALL", "C")
    usual = os.umask(0o077)
    try:
        (root / "README.md").chmod(0o600)
        package_python(again, root=root)
    finally:
        os.umask(usual)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in built.iterdir()
    }


@pytest.mark.lab
@pytest.mark.parametrize("check", ["twine check --strict", "check-wheel-contents"])
def test_an_index_and_the_linters_of_packages_take_them(built: Path, check: str) -> None:
    program, *arguments = check.split()
    files = sorted(map(str, built.glob("*.whl" if program == "check-wheel-contents" else "*")))
    command = [str(Path(sys.executable).parent / program), *arguments, *files]
    process = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr


def test_the_page_on_an_index_has_no_link_that_leads_nowhere(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"trainchart-{__version__}.dist-info/METADATA").decode()
    assert "\n# trainchart\n" in text
    assert [link for link in re.findall(r"\]\(([^)]*)\)", text) if not link.startswith("https://")] == []
    assert not re.search(r"<img|src=|한국어", text)


@pytest.mark.lab
def test_the_installed_tools_work_in_an_empty_folder_and_write_nothing_into_the_installation(
    built: Path, tmp_path: Path, helm: str
) -> None:
    (wheel,) = built.glob("*.whl")
    environment, work = tmp_path / "environment", tmp_path / "work"
    work.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin/python"), "--disable-pip-version-check"]
    empty = files_below(environment)
    subprocess.run([*pip, "install", "--quiet", "--no-index", "--no-deps", wheel], check=True)
    installed = files_below(environment)
    (bundle,) = environment.glob("lib/python3*/site-packages/trainchart/bundle")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        # With the other packages that are installed here; links to the checkout are not followed on this path.
        variables = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
        command = [str(environment / "bin/trainchart"), *arguments]
        return subprocess.run(command, cwd=work, env=variables, check=False, capture_output=True, text=True)

    assert run("preset", "yolov5", "--accelerator", "nvidia", "--write", "run.yaml").returncode == 0
    schema = (work / "run.yaml").read_text().splitlines()[0].partition("$schema=file://")[2]
    assert Path(schema) == bundle / "values/schema.json"
    assert Path(schema).is_file()
    *warnings, last = run("validate", "run.yaml").stdout.splitlines()
    assert last == "valid: run-42, family yolov5, accelerator nvidia, replicas 1, 1 warning"
    assert "workspace.type: emptyDir loses the result" in warnings[0]
    assert run("docs", "rights").stdout == (ROOT / "docs/rights.md").read_text(encoding="utf-8")
    assert run("docs", "submitter.yaml").stdout == (ROOT / "deploy/submitter.yaml").read_text(encoding="utf-8")
    chart = run("chart").stdout.strip()
    assert Path(chart) == bundle / "charts/train"
    command = [helm, "template", "run-42", chart, "-f", "run.yaml"]
    assert subprocess.run(command, cwd=work, check=False, capture_output=True).returncode == 0
    assert files_below(environment) == installed
    subprocess.run([*pip, "uninstall", "--quiet", "--yes", "trainchart"], check=True)
    assert files_below(environment) == empty


def files_below(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))
