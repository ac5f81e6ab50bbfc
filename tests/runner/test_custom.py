"""Family custom: a real little program under the real runner, against a real git server."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from runner.context import Context
from runner.errors import FamilyError

from .conftest import FILES, Ended, Server, git, push

FOLDER = FILES / "families" / "custom"
DEFAULTS: dict[str, Any] = yaml.safe_load((FOLDER / "family.yaml").read_text(encoding="utf-8"))["defaults"]["train"]

# Three epochs of something; dies once, after the first checkpoint, where a file `die` lies in the dataset.
PROGRAM = """
import json, os, signal, sys
from pathlib import Path
output, checkpoints = Path(os.environ["OUTPUT_DIR"]), Path(os.environ["CHECKPOINT_DIR"])
begun = json.loads(Path(os.environ["RESUME_FROM"]).read_text())["epoch"] if os.environ["RESUME_FROM"] else 0
print("resumed from epoch", begun, "in", os.getcwd() == os.environ["MODEL_DIR"], sys.argv[1:])
for epoch in range(begun + 1, 4):
    scratch = checkpoints / "next.tmp"
    scratch.write_text(json.dumps({"epoch": epoch}))
    scratch.rename(checkpoints / f"{epoch}.json")
    with open(output / "metrics.csv", "a") as log:
        log.write("epoch,loss,note\\n" * (epoch == 1) + f"{epoch},{1 / epoch},fine\\n")
    if epoch == 1 and Path(os.environ["DATASET_DIR"], "die").exists():
        os.kill(os.getpid(), signal.SIGKILL)
