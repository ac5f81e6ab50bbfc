"""Custom programs: the environment that a program gets, and where its results are expected. See docs/custom.md."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Tuple

from runner import log
from runner.context import Context
from runner.errors import FamilyError
from runner.publish import LFS_PATTERNS

PYTHON = r"python[0-9.]*"
CHECKPOINTS = "checkpoints"
ARTIFACTS = "artifacts"
UNFINISHED = (".tmp", ".new", ".part", ".partial")  # suffixes of files that are still being written
# The runner itself writes files with these names.
TAKEN = {"README.md": "PROGRAM_README.md", ".gitattributes": "program.gitattributes"}


def tools(context: Context) -> Dict[str, str]:
    """Return the programs that the image must have, with the values key of each. Those of the model repository are not
    fetched yet.
    """
    named = {f"train.{key}": context.train[key] for key in ("command", "exportCommand")}
    return {argv[0]: key for key, argv in named.items() if argv and ("/" not in argv[0] or argv[0].startswith("/"))}


def programs(context: Context) -> Dict[str, Any]:
    """Return the Python programs of the model repository, as far as the commands show them, and their interpreter."""
    path = context.environment.get("PATH", os.defpath)
    found = [
        (interpreter(argv[0], path), python_program(argv, context.model))
        for argv in (context.train["command"], context.train["exportCommand"])
        if argv
    ]
    python = next((python for python, program in found if python and program), "")
    return {
        "python": python or sys.executable,
        "programs": [program for by, program in found if program and python and by == python],
    }


def interpreter(command: str, path: str) -> str:
    """Return the Python that a command starts programs with: itself, or that of its first line, as torchrun's. Which one
    others start, such as env, mpirun and conda, is unknown: "".
    """
    found = shutil.which(command, path=path)
    if not found or not os.access(found, os.R_OK):
        return ""
    if re.fullmatch(PYTHON, Path(found).name):
        return found
    with Path(found).open("rb") as file:
        start = os.fsdecode(file.read(1024))
    line = re.match(rf"#!(?:/bin/sh\n'''exec')?[^\n]*?((?:/[^\s\"']*/)?{PYTHON})[\"'\s]", start)
    return shutil.which(line[1], path=path) or "" if line else ""


def python_program(argv: List[str], model: Path) -> str:
    """Return what `python x.py`, `python -m x` or a launcher such as `torchrun x.py` starts; "" if it is unknown."""
    rest = iter(argv[1:])
    if re.fullmatch(PYTHON, Path(argv[0]).name):
        for part in rest:
            if part in ("-W", "-X"):
                next(rest, None)
            elif part.startswith("-m"):
                path = Path(*(part[2:] or next(rest, "")).split("."))
                for file in (path / "__main__.py", Path(f"{path}.py")):
                    if (model / file).is_file():
                        return str(file)
                break  # one of the image's, such as torch.distributed.run
            elif part.startswith(("-c", "/")):
                return ""
            elif not part.startswith("-"):
                if (model / part).is_dir():
                    return str(Path(part, "__main__.py"))
                return "" if zipfile.is_zipfile(str(model / part)) else part
    return next((part for part in rest if part.endswith(".py") and (model / part).is_file() and part[0] != "/"), "")


def configure(context: Context) -> None:
    for name in (CHECKPOINTS, ARTIFACTS):
        (context.output / name).mkdir(parents=True, exist_ok=True)


def train_command(context: Context) -> List[str]:
    return list(context.train["command"])


def export_command(context: Context) -> List[str]:
    return list(context.train["exportCommand"])


def train_environment(context: Context) -> Dict[str, str]:
    folders = {f"{name.upper()}_DIR": str(context.source_path(name)) for name in context.settings.sources}
    return {
        **folders,
        "OUTPUT_DIR": str(context.output),
        "CHECKPOINT_DIR": str(context.output / CHECKPOINTS),
        "ARTIFACTS_DIR": str(context.output / ARTIFACTS),
        "RESUME_FROM": str(context.resume_from or ""),
        "RUN_NAME": context.settings.run.name,
        **rendezvous(context),
    }


def rendezvous(context: Context) -> Dict[str, str]:
    """Return the variables for launchers; with `ranks` also those for their workers, for a program with one process per
    pod.

    Trainers that start their own processes take RANK and WORLD_SIZE as a sign that they are such a process already.
    """
    if context.train["rendezvous"] == "none":
        return {}
    settings = context.settings
    nodes = {
        "MASTER_ADDR": context.master,
        "MASTER_IP": context.master_ip,
        "MASTER_PORT": str(settings.pod.port),
        "NNODES": str(settings.replicas),
        "NODE_RANK": str(context.rank),
        "NPROC_PER_NODE": str(settings.run.processes),
    }
    if context.train["rendezvous"] == "nodes":
        return nodes
    ranks = {"RANK": str(context.rank), "WORLD_SIZE": str(settings.replicas), "LOCAL_RANK": "0"}
    return {**nodes, **ranks, "LOCAL_WORLD_SIZE": "1"}


def metrics(context: Context) -> List[Dict[str, Any]]:
    """Return the numbers of every finished epoch. A last line without a newline is still being written."""
    name = context.train["metricsFile"]
    path = context.output / name
    if not name or not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    complete = text[: text.rfind("\n") + 1].splitlines()
    found: Dict[int, Dict[str, Any]] = {}
    for position, row in enumerate(csv_rows(complete) if path.suffix == ".csv" else json_rows(complete), 1):
        numbers = dict(numeric(row))
        epoch = numbers.pop("epoch", position)
        if math.isfinite(epoch) and epoch == int(epoch):  # fractions are steps within an epoch
            found.setdefault(int(epoch), {}).update(numbers)
    shift = 1 if 0 in found else 0  # counted from 0
    return [{"epoch": epoch + shift, **found[epoch]} for epoch in sorted(found)]


def csv_rows(lines: List[str]) -> Iterator[Mapping[str, Any]]:
    for row in csv.DictReader(lines):
        yield {str(key).strip(): value for key, value in row.items()}


def json_rows(lines: List[str]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:  # metrics never fail a training
            continue
        if isinstance(row, dict):
            yield row


def numeric(row: Mapping[str, Any]) -> Iterator[Tuple[str, float]]:
    for key, value in row.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if not isinstance(value, bool):
            yield key, number


def checkpoints(context: Context) -> List[Path]:
    """Return the checkpoints that the program can resume from, newest first."""
    pattern = context.train["checkpoints"]
    found = [path for path in context.output.glob(pattern) if is_checkpoint(path)] if pattern else []
    return sorted(found, key=lambda path: (written_at(path), path.name), reverse=True)


def is_checkpoint(path: Path) -> bool:
    """Whether a path is neither still being written nor the description of another checkpoint, `<its name>.json`."""
    described = path.suffix == ".json" and path.with_suffix("").exists()
    return not (described or path.name.startswith(".") or path.name.endswith(UNFINISHED))


def written_at(path: Path) -> int:
    """Return when a file, or the newest file of a folder, was written."""
    files = [Path(folder, name) for folder, _, names in os.walk(path) for name in names] if path.is_dir() else []
    return max(part.lstat().st_mtime_ns for part in files or [path])


def layout(context: Context, _shapes: Dict[str, Any]) -> None:
    chosen = artifacts(context)
    if not chosen:
        raise FamilyError(
            f"the program left nothing in OUTPUT_DIR ({context.output.relative_to(context.workspace.root)})",
            "make it write its result to ARTIFACTS_DIR, or list what to publish in train.artifacts",
        )
    for name, path in sorted(chosen.items()):
        target = context.artifacts / TAKEN.get(name, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(str(path), str(target))  # keeps the executable bit
    if context.train["metricsFile"] and not metrics(context):
        reason = f"train.metricsFile: the program left no numbers in {context.train['metricsFile']}"
        log.event("warning", reason=reason)


def artifacts(context: Context) -> Dict[str, Path]:
    """Return the files to publish, by their published paths."""
    patterns = context.train["artifacts"]
    if not patterns:
        made = dict(files_of(context, context.output / ARTIFACTS, context.output / ARTIFACTS))
        kept = set(checkpoints(context))
        rest = [path for path in sorted(context.output.iterdir()) if path.name not in (CHECKPOINTS, ARTIFACTS)]
        return made or {
            name: path
            for top in rest
            for name, path in files_of(context, top, context.output)
            if not kept.intersection([path, *path.parents])
        }
    chosen: Dict[str, Path] = {}
    for pattern in patterns:
        found = {
            name: path for top in context.output.glob(pattern) for name, path in files_of(context, top, context.output)
        }
        if not found:
            existing = ", ".join(sorted(path.name for path in context.output.iterdir())) or "nothing"
            raise FamilyError(
                f"train.artifacts: nothing in OUTPUT_DIR matches {pattern}; it has {existing}",
                "correct train.artifacts, or make the program write it",
            )
        chosen.update(found)
    return chosen


def files_of(context: Context, top: Path, base: Path) -> Iterator[Tuple[str, Path]]:
    """Yield a file, or all files of a folder, with their paths below `base`, except in `.git`. Raises FamilyError."""
    root = context.workspace.root.resolve()
    inside = [Path(folder, name) for folder, _, names in os.walk(top) for name in names] if top.is_dir() else [top]
    for path in inside:
        name = path.relative_to(base)
        if ".git" in name.parts or not path.is_file():
            continue
        # A link could publish whatever the program can read, such as the credentials.
        if root not in path.resolve().parents:
            raise FamilyError(
                f"OUTPUT_DIR: {name} is a link to {path.resolve()}, outside of the run's folder",
                "make the program copy the file",
            )
        yield str(name), path


def lfs_patterns(context: Context) -> List[str]:
    return [*LFS_PATTERNS, *context.train["lfsPatterns"]]
