"""`trainchart try`, in a container and in this Python."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import program
from tests.lab.git_server import TOKEN, USER, git, push, serving
from tests.local.conftest import PROGRAM, Engine, Ran
from trainchart.cli import main as cli
from trainchart.errors import ExitCode, FileError
from trainchart.local.sources import fetch

Call = Callable[..., Ran]


def listing(folder: Path) -> list[tuple[str, int, int]]:
    return sorted((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*"))


def test_a_run_goes_through_all_stages_but_publish_and_leaves_nothing(call: Call, engine: Engine) -> None:
    ran = call("try")
    assert ran.code == 0, ran
    for stage in ("verify", "prepare", "train", "export"):
        assert f"event=end stage={stage}" in ran.out
    assert "stage=publish" not in ran.out
    assert "trained on 3 records" in ran.out
    assert "completed after" in ran.out
    assert engine.calls[-1][:2] == ["rm", "--force"]


@pytest.mark.lab
def test_what_only_a_cluster_has_is_left_out(call: Call, engine: Engine) -> None:
    named = (
        "caBundle.configMapName=company-ca", "secretEnv.KEY.secretName=a", "secretEnv.KEY.key=b", "sidecars=allow",
        "volumes[0].name=a", "volumes[0].mountPath=/mnt/a", "volumes[0].claimName=a", "holdAfterFailure=30m",
    )  # fmt: skip
    ran = call("try", *(word for value in named for word in ("--set", value)))
    assert ran.code == 0, ran


def test_the_container_is_as_restricted_as_the_pod(call: Call, engine: Engine, folders: Path) -> None:
    (engine.state / "says").touch()
    call("try")
    created = engine.created
    assert {"--read-only", "--rm"} <= set(created)
    pairs = list(itertools.pairwise(created))
    for pair in (
        ("--cap-drop", "ALL"),
        ("--security-opt", "no-new-privileges"),
        ("--network", "none"),
        ("--workdir", "/trainchart"),
    ):
        assert pair in pairs
    user = "1000:1000" if os.getuid() == 0 else f"{os.getuid()}:{os.getgid()}"
    assert ("--user", user) in pairs
    mounts = {value for key, value in pairs if key == "--mount"}
    for name in ("model", "data"):
        target = "dataset" if name == "data" else name
        assert f"type=bind,source={folders / name},target=/sources/{target},readonly" in mounts
    writable = {mount.split("target=")[1] for mount in mounts if not mount.endswith(",readonly")}
    assert writable == {"/workspace", "/tmp"}
    assert "registry.example.com/team/image:1" in created
    assert "git-credentials" not in " ".join(created)


@pytest.mark.lab
def test_the_network_and_the_gpu_are_given_if_asked_for_and_there(call: Call, engine: Engine) -> None:
    (engine.state / "info").write_text(json.dumps({"Architecture": "x86_64", "Runtimes": {"nvidia": {}}}))
    (engine.state / "says").touch()
    call("try", "--network")
    assert "--network" not in engine.created
    assert engine.created[engine.created.index("--gpus") :][:2] == ["--gpus", "1"]
    assert engine.settings(0)["accelerator"]["profile"] == "nvidia"
    call("try", "--set-json", 'accelerator={"profile": "cpu", "count": null}')
    assert engine.settings(1)["accelerator"]["profile"] == "cpu"


def test_the_whole_dataset_is_checked_with_the_settings_of_the_user_before_few_images_are_trained_on(
    call: Call, engine: Engine, folders: Path
) -> None:
    for number in range(20):
        (folders / "data" / f"{number}.jpg").write_bytes(b"image")
    (engine.state / "says").touch()
    (engine.state / "exits").write_text("0")
    (folders / "run.yaml").write_text(
        "family: yolov5\nimage: registry.example.com/team/yolov5:7.0\ntrain: {epochs: 7, batchSize: 32}\n"
        "dataset: {path: datasets/mine, maxBroken: 2}\nreplicas: 2\naccelerator: {profile: nvidia, count: 1}\n"
    )
    ran = call("try", "--set", "train.imageSize=64")
    assert ran.code == 0, ran
    check, short = engine.settings(0), engine.settings(1)
    assert (check["train"]["epochs"], check["train"]["batchSize"]) == (7, 32)
    assert (short["train"]["epochs"], short["train"]["batchSize"], short["train"]["imageSize"]) == (1, 4, 64)
    for settings in (check, short):
        assert (settings["dataset"]["path"], settings["dataset"]["maxBroken"]) == ("datasets/mine", 2)
        assert (settings["replicas"], settings["publish"]["type"]) == (1, "none")
    first, second = (words for words in engine.calls if words[0] == "create")
    assert first[-1] == "--prepare"
    assert f"source={folders / 'data'},target=/sources/dataset" in " ".join(first)
    assert second[-1] == "runner"
    assert "/few,target=/sources/dataset" in " ".join(second)
    assert "training on 8 of its 20 images" in ran.err


@pytest.mark.lab
def test_a_failure_has_the_code_and_the_words_of_the_cluster(call: Call, engine: Engine) -> None:
    ran = call("try", "--set", "env.MUST_FAIL=yes")
    assert ran.code == 40
    assert "failed in    train" in ran.err
    assert "RuntimeError: told to fail" in ran.err
    assert "what to do   see the trainer's output above" in ran.err
    assert engine.calls[-1][0] == "rm"


def test_this_python_runs_it_too_and_keeps_what_is_asked_for(call: Call, folders: Path) -> None:
    before = listing(folders / "model"), listing(folders / "data")
    ran = call("try", "--here", "--keep", str(folders / "kept"))
    assert ran.code == 0, ran
    assert json.loads((folders / "kept" / "artifacts" / "model.json").read_text())["records"] == 3
    assert sorted(path.name for path in (folders / "kept").iterdir()) == ["artifacts", "output", "result.json"]
    assert (listing(folders / "model"), listing(folders / "data")) == before


def test_this_python_gets_no_credentials_of_the_caller_and_what_its_libraries_need(
    call: Call, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_back = (
        "CI_JOB_TOKEN", "CI_REGISTRY_PASSWORD", "GITHUB_TOKEN", "HF_TOKEN", "WANDB_API_KEY", "WANDB_PROJECT",
        "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "MLFLOW_TRACKING_URI", "KUBECONFIG", "SSH_AUTH_SOCK", "my_secret",
    )  # fmt: skip
    handed_on = (
        "LD_LIBRARY_PATH",
        "CUDA_VISIBLE_DEVICES",
        "YOLOV5_CONFIG_DIR",
        "TOKENIZERS_PARALLELISM",
        "LC_ALL",
        "CIRCUS",
    )
    for name in (*kept_back, *handed_on):
        monkeypatch.setenv(name, "/of-the-caller")
    (folders / "model" / "train.py").write_text(f"import os\nprint('given', *sorted(os.environ))\n{PROGRAM}")
    ran = call("try", "--here")
    assert ran.code == 0, ran
    (given,) = [line.split() for line in ran.out.splitlines() if line.startswith("given ")]
    assert set(handed_on) <= set(given)
    assert not set(kept_back) & set(given)


@pytest.mark.lab
def test_a_program_is_started_by_this_python_though_its_environment_is_not_active(
    call: Call, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (folders / "model" / "train.py").write_text(f"import sys\nprint('prefix', sys.prefix)\n{PROGRAM}")
    ran = call("try", "--here")
    assert (ran.code, f"prefix {sys.prefix}" in ran.out.splitlines()) == (0, True), ran


@pytest.mark.lab
def test_the_users_own_git_fetches_what_no_folder_is_given_for(
    call: Call, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its addresses, its credentials and its LFS; none of them reach the run."""
    (folders / "server").mkdir()
    monkeypatch.setenv("PATH", str(Path(program("git-lfs")).parent), prepend=os.pathsep)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(folders / "gitconfig"))
    with serving(folders / "server") as server:
        for name, files in (("model.git", {"train.py": PROGRAM}), ("data.git", {"1.txt": "record " * 100})):
            server.repository(name)
            push(server, name, files, lfs="*.txt" if name == "data.git" else "")
        (folders / "gitconfig").write_text(
            f'[url "{server.url}"]\n insteadOf = https://git.example.com/team\n'
            f'[credential]\n helper = "!f() {{ echo username={USER}; echo password={TOKEN}; }}; f"\n'
        )
        ran = call("try", "--here", model=False, data=False)
        assert ran.code == 0, ran
        assert "trained on 1 records" in ran.out
        assert "fetching dataset.repository with your git: https://git.example.com/team/data.git" in ran.err
        ran = call("try", "--here", "--set", "model.revision=nosuch", model=False)
        refused(ran, ExitCode.REFUSED, "couldn't find remote ref nosuch", "--model")
        (folders / "gitconfig").write_text(f'[url "{server.url}"]\n insteadOf = https://git.example.com/team\n')
        refused(
            call("try", "--here", model=False),
            ExitCode.REFUSED,
            "could not read Username",
            "what your git logs in with",
        )


