"""The bills of material say what is installed with the tools and in their image, in CycloneDX, and always the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.validation.json import JsonStrictValidator

from hack import sbom
from hack.package import EPOCH, package_python
from tests.tools.test_recipes import pins
from trainchart.version import __version__

ROOT = sbom.ROOT
IMAGE = ROOT / "images/trainchart/requirements.txt"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package_python(tmp_path_factory.mktemp("wheel"))[0]


@pytest.fixture(scope="module")
def bills(wheel: Path, tmp_path_factory: pytest.TempPathFactory, helm: str) -> list[Path]:
    """Of the wheel, and of the image."""
    return sbom.write(tmp_path_factory.mktemp("bills"), wheel, helm=helm, epoch=EPOCH)


def components(bill: Path, kind: str) -> dict[str, Any]:
    """The components of a package URL type, by their names."""
    found = json.loads(bill.read_text())["components"]
    return {one["name"]: one for one in found if one["purl"].startswith(f"pkg:{kind}/")}


@pytest.mark.lab
def test_both_are_valid_by_the_published_schema(bills: list[Path]) -> None:
    validator = JsonStrictValidator(sbom.SCHEMA)
    for bill in bills:
        assert validator.validate_str(bill.read_text()) is None
    broken = bills[0].read_text().replace('"alg": "SHA-256"', '"alg": "SHA"', 1)
    assert validator.validate_str(broken) is not None


@pytest.mark.lab
def test_the_image_has_its_pins_and_the_helm_program_with_the_modules_that_it_is_made_of(bills: list[Path]) -> None:
    python = components(bills[1], "pypi")
    assert {name: one["version"] for name, one in python.items()} == {
        **pins(IMAGE.read_text()),
        "trainchart": __version__,
    }
    assert all(one["hashes"] for one in python.values())
    go = components(bills[1], "golang")
    assert go["helm.sh/helm/v4"]["version"].startswith("v4.")
    assert {"k8s.io/client-go", "github.com/ProtonMail/go-crypto"} < go.keys()


@pytest.mark.lab
def test_the_wheel_has_what_pip_installs_with_it(bills: list[Path]) -> None:
    wheel = components(bills[0], "pypi")
    assert pins(IMAGE.read_text()).keys() < wheel.keys()
    assert "aiohttp" in wheel, "which the image leaves out"
    assert "pytest" not in wheel
    assert {name for name, one in wheel.items() if one["scope"] == "optional"} == {"helm-python-sdk"}
    assert "helm-python-sdk" not in components(bills[1], "pypi")
    assert components(bills[0], "golang") == {}


@pytest.mark.lab
def test_everything_is_reached_from_the_root_and_nothing_depends_on_what_is_not_listed(bills: list[Path]) -> None:
    for bill in bills:
        read = json.loads(bill.read_text())
        root = read["metadata"]["component"]["bom-ref"]
        edges = {one["ref"]: one.get("dependsOn", []) for one in read["dependencies"]}
        reached, waiting = set[str](), [root]
        while waiting:
            ref = waiting.pop()
            reached.add(ref)
            waiting += [needed for needed in edges[ref] if needed not in reached]
        assert reached == {root, *(one["bom-ref"] for one in read["components"])}


@pytest.mark.lab
def test_they_are_the_same_bytes_again_and_name_no_host_and_no_folder_of_this_machine(
    bills: list[Path], wheel: Path, tmp_path: Path, helm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Seoul")
    monkeypatch.chdir(tmp_path)
    again = sbom.write(tmp_path, wheel, helm=helm, epoch=EPOCH)
    assert [path.read_bytes() for path in again] == [bill.read_bytes() for bill in bills]
    assert len({json.loads(bill.read_text())["serialNumber"] for bill in bills}) == 2
    for bill in bills:
        text = bill.read_text()
        assert re.findall(r"\w+://[^\"]*", text) == ["http://cyclonedx.org/schema/bom-1.6.schema.json"]
        assert not [folder for folder in (str(ROOT), str(Path.home()), str(tmp_path)) if folder in text]


def test_a_list_of_pins_is_read_for_the_python_of_the_image(tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(
        "# Made by: make pins\n"
        "Typing_Extensions==4.16.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
        "zipp==3.1 ; python_full_version < '3.11' \\\n    --hash=sha256:cc\n"
        "zipp==4.1 ; python_full_version >= '3.11' \\\n    --hash=sha256:dd\n"
        "pywin32==1 ; sys_platform == 'win32' \\\n    --hash=sha256:ee\n"
    )
    assert sbom.read_pins(path) == {"typing-extensions": ("4.16.0", ["aa", "bb"]), "zipp": ("4.1", ["dd"])}


@pytest.mark.parametrize(
    ("requirement", "name"),
    [
        ("jinja2<4,>=3.1.6", "jinja2"),
        ("PyYAML", "pyyaml"),
        ("helm-python-sdk; extra == 'engine'", ""),
        ("tzdata; sys_platform == 'win32'", ""),
        ("exceptiongroup; python_version < '3.11'", ""),
    ],
)
def test_a_requirement_counts_where_the_image_has_it(requirement: str, name: str) -> None:
    assert sbom.required(requirement) == name