(Path(os.environ["ARTIFACTS_DIR"]) / "model").mkdir(exist_ok=True)
(Path(os.environ["ARTIFACTS_DIR"]) / "model" / "w.ckpt").write_text("weights " * 100)
"""
NOT_PUBLISHED = {"type": "none", "modelName": "m", "maxBatchSize": 1}
TRAIN = {"command": ["python3", "train.py", "a b", "$HOME"], "metricsFile": "metrics.csv", "lfsPatterns": ["*.ckpt"]}


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    return load("hooks")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"custom_{name}", FOLDER / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def home(server: Server, tmp_path: Path, make_home: Callable[..., Path]) -> Callable[..., Path]:
    """A home of the family with the program in a repository; all of it is new for every test."""

    def make(train: dict[str, Any], program: str = PROGRAM, dataset: str = "a.txt", **changes: Any) -> Path:
        names = {name: f"{tmp_path.name}-{name}.git" for name in ("model", "dataset", "publish")}
        if not (server.folder / names["model"]).exists():
            for name in names.values():
                server.repository(name)
            push(server, names["model"], {"train.py": program, "run.sh": "echo no interpreter"})
            push(server, names["dataset"], {dataset: "data"}, branch="v1")
        given = {
            "family": "custom",
            "run.family.launcher": "python",
            "run.family.features": ["imports"],
            "model.repository": f"{server.url}/{names['model']}",
            "dataset.repository": f"{server.url}/{names['dataset']}",
            "publish.repository": f"{server.url}/{names['publish']}",
            "train": {**DEFAULTS, **train},
        }
        return make_home({**given, **changes}, FOLDER)

    return make


@pytest.fixture
def context(make_context: Callable[..., Context]) -> Callable[..., Context]:
    def make(changes: dict[str, Any] | None = None, **train: Any) -> Context:
        made = make_context({"train": {**DEFAULTS, **train}, **(changes or {})})
        made.output.mkdir(parents=True)
        made.artifacts.mkdir()
        return made

    return make


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_a_program_is_started_as_it_is_and_what_it_leaves_is_published(
    home: Callable[..., Path], run: Callable[..., Ended], server: Server, tmp_path: Path
) -> None:
    ended = run(home(TRAIN))
    assert ended.code == 0, ended.log
    assert "resumed from epoch 0 in True ['a b', '$HOME']" in ended.log
    assert ended.message["metrics"] == {"epochs": 3, "loss": 1 / 3}
    assert len(ended.events("metrics")) == 3
    repository, branch = str(server.folder / f"{tmp_path.name}-publish.git"), ended.message["branch"]
    names = git("-C", repository, "ls-tree", "-r", "--name-only", branch).splitlines()
    assert names == [".gitattributes", "README.md", "model/w.ckpt"]
    assert git("-C", repository, "show", f"{branch}:model/w.ckpt").startswith("version https://git-lfs")


@pytest.mark.lab
def test_a_program_gets_its_secrets_and_neither_the_log_nor_git_does(
    home: Callable[..., Path], run: Callable[..., Ended], secret: Path, tmp_path: Path
) -> None:
    """The program shows what it has, and so does a git of the test's own, which is first on PATH."""
    show = """
import json, os, sys
from pathlib import Path
netrc = Path(os.environ["HOME"], ".netrc").read_text()
print(f"has {os.environ['WANDB_API_KEY']} and", netrc, json.dumps(os.environ["QUOTED"]), len(os.environ["WANDB_API_KEY"]))
Path(os.environ["OUTPUT_DIR"], "seen").write_text(os.environ["WANDB_API_KEY"] + netrc)
sys.exit("cannot log in with " + os.environ["WANDB_API_KEY"])
"""
    for path, text in {
        "env/WANDB_API_KEY": "sesame-0123456789\n",
        "env/QUOTED": 'say "sesame" twice',
        "files/.netrc": "machine api.wandb.ai\npassword sesame-9876543210\n",
    }.items():
        (secret.parent / "program" / path).parent.mkdir(parents=True, exist_ok=True)
        (secret.parent / "program" / path).write_text(text)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").write_text(
        f'#!/bin/sh\n[ -z "$GIT_CONFIG_COUNT" ] || {{ env; ls -a "$HOME"; }} >> {tools}/env 2>&1\nPATH=${{PATH#*:}} exec git "$@"\n'
    )
    (tools / "git").chmod(0o755)
    keys = {name: {"secretName": "wandb", "key": "k"} for name in ("WANDB_API_KEY", "QUOTED")}
    files = {".netrc": {"secretName": "netrc", "key": "netrc"}}
    made = home(TRAIN, show, secretEnv=keys, secretFiles=files)
    ended = run(made, PATH=f"{tools}{os.pathsep}{os.environ['PATH']}")
    assert (ended.code, ended.message["failure"]["name"]) == (40, "train-failed"), ended.log
    (seen,) = (tmp_path / "workspace").rglob("seen")
    assert seen.read_text() == "sesame-0123456789machine api.wandb.ai\npassword sesame-9876543210\n"
    assert "has *** and ***" in ended.log
    assert "cannot log in with ***" in ended.message["failure"]["reason"]
    of_git = (tools / "env").read_text()
    assert "GIT_CONFIG_COUNT" in of_git
    assert ".netrc" not in of_git
    assert not [where for where in (ended.log, json.dumps(ended.message), of_git) if "sesame" in where]
    assert "sesame" not in (made / "settings.json").read_text()