def refused(ran: Ran, code: ExitCode, *words: str) -> None:
    assert ran.code == code, ran
    message = ran.err.strip().splitlines()[-1]
    for word in words:
        assert word in message


def test_a_missing_image_is_one_line(call: Call, engine: Engine) -> None:
    (engine.state / "image").unlink()
    refused(call("try"), ExitCode.NOT_FOUND, "is not on this machine", "docker pull registry.example.com/team/image:1")


def test_an_engine_that_does_not_answer_is_one_line(call: Call, engine: Engine) -> None:
    (engine.state / "info").write_text(json.dumps({"ServerErrors": ["Cannot connect to the Docker daemon"]}))
    refused(call("try"), ExitCode.UNREACHABLE, "docker is installed, but does not answer; start it", "--here")
    (engine.state / "info").write_text(json.dumps({"ServerErrors": ["permission denied while trying to connect"]}))
    refused(call("try"), ExitCode.UNREACHABLE, "docker: this user may not use it")


def test_an_image_for_another_machine_is_said(call: Call, engine: Engine) -> None:
    (engine.state / "image").write_text("linux/s390x")
    (engine.state / "says").touch()
    assert "image registry.example.com/team/image:1 is for linux/s390x" in call("try").err


@pytest.mark.lab
@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("exec /usr/bin/python3: exec format error", "is for another kind of machine"),
        ('exec: "python3": executable file not found in $PATH', "has no python3"),
        ("/usr/bin/python3: No module named runner", "does not see the folders of this machine"),
        ("Killed", "exit code 5"),
    ],
)
def test_a_container_that_ends_without_the_runner_is_explained(
    call: Call, engine: Engine, said: str, words: str
) -> None:
    (engine.state / "says").write_text(said)
    refused(call("try"), ExitCode.RUN_FAILED, words)


