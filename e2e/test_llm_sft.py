"""Language models: what arrives on the branch, that two pods are one training, what a killed one repeats, and errors in
the input.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e import branches
from e2e.cases.llm_sft import CASE, EPOCHS, RESULTS
from e2e.cluster import kind
from e2e.fixtures import llm as fixtures
from e2e.kube import Object
from e2e.node import in_node
from e2e.resume import epochs, killed_and_resumed
from e2e.runs import Release, Session
from e2e.scenario import TEAM

pytestmark = pytest.mark.family("llm-sft")

PROBES = Path(__file__).resolve().parent / "probes"


@dataclass
class Happy:
    release: Release
    result: Object
    clone: Path  # of the branch with the result


@pytest.fixture(scope="module")
def happy(session: Session, tmp_path_factory: pytest.TempPathFactory) -> Happy:
    release = session.release("llm-sft-happy")
    assert release.end() == "Completed", release.log()
    result = release.result()
    folder = tmp_path_factory.mktemp("llm-sft")
    return Happy(release, result, branches.clone(session.world, RESULTS, result["branch"], folder / "clone"))


@pytest.mark.runs("llm-sft-happy")
def test_the_branch_holds_the_merged_model_with_its_tokenizer(happy: Happy, session: Session) -> None:
    files = set(session.world.server.list_files(TEAM, RESULTS, happy.result["branch"]))
    wanted = {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "train.yaml",
        "trainer_log.jsonl",
        "README.md",
    }
    assert files >= {*wanted, "training_loss.png"}
    assert not [name for name in files if name.startswith("adapter")]
    pointer = session.world.server.read_file(TEAM, RESULTS, "model.safetensors", happy.result["commit"])
    assert pointer.startswith(b"version https://git-lfs")


@pytest.mark.runs("llm-sft-happy")
def test_the_card_names_the_base_model_and_the_metrics_match_the_log(happy: Happy) -> None:
    _, front, _ = (happy.clone / "README.md").read_text().split("---\n", 2)
    card = yaml.safe_load(front)
    assert (card["base_model"], card["base_model_relation"], card["library_name"]) == (
        "llm-tiny",
        "finetune",
        "transformers",
    )
    assert epochs(happy.release.log()) == [1, 2]
    assert card["trainchart"]["metrics"]["epochs"] == 2
    assert {"loss", "eval_loss", "learning_rate"} <= card["trainchart"]["metrics"].keys()
    assert "overwrite_output_dir" not in json.loads((happy.clone / "train.yaml").read_text())


@pytest.mark.runs("llm-sft-happy")
def test_the_published_model_loads_answers_and_has_learnt(happy: Happy) -> None:
    base = fixtures.model_repository(CASE.image_name)
    command = ["docker", "run", "--rm", "--network", "none", "--user", "0", "--env", "HOME=/tmp"]
    for source, target in ((PROBES, "/probes"), (happy.clone, "/clone"), (base, "/base")):
        command += ["--volume", f"{source}:{target}:ro"]
    command += [CASE.image_name, "python3", "/probes/inspect_llm.py", "/clone", "/base"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert (found["missing"], found["generated"]) == ([], 3)
    # All projections have an adapter, and nothing else has.
    assert len(found["changed"]) == 14
    assert all(name.endswith("_proj.weight") for name in found["changed"])


@pytest.mark.runs("llm-sft-pair")
def test_two_pods_are_one_training(session: Session) -> None:
    """After the first step the parameters are equal on both ranks, though each computed gradients of its own records."""
    release = session.release("llm-sft-pair")
    assert release.end() == "Completed", release.log()
    folder = f"{kind.SHARED}/llm-pair{session.id}/proof"
    first, second = (json.loads(in_node("cat", f"{folder}/rank-{rank}.json")) for rank in range(2))
    assert first["world"] == second["world"] == 2
    assert len(first["gradients"]) == len(second["gradients"]) > 0
    assert not set(first["gradients"]) & set(second["gradients"])
    assert first["parameters"] == second["parameters"] != ""


@pytest.mark.runs("llm-sft-killed")
def test_a_killed_training_resumes_on_both_ranks_from_one_checkpoint(session: Session) -> None:
    killed_and_resumed(session, session.release("llm-sft-killed"), EPOCHS)


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        pytest.param(run, reason, marks=pytest.mark.runs(f"llm-sft-{run}"), id=run)
        for run, reason in {
            "broken-record": f"identity.jsonl record {fixtures.BROKEN}: it has no answer",
            "no-tokenizer": "the base model has no tokenizer",
            "unknown-option": "train.arguments.learning_rat: LLaMA-Factory has no such option",
        }.items()
    ],
)
def test_wrong_input_is_named_before_the_training(run: str, reason: str, session: Session) -> None:
    release = session.release(f"llm-sft-{run}")
    assert release.end() in ("Terminated", "Failed")
    assert release.exit_code() == 30
    assert reason in release.result()["failure"]["reason"]
    assert "stage=train" not in release.log()
