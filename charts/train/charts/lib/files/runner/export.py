"""Stage export: the family's exporter, a check of its output, and the artifacts in the layout that is published."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import asdict
from typing import Any, Dict, List

from . import lfs, process, tracebacks
from .context import Context
from .errors import RunnerError
from .family import Family
from .train import cannot_start
from .train import depends_on as training

_MODEL_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)  # of the Hugging Face Hub


def export(context: Context, family: Family, metrics: Dict[str, Any]) -> bool:
    """Fill `artifacts/`. Returns False if an earlier attempt has done so."""
    if context.workspace.is_marked("export", depends_on(context)):
        return False
    context.lease.check()
    context.workspace.unmark("export")
    context.workspace.clear(context.artifacts, "export-failed")
    argv = command(family)
    if argv:
        cwd = context.model if context.model.is_dir() else context.folder
        try:
            done = process.run(argv, cwd, family.program_environment())
        except OSError as error:
            raise cannot_start("export-failed", argv, error) from error
        killed = done.killed("the exporter")
        if killed:
            raise killed
        if done.code != 0:
            cause = tracebacks.cause(done.tail)
            fix = cause.fix("see its output above")
            if context.settings.workspace.shared:
                fix += "; a run in the same workspace.directory exports without training again"
            raise RunnerError("export-failed", f"the exporter exited with code {done.code}: {cause}", fix)
    argument = {
        "output": str(context.output),
        "artifacts": str(context.artifacts),
        "train": context.train,
        "maxBatchSize": context.settings.publish.max_batch_size,
    }
    family.call("layout", "export-failed", family.probe("export", argument, "export-failed"))
    for report in context.reports:
        shutil.copyfile(report, context.artifacts / report.name)
    if not any(lfs.files(context.artifacts)):
        raise RunnerError("export-failed", "the family's layout wrote no artifacts", "see the output above")
    extra = family.call("model_card", "export-failed") if family.has("model_card") else {}
    (context.artifacts / "README.md").write_text(model_card(context, metrics, extra), encoding="utf-8")
    context.lease.check()
    context.workspace.mark("export", depends_on(context))
    return True


def command(family: Family) -> List[str]:
    """Return the exporter's whole argument list; empty if the family needs only its layout."""
    if family.has("export_command"):
        return [str(argument) for argument in family.call("export_command", "export-failed")]
    if family.has("export_arguments"):
        return [sys.executable, *(str(argument) for argument in family.call("export_arguments", "export-failed"))]
    return []


def depends_on(context: Context) -> Any:
    publish = context.settings.publish
    return {
        "training": training(context),
        "search": context.search,
        "modelName": publish.model_name,
        "maxBatchSize": publish.max_batch_size,
    }


def model_card(context: Context, metrics: Dict[str, Any], extra: Dict[str, Any]) -> str:
    """Return README.md: front matter, then a summary. Every value is written as JSON, which is YAML too.

    The Hugging Face Hub refuses a push with one of its own keys in another form: what is ours is below `trainchart`.
    """
    settings = context.settings
    named = bool(_MODEL_ID.fullmatch(str(extra.get("base_model"))))
    base = {key: value for key, value in extra.items() if named and key.startswith("base_model")}
    ours = {
        "run": settings.run.name,
        "sources": {name: asdict(pinned) for name, pinned in context.sources.items()},
        "metrics": metrics,
        **({"search": context.search} if context.search else {}),
        **{key: value for key, value in extra.items() if key not in base},
    }
    front = {
        "pipeline_tag": settings.run.family.task,
        "library_name": settings.run.family.framework,
        "tags": [settings.family, "trainchart"],
        **base,
        "trainchart": ours,
    }
    lines = ["---", *(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in front.items()), "---", ""]
    title = settings.model_name
    lines += [
        f"# {title}",
        "",
        f"Trained by the run `{settings.run.name}` ({settings.family}, {settings.run.family.framework}).",
        "",
    ]
    lines += [
        f"- {name}: {pinned.repository} at {pinned.revision} (`{pinned.commit}`)"
        for name, pinned in context.sources.items()
    ]
    lines += [f"- {name}: {value}" for name, value in metrics.items()]
    return "\n".join(lines) + "\n"
