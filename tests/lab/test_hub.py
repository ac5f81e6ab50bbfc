"""A git server with the rules of the Hugging Face Hub, by its documentation and by public reports: it wants a token, hands out LFS objects
by signed URLs of another place, looks at the metadata of README.md, and takes no binary file but in LFS.
"""

from __future__ import annotations

import re
import shlex
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

from .git_server import Server, git, push, serving
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
AIRGAPPED = (Path(__file__).parents[2] / "docs/airgapped.md").read_text(encoding="utf-8")
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
    files = {"model.safetensors": b"\0" * 1000, "tokenizer.model": b"\n\0", "loss.png": b"PNG\0"}
    published(context, files, base_model=base, validation={"mAP": 0.5})
    readme = git("-C", str(server.folder / f"{tmp_path.name}-out.git"), "show", "result:README.md")
    assert base in readme


@pytest.mark.lab
def test_a_refusal_says_what_the_hub_does_not_take(context: Context) -> None:
    with pytest.raises(RunnerError) as refused:
        published(context, {"README.md": b"---\ndatasets: {a: 1}\n---\n"})
    assert refused.value.exit.name == "publish-refused"
    assert "rejected during YAML metadata verification" in refused.value.reason
    assert '"datasets" is not valid' in refused.value.reason


@pytest.mark.lab
def test_what_the_page_on_air_gapped_use_copies_is_whole(server: Server, tmp_path: Path) -> None:
    (block,) = re.findall(r"^```sh\n(git clone --mirror .*?)^```$", AIRGAPPED, re.DOTALL | re.MULTILINE)
    hub = server.repository(f"{tmp_path.name}.git")
    commit = push(server, hub.name, {"model.safetensors": "weights " * 100}, lfs="*.safetensors")
    commit = push(server, hub.name, {"config.json": "{}"})
    (tmp_path / "inside").mkdir()
    with serving(tmp_path / "inside") as inside:
        inside.repository("copy.git")
        outside, copy = f"{server.url}/{hub.name}", f"{inside.url}/copy.git"
        block = re.sub(r"https://git\.example\S+", copy, re.sub(r"https://huggingface\S+", outside, block))
        for line in re.split(r" && |\n", block.strip()):
            if line.startswith("git "):
                git(*shlex.split(line)[1:], cwd=tmp_path / hub.name if (tmp_path / hub.name).exists() else tmp_path)
        clone = tmp_path / "clone"
        git("clone", "--quiet", copy, str(clone))
    assert git("rev-parse", "HEAD", cwd=clone) == commit
    assert (clone / "model.safetensors").read_text() == "weights " * 100
