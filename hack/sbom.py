"""Bills of material in CycloneDX: what the tools are installed with, and what their image has beyond the distribution's packages.

They are made of the wheel, of the pins, and of what the helm program says about its build, so that the same checkout gives
the same bytes. No chart is in them: it pulls in nothing but the images that its values name.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterable
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SCHEMA = SchemaVersion.V1_6
# Requirements are those of the Python in images/trainchart, whatever this program runs on.
ENVIRONMENT = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
}
IMAGE = "The distribution's packages are not listed, nor the Go toolchain of the helm program: both are those of the base images."

Graph = dict[Component, list[Component]]
"""Components, and what each of them depends on."""


def write(folder: Path, wheel: Path, *, helm: str, epoch: int) -> list[Path]:
    """The bills of the wheel and of the image, in two new files of the folder."""
    requires, version = wheel_metadata(wheel)
    tools = Component(
        name="trainchart",
        version=version,
        type=ComponentType.APPLICATION,
        purl=PackageURL("pypi", name="trainchart", version=version),
        licenses=licenses("Apache-2.0"),
        hashes=sha256([hashlib.sha256(wheel.read_bytes()).hexdigest()]),
    )
    image = Component(name="trainchart-image", version=version, type=ComponentType.CONTAINER, description=IMAGE)
    program, modules = go_program(helm, "helm.sh/helm/v4")
    bills = {
        tools: packages(tools, requires, ROOT / "requirements.txt", extra="engine"),
        image: {
            image: [tools, program],
            **packages(tools, requires, ROOT / "images/trainchart/requirements.txt"),
            program: modules,
        },
    }
    written = []
    for root, graph in bills.items():
        path = folder / f"{root.name}-{version}.cdx.json"
        path.write_text(text(root, graph, epoch), encoding="utf-8")
        written.append(path)
    return written


def text(root: Component, graph: Graph, epoch: int) -> str:
    """A bill as JSON, with a serial number that its content gives it."""
    bom = Bom(serial_number=UUID(int=0))
    bom.metadata.component = root
    bom.metadata.timestamp = datetime.fromtimestamp(epoch, timezone.utc)
    for component, needs in graph.items():
        for found in (component, *needs):
            found.bom_ref.value = str(found.purl or found.name)
            if found is not root:
                bom.components.add(found)
    for component, needs in graph.items():
        bom.register_dependency(component, needs)
    bom.serial_number = uuid5(NAMESPACE_URL, make_outputter(bom, OutputFormat.JSON, SCHEMA).output_as_string())
    return f"{make_outputter(bom, OutputFormat.JSON, SCHEMA).output_as_string(indent=2)}\n"


def wheel_metadata(wheel: Path) -> tuple[list[str], str]:
    """What a wheel requires, and its version."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        found = metadata.PathDistribution(zipfile.Path(archive, name.rpartition("/")[0] + "/"))
        return found.requires or [], found.version


def packages(root: Component, requires: Iterable[str], pins: Path, *, extra: str = "") -> Graph:
    """The packages of a list of pins that the requirements lead to, by what the installed ones say that they require; those that
    only an extra of the root leads to are optional.
    """
    pinned = read_pins(pins)
    known: dict[str, Component] = {}
    graph: Graph = {}

    def visit(component: Component, requires: Iterable[str], extra: str, scope: ComponentScope) -> None:
        names = {name for one in requires if (name := required(one, extra)) in pinned}
        graph[component] = [
            known.setdefault(name, python_package(name, *pinned[name], scope)) for name in sorted(names)
        ]
        for needed in graph[component]:
            if needed not in graph:
                visit(needed, metadata.requires(needed.name) or [], "", scope)

    visit(root, requires, "", ComponentScope.REQUIRED)
    if extra:
        visit(root, requires, extra, ComponentScope.OPTIONAL)
    return graph


def required(requirement: str, extra: str = "") -> str:
    """The name of the package that is required, or "" where that is on another platform or for another extra only."""
    read = Requirement(requirement)
    environment = {**ENVIRONMENT, "extra": extra}
    return canonicalize_name(read.name) if read.marker is None or read.marker.evaluate(environment) else ""


def read_pins(path: Path) -> dict[str, tuple[str, list[str]]]:
    """Name -> version, and the sha256 of its files, of a list that pip installs with --require-hashes."""
    found = {}
    for line in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        pin, _, hashes = line.partition("--hash=")
        if pin.strip() and not pin.startswith("#") and (name := required(pin)):
            found[name] = (re.findall(r"==([^\s;]+)", pin)[0], re.findall(r"sha256:(\w+)", hashes))
    return found


def python_package(name: str, version: str, hashes: Iterable[str], scope: ComponentScope) -> Component:
    """A package with the hashes of all the files that the index has of this version: one for every platform."""
    said = metadata.metadata(name).json
    license_text = str(said.get("license_expression") or said.get("license") or "")
    return Component(
        name=name,
        version=version,
        scope=scope,
        purl=PackageURL("pypi", name=name, version=version),
        licenses=licenses(license_text) if len(license_text) < 40 else [],
        hashes=sha256(hashes),
    )


def go_program(program: str, module: str) -> tuple[Component, list[Component]]:
    """A program of a Go module, and the modules that it was built from, as it says itself."""
    built = json.loads(run("go", "version", "-m", "-json", shutil.which(program) or program))
    modules = [dependency.get("Replace") or dependency for dependency in built["Deps"]]
    version = run(program, "version", "--template", "{{.Version}}")
    made_of = [go_module(found["Path"], found["Version"]) for found in modules]
    return go_module(module, version, ComponentType.APPLICATION), made_of


def go_module(path: str, version: str, kind: ComponentType = ComponentType.LIBRARY) -> Component:
    namespace, _, name = path.rpartition("/")
    purl = PackageURL("golang", namespace=namespace.lower(), name=name.lower(), version=version)
    return Component(name=path, version=version, type=kind, purl=purl)


def licenses(said: str) -> list[License]:
    """A license by its SPDX identifier or expression, or else by the name that its package gives it."""
    return [LicenseFactory().make_from_string(said)] if said else []


def sha256(digests: Iterable[str]) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in digests]


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
