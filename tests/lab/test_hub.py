"""A git server with the rules of the Hugging Face Hub, by its documentation and by public reports: it wants a token, hands out LFS objects
by signed URLs of another place, looks at the metadata of README.md, and takes no binary file but in LFS.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from features.push import BranchPublisher
from runner import export, prepare
from runner.context import Context
from runner.errors import RunnerError

from .git_server import Server, git
from .test_git_server import whole_run

HOOK = f"""#!{sys.executable}
import re, subprocess, sys, yaml

def git(*arguments):
    return subprocess.run(["git", *arguments], capture_output=True, check=True).stdout

bad = []
for line in sys.stdin:
    commit, ref = line.split()[1:]
    for entry in git("ls-tree", "-r", "-z", "-l", commit).decode().split("\\0")[:-1]:
        (_, _, blob, size), name = entry.split("\\t")[0].split(), entry.split("\\t")[1]
        content = git("cat-file", "blob", blob)
        if b"\\0" in content or int(size) > 10 * 2**20:
            bad += ["Your push was rejected because it contains binary files.", "Offending files:", f"  - {{name}} (ref: {{ref}})"]
        if name == "README.md" and content.startswith(b"---"):
            found = yaml.safe_load(content.decode().split("---")[1])
            texts = lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value)
            model = r"[\\w.-]+(/[\\w.-]+)?"  # of the Hub, and not a path
            for key, right in (
                ("metrics", texts), ("tags", texts), ("datasets", texts), ("pipeline_tag", lambda value: isinstance(value, str)),
                ("base_model", lambda value: isinstance(value, str) and re.fullmatch(model, value)), ("model-index", lambda value: False),
            ):
                if key in found and not right(found[key]):
                    bad += ["Sorry, your push was rejected during YAML metadata verification:", f'- Error: "{{key}}" is not valid.']
print("\\n".join(bad), file=sys.stderr)
sys.exit(bool(bad))
"""
FAMILY: Any = SimpleNamespace(probe=lambda *_: {}, has=lambda hook: False)


@pytest.fixture
def context(server: Server, tmp_path: Path, make_context: Callable[..., Context]) -> Context:
    made = whole_run(server, tmp_path, make_context)
    server.signed_objects = True
    hook = server.folder / f"{tmp_path.name}-out.git" / "hooks" / "pre-receive"
    hook.write_text(HOOK)
    hook.chmod(0o755)
    return made


def published(context: Context, files: dict[str, bytes], **card: Any) -> None:
    """All of a run that speaks to the server, with a result of these files and a README with this metadata."""
    publisher = BranchPublisher(context)
    publisher.find_published()
    prepare.prepare(context, FAMILY, publisher.check_push_access)
    context.artifacts.mkdir(exist_ok=True)
    text = export.model_card(context, {"epochs": 3, "mAP": 0.5}, card)
    for name, content in {"README.md": text.encode(), **files}.items():
        (context.artifacts / name).write_bytes(content)
    publisher.publish(FAMILY)


@pytest.mark.lab
@pytest.mark.parametrize("base", ["yolov5n", "Qwen/Qwen3-0.6B", "best of all", "/models/x"])
def test_the_hub_accepts_a_result_with_its_metadata(
    base: str, context: Context, server: Server, tmp_path: Path
) -> None:
    published(context, {"model.safetensors": b"\0" * 1000}, base_model=base, validation={"mAP": 0.5})
    readme = git("-C", str(server.folder / f"{tmp_path.name}-out.git"), "show", "result:README.md")
    assert base in readme


@pytest.mark.lab
def test_a_refusal_says_which_file_the_hub_does_not_take(context: Context) -> None:
    with pytest.raises(RunnerError) as refused:
        published(context, {"scan.nrrd": b"\0"})
    assert refused.value.exit.name == "publish-refused"
    assert "contains binary files" in refused.value.reason
    assert "scan.nrrd" in refused.value.reason