def test_wrong_values_and_folders_are_refused_before_anything_is_run(call: Call, engine: Engine, folders: Path) -> None:
    ran = call("try", "--set", "train.comand=x")
    assert (ran.code, "did you mean 'command'?" in ran.err) == (ExitCode.REFUSED, True)
    refused(call("try", "--model", str(folders / "nosuch"), model=False), ExitCode.REFUSED, "--model", "does not exist")
    refused(call("try", "--model", str(folders / "run.yaml"), model=False), ExitCode.REFUSED, "is not a folder")
    (folders / "none").mkdir()
    refused(call("try", "--data", str(folders / "none"), data=False), ExitCode.REFUSED, "--data", "is empty")
    (folders / "data" / "outside").symlink_to("/etc")
    refused(call("try"), ExitCode.REFUSED, "outside is a link to /etc", "which a run would not have")
    assert "start" not in [words[0] for words in engine.calls]
    refused(call("try", "--keep", str(folders)), ExitCode.REFUSED, "--keep", "exists")
    refused(call("try", "--keep", str(folders / "run.yaml" / "kept")), ExitCode.REFUSED, "--keep", "cannot be made")
    assert "start" not in [words[0] for words in engine.calls]
    refused(call("try", "--here", "--engine", "docker"), ExitCode.REFUSED, "--here")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("model.repository=https://me:s3cr3t@git.example.com/team/model.git", "contains a user or password"),
        ("model.revision=--upload-pack=touch PLACE/made", "is not a valid name of a branch or tag"),
        ("model.nosuch=1", "unknown key"),
        ("replicas=0", "is less than 1"),
        ("publish.type=push", "is not one of git, s3, none"),
        ("workspace.size=much", "is not a quantity"),
    ],
)
@pytest.mark.parametrize("command", ["try", "check"])
def test_a_value_that_the_cluster_refuses_is_refused_here_too_though_it_is_not_used(
    command: str, wrong: str, message: str, call: Call, folders: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A git address with a token would be shown to everybody who sees this machine's processes, and a revision could be an
    option of git.
    """
    given = ["--here", "--set", wrong.replace("PLACE", str(folders))]
    if command == "try":
        ran = call("try", *given, model=False)
    else:
        code = cli.main(["check-data", "custom", str(folders / "data"), "-f", str(folders / "run.yaml"), *given])
        ran = Ran(code, *capfd.readouterr())
    assert (ran.code, message in ran.err) == (ExitCode.REFUSED, True), ran
    assert "s3cr3t" not in ran.err
    assert "fetching" not in ran.err


def test_git_takes_no_value_for_an_option(tmp_path: Path) -> None:
    source = {"repository": str(tmp_path / "nosuch"), "revision": f"--upload-pack=touch {tmp_path}/made;"}
    with pytest.raises(FileError, match="git fetch failed"):
        fetch("model", source, tmp_path / "fetched")
    assert not (tmp_path / "made").exists()


@pytest.mark.lab
def test_submodules_are_fetched_where_the_values_want_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("COUNT", "1"), ("KEY_0", "protocol.file.allow"), ("VALUE_0", "always")):
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    for name in ("sub", "top"):
        git("init", "--quiet", "--initial-branch=main", str(tmp_path / name))
        (tmp_path / name / f"{name}.py").write_text("pass")
        git("add", "--all", cwd=tmp_path / name)
        git("commit", "--quiet", "-m", name, cwd=tmp_path / name)
    recorded = git("rev-parse", "HEAD", cwd=tmp_path / "sub")
    (tmp_path / "top" / ".gitmodules").write_text('[submodule "x"]\n\tpath = libs/x\n\turl = ../sub\n')
    git("add", ".gitmodules", cwd=tmp_path / "top")
    git("update-index", "--add", "--cacheinfo", f"160000,{recorded},libs/x", cwd=tmp_path / "top")
    git("commit", "--quiet", "-m", "submodule", cwd=tmp_path / "top")
    source = {"repository": str(tmp_path / "top")}
    assert not (fetch("model", source, tmp_path / "without") / "libs/x/sub.py").exists()
    assert (fetch("model", {**source, "submodules": True}, tmp_path / "with") / "libs/x/sub.py").exists()


def test_a_source_that_only_the_cluster_reaches_needs_a_folder(call: Call) -> None:
    values = "model: {repository: null, type: claim, claimName: models}"
    ran = call("try", "--here", "--values-text", values, model=False)
    refused(ran, ExitCode.REFUSED, "model.type is claim", "--model")


@pytest.mark.lab
def test_lfs_pointers_are_told(call: Call, folders: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    (folders / "data" / "0.txt").write_text(pointer)
    ran = call("try", "--here")
    assert ran.code == 30
    assert "1 files are LFS pointers without data: 0.txt" in ran.err
    assert "git lfs pull" in ran.err


@pytest.mark.lab
def test_ctrl_c_ends_the_run_and_removes_the_container(engine: Engine, folders: Path) -> None:
    (folders / "model" / "train.py").write_text("import time\nprint('training', flush=True)\ntime.sleep(600)\n")
    argv = [sys.executable, "-m", "trainchart", "try", "-f", str(folders / "run.yaml")]
    argv += ["--model", str(folders / "model"), "--data", str(folders / "data")]
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert any(line == "training\n" for line in child.stdout)
    child.send_signal(2)
    _, said = child.communicate(timeout=60)
    assert child.returncode == ExitCode.INTERRUPTED
    assert said.splitlines()[-1] == "trainchart: interrupted; nothing is left behind"
    assert engine.calls[-1][0] == "rm"


@pytest.mark.lab
def test_working_folders_of_commands_that_were_killed_are_removed(call: Call, cache: Path) -> None:
    (cache / "abandoned" / "read-only").mkdir(parents=True)
    (cache / "abandoned" / "lock").touch()
    (cache / "abandoned" / "read-only").chmod(0o500)
    os.utime(cache / "abandoned", (0, 0))
    assert call("try", "--here").code == 0
    assert not (cache / "abandoned").exists()


@pytest.mark.lab
def test_containers_of_commands_that_were_killed_are_removed(call: Call, cache: Path, engine: Engine) -> None:
    (engine.state / "left").write_text("0123abcd")
    (engine.state / "says").touch()
    (cache / "abandoned").mkdir(parents=True)
    (cache / "abandoned" / "lock").touch()
    os.utime(cache / "abandoned", (0, 0))
    call("try")
    found = next(words for words in engine.calls if words[0] == "ps")
    assert found[-1] == "label=trainchart.folder=abandoned"
    assert ["rm", "--force", "0123abcd"] in engine.calls
    # Those of commands that run have another label.
    created = next(words for words in engine.calls if words[0] == "create")
    label = created[created.index("--label") + 1]
    assert label.startswith("trainchart.folder=")
    assert label != "trainchart.folder=abandoned"


def test_a_full_disk_is_refused(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainchart.local.scratch.ROOM", 1 << 60)
    refused(call("try", "--here"), ExitCode.REFUSED, "TRAINCHART_CACHE", "make room")
