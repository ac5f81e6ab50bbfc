"""Builds programs from their Go modules, and copies files out of modules.

Programs land in $cache/bin, files in $cache/share. Each has a key, a hash of what it is made from, and is not built
again while the key is the same. The Go caches live under $cache too and are removed once everything is built (see
drop_build_cache).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..steps import BIN, CACHE, SHARE, Step, digest, step, temporary_folder

HERE = Path(__file__).resolve().parent
KEYS = CACHE / "keys"
ADVICE = "Needs Go 1.26.2 or newer, a C compiler for gitea, and a Go module proxy; run the same command again to go on."


@dataclass(frozen=True)
class GoModule:
    """A module and the programs built from it: program name -> package."""

    title: str
    path: str
    version: str
    programs: Mapping[str, str]
    ldflags: str = "-s -w"
    tags: str = ""
    cgo: bool = False
    # A folder of go/ whose go.mod serves where the module's own does not (it replaces local folders).
    workspace: str = ""
    # With a workspace: module@version -> go/FILE added to a copy.
    patches: Mapping[str, str] = field(default_factory=dict)
    # Without a workspace: symbolic links of the repository, which module zips drop: link -> the file that it points to.
    links: Mapping[str, str] = field(default_factory=dict)

    def key(self, program: str) -> str:
        files = sorted((HERE / "go" / self.workspace).glob("go.*")) if self.workspace else []
        files += [HERE / "go" / patch.split(":")[0] for patch in self.patches.values()]
        recipe = {**asdict(self), "title": "", "programs": self.programs[program]}
        links = [word for link in recipe.pop("links").items() for word in link]
        return digest(json.dumps(recipe, sort_keys=True), *links, *(file.read_bytes() for file in files))


def build(module: GoModule) -> None:
    """Builds the programs of a module that are missing or outdated."""
    with step(f"build {module.title}", ADVICE) as current:
        missing = [name for name in module.programs if not _stands(BIN / name, module.key(name))]
        if not missing:
            current.cached()
            return
        with temporary_folder() as work:
            source = work / "source"
            if module.workspace:
                _lay_workspace(current, module, source)
            else:
                _copy_tree(module_folder(current, module.path, module.version), source)
                for link, file in module.links.items():
                    (source / link).symlink_to(source / file)
            for name in missing:
                # -trimpath keeps the path of this copy out of the program and out of the build cache's keys.
                command = ["go", "build", "-trimpath", "-ldflags", module.ldflags, "-tags", module.tags]
                command += ["-o", str(work / name), module.programs[name]]
                current.run(command, cwd=source, env={**_go_environment(), "CGO_ENABLED": "1" if module.cgo else "0"})
                _put(work / name, BIN / name, module.key(name))


def module_files(name: str, module: str, version: str, paths: Mapping[str, str]) -> Path:
    """The folder $cache/share/NAME with files and folders of a module: path in the module -> path in the folder."""
    target = SHARE / name
    key = digest(module, version, json.dumps(paths, sort_keys=True))
    with step(f"take {name} out of {module} {version}", ADVICE) as current:
        if _stands(target, key):
            current.cached()
            return target
        with temporary_folder() as work:
            folder = module_folder(current, module, version)
            for source, place in paths.items():
                _copy_tree(folder / source, work / name / place)
            _put(work / name, target, key)
    return target


def module_folder(current: Step, module: str, version: str) -> Path:
    """Where Go's module cache holds a module, after downloading it."""
    with temporary_folder() as nowhere:  # outside any module, so that no go.mod is touched
        reply = current.output(
            ["go", "mod", "download", "-json", f"{module}@{version}"], cwd=nowhere, env=_go_environment()
        )
    return Path(json.loads(reply)["Dir"])


def drop_build_cache() -> None:
    """Removes the several GB of Go's caches; TRAINCHART_KEEP_BUILD_CACHE=1 keeps them for those who change versions."""
    with step("drop the Go caches") as current:
        folders = [folder for folder in (CACHE / "go-build", CACHE / "go-mod") if folder.exists()]
        if not folders or os.environ.get("TRAINCHART_KEEP_BUILD_CACHE") == "1":
            current.cached()
            return
        for folder in folders:
            shutil.rmtree(folder)


def _go_environment() -> dict[str, str]:
    return {
        "GOCACHE": str(CACHE / "go-build"),
        "GOMODCACHE": str(CACHE / "go-mod"),
        # A writable module cache can be removed like any folder; some modules contain an incomplete vendor folder.
        "GOFLAGS": "-buildvcs=false -modcacherw -mod=readonly",
        "GOWORK": "off",
    }


def _lay_workspace(current: Step, module: GoModule, target: Path) -> None:
    """Copies a folder of go/ to `target`, with patched copies of the modules that its go.mod replaces by ./apis and
    such.
    """
    _copy_tree(HERE / "go" / module.workspace, target)
    for versioned, patch in module.patches.items():
        path, version = versioned.split("@")
        file, place = patch.split(":")
        copy = target / path.rsplit("/", 1)[-1]
        _copy_tree(module_folder(current, path, version), copy)
        shutil.copyfile(HERE / "go" / file, copy / place / file)


def _copy_tree(source: Path, target: Path) -> None:
    """Copies a file or folder without its modes: module caches are read-only."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=shutil.copyfile)
        for folder in [target, *(path for path in target.rglob("*") if path.is_dir())]:
            folder.chmod(0o755)
    else:
        shutil.copyfile(source, target)


def _stands(path: Path, key: str) -> bool:
    note = _note(path)
    return path.exists() and note.exists() and note.read_text() == key


def _note(path: Path) -> Path:
    """Where the key of a program or folder is kept."""
    return KEYS / path.parent.name / path.name


def _put(made: Path, target: Path, key: str) -> None:
    """Moves what was made into place; the key comes last, so that an interrupted run makes it again."""
    note = _note(target)
    note.parent.mkdir(parents=True, exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    if target.is_dir():
        shutil.rmtree(target)
    made.replace(target)
    note.write_text(key)