@pytest.mark.lab
def test_what_the_program_imports_and_the_image_lacks_is_named_before_the_data_is_fetched(
    home: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    ended = run(home(TRAIN, "import json, nosuch1\nimport nosuch2\n", publish=NOT_PUBLISHED))
    assert (ended.code, ended.message["failure"]["stage"]) == (30, "prepare"), ended.log
    assert "'nosuch1' (train.py:1); No module named 'nosuch2' (train.py:2)" in ended.message["failure"]["reason"]
    (fetched,) = ended.events("fetch")
    assert "source=model" in fetched


@pytest.mark.parametrize(
    ("command", "programs"),
    [
        ("python3 train.py tools/eval.py", ["train.py"]),
        ("python3 -u -W ignore -X dev tools/gone.py", ["tools/gone.py"]),
        ("python -m pkg.train x.py", ["pkg/train.py"]),
        ("python -m pkg", ["pkg/__main__.py"]),
        ("python -mpkg.train x.yaml", ["pkg/train.py"]),
        ("python pkg x.py", ["pkg/__main__.py"]),
        ("python app.pyz", []),
        ("python -m", []),
        ("python3 -m torch.distributed.run --nproc_per_node 2 train.py", ["train.py"]),
        ("torchrun --nproc_per_node 2 train.py --data x", ["train.py"]),
        ("accelerate launch --config_file gone.py train.py", ["train.py"]),
        ("python3 /opt/vendor/train.py", []),
        ("python3 -c import(x).py", []),
        ("bash run.sh", []),
        ("./train.py", []),
        ("", []),
    ],
)
def test_the_python_program_of_a_command_is_found(
    command: str,
    programs: list[str],
    hooks: ModuleType,
    context: Callable[..., Context],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("python", "python3", "torchrun", "accelerate"):
        write(tmp_path, f"bin/{name}")
        (tmp_path / "bin" / name).write_text("#!/usr/bin/env python3\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    made = context(command=command.split(), exportCommand=["sh", "export.sh"])
    write(made.model, "train.py", "tools/eval.py", "pkg/train.py", "pkg/__main__.py")
    with zipfile.ZipFile(made.model / "app.pyz", "w") as archive:
        archive.writestr("__main__.py", "")
    assert hooks.programs(made)["programs"] == programs


def test_a_program_s_imports_are_looked_for_by_the_python_that_starts_it(
    tmp_path: Path, hooks: ModuleType, context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("conda/python3", "conda/torchrun", "bin/mpirun", "bin/accelerate", "bin/deepspeed", "bin/python3"):
        write(tmp_path, name)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/conda:{tmp_path}/bin:/usr/bin")
    (tmp_path / "conda/torchrun").write_text(f"#!{tmp_path}/conda/python3\nimport re\n")
    (tmp_path / "bin/accelerate").write_text(f"#!/bin/sh\n'''exec' \"{tmp_path}/conda/python3\" \"$0\" \"$@\"\n' '''\n")
    (tmp_path / "bin/deepspeed").write_text("#!/usr/bin/env python3\nimport re\n")
    for command, python in (
        *((name, "conda/python3") for name in ("torchrun", "accelerate", "deepspeed")),
        (f"{tmp_path}/conda/python3", "conda/python3"),
    ):
        made = context(command=[command, "train.py"], exportCommand=["mpirun", "train.py"])
        write(made.model, "train.py")
        assert hooks.programs(made) == {"python": f"{tmp_path}/{python}", "programs": ["train.py"]}
        made.train["command"] = ["mpirun", "python3", "train.py"]  # by a Python that only it knows
        assert hooks.programs(made)["programs"] == []
        shutil.rmtree(made.folder)


@pytest.mark.lab
def test_a_program_that_fails_fails_the_run_with_its_last_words(
    home: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    program = "import sys\nprint('starting')\nsys.exit('the learning rate is a joke')"
    ended = run(home(TRAIN, program, publish=NOT_PUBLISHED))
    assert (ended.code, ended.message["failure"]["stage"]) == (40, "train"), ended.log
    assert (
        "exited with code 1 before it reported an epoch: the learning rate is a joke"
        in ended.message["failure"]["reason"]
    )


@pytest.mark.lab
def test_a_killed_program_is_started_again_with_its_last_checkpoint(
    home: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    made = home(TRAIN, dataset="die", publish=NOT_PUBLISHED, **{"workspace.type": "newClaim"})
    first = run(made)
    assert first.code == 41, first.log
    second = run(made, JOB_ATTEMPT="1")
    assert second.code == 0, second.log
    assert "resumed from epoch 1 in True" in second.log
    assert second.message["metrics"]["epochs"] == 3


@pytest.mark.lab
def test_a_half_written_checkpoint_is_passed_over(
    home: Callable[..., Path], run: Callable[..., Ended], tmp_path: Path
) -> None:
    made = home(TRAIN, dataset="die", **{"workspace.type": "newClaim"})
    assert run(made).code == 41
    (tmp_path / "workspace" / "run-42" / "output" / "checkpoints" / "2.json").write_text('{"epoch": ')
    second = run(made, JOB_ATTEMPT="1")
    assert second.code == 0, second.log
    assert "resumed from epoch 1 in True" in second.log


@pytest.mark.lab
def test_an_export_command_runs_after_the_training_and_its_failure_is_one_of_export(
    home: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    fails = ["sh", "-c", "echo exporting from $OUTPUT_DIR; exit 3"]
    ended = run(home({**TRAIN, "exportCommand": fails}, publish=NOT_PUBLISHED))
    assert (ended.code, ended.message["failure"]["stage"]) == (50, "export"), ended.log
    assert "/run-42/output" in ended.message["failure"]["reason"]


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["no-such-program"], 20, 'train.command: the image has no program "no-such-program"'),
        pytest.param(
            ["/opt/none/train"], 20, 'train.command: the image has no program "/opt/none/train"', marks=pytest.mark.lab
        ),
        pytest.param([""], 20, 'train.command: the image has no program ""', marks=pytest.mark.lab),
        pytest.param(["./none.sh"], 30, "train.command: file", marks=pytest.mark.lab),
        (["./train.py"], 30, "is not executable"),
    ],
)
def test_a_program_that_cannot_be_started_is_told_before_the_training(
    command: list[str], code: int, words: str, home: Callable[..., Path], run: Callable[..., Ended]
) -> None:
    ended = run(home({"command": command}, publish=NOT_PUBLISHED))
    assert ended.code == code, ended.log
    assert words in ended.message["failure"]["reason"]
    assert bool(ended.events("fetch")) == (code == 30)


def test_a_script_without_a_line_for_its_interpreter_is_told(tmp_path: Path) -> None:
    look = load("probe_dataset").check
    write(tmp_path, "run.sh")
    (tmp_path / "run.sh").chmod(0o755)
    assert "names its interpreter" in look("train.command", ["./run.sh"], tmp_path)["reason"]
    for text in ("#!/bin/sh\n", "#! /bin/sh -e\n"):
        (tmp_path / "run.sh").write_text(text)
        assert look("train.command", ["./run.sh"], tmp_path) == {}
    (tmp_path / "run.sh").write_bytes(b"#!/bin/sh\r\necho\r\n")
    assert (
        r'names "/bin/sh\r", which the image does not have' in look("train.command", ["./run.sh"], tmp_path)["reason"]
    )
    assert look("train.command", ["/bin/sh"], tmp_path) == {}


def test_without_repositories_an_image_needs_no_git(
    home: Callable[..., Path], run: Callable[..., Ended], tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "sh").symlink_to("/bin/sh")
    command = ["sh", "-c", "echo done >$ARTIFACTS_DIR/done"]
    ended = run(home({"command": command}, sources={}, publish=NOT_PUBLISHED), PATH=str(programs))
    assert ended.code == 0, ended.log
    assert [file["path"] for file in ended.message["files"]] == ["README.md", "done"]
    told = run(home({"command": command}, publish=NOT_PUBLISHED), PATH=str(programs))
    assert told.code == 20, told.log
    assert "git is not in the image, and model.repository, dataset.repository needs it" in told.last


def test_a_python_that_is_too_old_is_told_by_the_only_file_it_can_read() -> None:
    text = (FILES / "runner" / "__init__.py").read_text(encoding="utf-8")
    old = "import sys\nsys.version_info = (3, 6, 9)\n"
    done = subprocess.run([sys.executable, "-c", old + text], capture_output=True, text=True)
    assert done.returncode == 20
    assert 'reason="python3 in the image is 3.6, and the runner needs 3.8 or newer"' in done.stdout


def test_the_environment_says_where_everything_is(hooks: ModuleType, context: Callable[..., Context]) -> None:
    made = context({"replicas": 2, "run.processes": 4})
    made.rank, made.master_ip, made.resume_from = 1, "10.0.0.7", made.output / "checkpoints" / "1.pt"
    assert hooks.train_environment(made) == {
        "MODEL_DIR": str(made.model),
        "DATASET_DIR": str(made.dataset),
        "OUTPUT_DIR": str(made.output),
        "CHECKPOINT_DIR": str(made.output / "checkpoints"),
        "ARTIFACTS_DIR": str(made.output / "artifacts"),
        "RESUME_FROM": str(made.output / "checkpoints" / "1.pt"),
        "RUN_NAME": "run-42",
        "MASTER_ADDR": "run-42-master",
        "MASTER_IP": "10.0.0.7",
        "MASTER_PORT": "23456",
        "NNODES": "2",
        "NODE_RANK": "1",
        "NPROC_PER_NODE": "4",
    }


def test_what_workers_read_is_set_on_request_and_the_whole_set_can_be_switched_off(
    hooks: ModuleType, context: Callable[..., Context]
) -> None:
    made = context({"replicas": 2}, rendezvous="ranks")
    made.rank = 1
    told = hooks.train_environment(made)
    assert [told[key] for key in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")] == ["1", "2", "0", "1"]
    made.train["rendezvous"] = "none"
    assert not {"MASTER_ADDR", "NNODES", "RANK"} & hooks.train_environment(made).keys()


def test_a_run_without_sources_is_told_of_none(hooks: ModuleType, context: Callable[..., Context]) -> None:
    told = hooks.train_environment(context({"sources": {}}))
    assert not {"MODEL_DIR", "DATASET_DIR"} & told.keys()
    assert told["MASTER_ADDR"] == "127.0.0.1" == told["MASTER_IP"]


@pytest.mark.parametrize(
    ("name", "text", "rows"),
    [
        ("m.csv", "epoch, loss\n1,0.5\n2,0.25\n3,0.1", [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]),
        ("m.csv", "epoch,loss\n0,0.5\n1,inf\n", [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": float("inf")}]),
        ("m.csv", "loss\n3\n2\n", [{"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 2.0}]),
        ("m.csv", "epoch,loss\n1,3\n1,2\n", [{"epoch": 1, "loss": 2.0}]),
        (
            "m.jsonl",
            '{"epoch": 1, "loss": 2, "ok": true}\n{"epoch": 1.5, "loss": 1}\nnot json\n{"epoch": 1, "f1": "0.5"}\n',
            [{"epoch": 1, "loss": 2.0, "f1": 0.5}],
        ),
    ],
)
def test_metrics_are_the_numbers_of_whole_epochs(
    name: str, text: str, rows: list[dict[str, Any]], hooks: ModuleType, context: Callable[..., Context]
) -> None:
    made = context(metricsFile=name)
    assert hooks.metrics(made) == []
    (made.output / name).write_text(text)
    assert hooks.metrics(made) == rows


def test_checkpoints_are_the_newest_first_and_nothing_that_is_being_written(
    hooks: ModuleType, context: Callable[..., Context]
) -> None:
    made = context()
    folder = made.output / "checkpoints"
    write(folder, "a/weights", "b.pt", "c.pt", "c.pt.json", ".hidden", "d.pt.tmp")
    for age, name in enumerate(["c.pt", "a/weights", "b.pt"]):
        os.utime(folder / name, ns=(2**60 - age, 2**60 - age))
    assert [path.name for path in hooks.checkpoints(made)] == ["c.pt", "a", "b.pt"]
    made.train["checkpoints"] = ""
    assert hooks.checkpoints(made) == []


def test_a_checkpoint_is_whole_as_far_as_its_format_tells(tmp_path: Path) -> None:
    probe = load("probe_checkpoint").probe
    archive, tensors, folder = tmp_path / "a.pt", tmp_path / "b.safetensors", tmp_path / "c"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("data.pkl", "x" * 1000)
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    tensors.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    folder.mkdir()
    shutil.copyfile(tensors, folder / tensors.name)
    for path in (archive, tensors, folder):
        assert probe(path) == {"ok": True}, path
    for path in (archive, tensors, folder / tensors.name):
        path.write_bytes(path.read_bytes()[:-4])
    for path in (archive, tensors, folder):
        assert probe(path)["ok"] is False, path
    (tmp_path / "empty").touch()
    assert probe(tmp_path / "empty")["reason"] == "empty is empty"


def test_a_description_beside_a_checkpoint_says_how_far_it_is(tmp_path: Path) -> None:
    probe = load("probe_checkpoint").probe
    write(tmp_path, "1.bin")
    (tmp_path / "1.bin.json").write_text('{"epoch": 3, "finished": true}')
    assert probe(tmp_path / "1.bin") == {"ok": True, "epoch": 3.0, "finished": True}
    assert probe(tmp_path / "1.bin.json") == {"ok": True, "epoch": 3.0, "finished": True}
    (tmp_path / "1.bin.json").write_text("{}")
    assert probe(tmp_path / "1.bin.json") == {"ok": True}
    assert "does not have the epoch" in probe(tmp_path / "1.bin")["reason"]


@pytest.mark.parametrize(
    ("patterns", "written", "published"),
    [
        ([], ["artifacts/a.bin", "artifacts/b/c", "log"], ["a.bin", "b/c"]),
        ([], ["model/a.bin", "log", "checkpoints/1"], ["log", "model/a.bin"]),
        (["model", "*.json"], ["model/a", "model/.git/config", "c.json", "log"], ["c.json", "model/a"]),
        ([], ["artifacts/README.md", "artifacts/.gitattributes"], ["PROGRAM_README.md", "program.gitattributes"]),
    ],
)
def test_artifacts_are_what_is_asked_for_or_else_what_was_meant(
    patterns: list[str], written: list[str], published: list[str], hooks: ModuleType, context: Callable[..., Context]
) -> None:
    made = context(artifacts=patterns)
    hooks.configure(made)
    write(made.output, *written)
    hooks.layout(made, {})
    files = [path for path in made.artifacts.rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(made.artifacts)) for path in files) == published


def test_a_result_that_is_not_there_or_not_the_program_s_is_told(
    hooks: ModuleType, context: Callable[..., Context], secret: Path
) -> None:
    made = context()
    hooks.configure(made)
    with pytest.raises(FamilyError, match="left nothing in OUTPUT_DIR"):
        hooks.layout(made, {})
    write(made.output, "log")
    made.train["artifacts"] = ["*.bin"]
    with pytest.raises(FamilyError, match=r"matches \*\.bin; it has artifacts, checkpoints, log"):
        hooks.layout(made, {})
    (made.output / "token.bin").symlink_to(secret / "GIT_TOKEN")
    with pytest.raises(FamilyError, match=r"token\.bin is a link to .* outside of the run's folder"):
        hooks.layout(made, {})


def test_devices_are_found_by_their_files_and_their_lack_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("probe_device")
    monkeypatch.setattr(module, "torch_devices", lambda _: 0)
    assert module.probe("cpu", 0)["ok"]
    monkeypatch.setattr(module.glob, "glob", lambda pattern: ["/dev/davinci0", "/dev/davinci1", "/dev/davinci_manager"])
    assert module.probe("npu", 2) == {"ok": True, "devices": ["davinci0", "davinci1"]}
    assert "requests 3 npu devices, and the pod has 2" in module.probe("npu", 3)["reason"]
    assert module.probe("cuda", 1)["ok"] is False


def test_the_family_runs_on_every_accelerator_of_the_chart() -> None:
    profiles = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in (FILES / "accelerators").glob("*.yaml")]
    data = yaml.safe_load((FOLDER / "family.yaml").read_text(encoding="utf-8"))
    assert set(data["backends"]) == {profile["backend"] for profile in profiles} == set(data["multiProcessBackends"])
    assert load("probe_device").FILES.keys() | {"cpu"} == set(data["backends"])
