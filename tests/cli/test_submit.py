"""`trainchart submit` with a fake helm: its arguments, how failures are explained, and what they leave behind."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.checks.cluster import ROOT, stocked
from tests.fakes.api import FakeApi
from tests.fakes.runs import templates_of_helm
from trainchart.chart.engine import Target
from trainchart.chart.helm_program import HelmProgram
from trainchart.chart.paths import CHART
from trainchart.cli import main as cli
from trainchart.cli import submit as command
from trainchart.cli import wait as waiting
from trainchart.cluster import kinds
from trainchart.errors import ExitCode, UsageError
from trainchart.files import overlay
from trainchart.follow.outcome import Outcome
from trainchart.install.helm import check_arguments
from trainchart.values.validate import values_of

FILES = [
    word
    for file in ("values/custom.yaml", "values/accelerators/cpu.yaml", "e2e/values/custom.yaml")
    for word in ("-f", str(ROOT / file))
]
CLOSED = (
    'Error: INSTALLATION FAILED: admission webhook "a" denied the request: '
    "can only submit job to queue with state `Open`, queue `team` status is `Closed`;"
)
TAKEN = "Error: INSTALLATION FAILED: cannot reuse a name that is still in use"


class Cluster(FakeApi):
    """Has the releases that the fake helm has left."""

    def __init__(self, state: Path) -> None:
        super().__init__()
        self.state = state

    def objects(self, kind: Any, *, selector: str = "", metadata_only: bool = False, **more: Any) -> Any:
        if not metadata_only:
            return super().objects(kind, selector=selector, **more)
        wanted = dict(part.split("=") for part in selector.split(","))
        release = self.state / wanted["name"]
        if not release.exists() or wanted.get("trainchart.dev/submission", "") not in release.read_text():
            return [], "1"
        return [{"metadata": {"labels": {"status": "failed"}}}], "1"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster(tmp_path / "releases")
    stocked(made)
    made.state.mkdir()
    monkeypatch.setattr(command, "connect", lambda _: made)
    monkeypatch.setattr(waiting, "follow", lambda options: Outcome(40 if options.name == "fails" else 0, []))
    return made


def helm_that(
    cluster: Cluster, *, says: str = "", leaves: bool = True, cleans: bool = True, of_others: str = ""
) -> str:
    """A helm that renders as the real one, records its arguments, creates a release or finds one `of_others`, and fails with `says`."""
    program = cluster.state.parent / "helm"
    program.write_text(
        f"""#!{sys.executable}
{templates_of_helm()}
import json, pathlib
state, arguments = pathlib.Path({str(cluster.state)!r}), sys.argv[1:]
with open({str(cluster.state.parent / "calls")!r}, "a") as log:
    log.write(json.dumps(arguments) + "\\n")
if arguments[0] == "install":
    (state.parent / "values").write_text(sys.stdin.read())
    if {leaves}:
        (state / arguments[1]).write_text({of_others!r} or arguments[arguments.index("--labels") + 1])
    if {says!r}:
        sys.exit({says!r})
    print("NOTES: made")
elif {cleans}:
    (state / arguments[1]).unlink()
else:
    sys.exit("forbidden")
"""
    )
    program.chmod(0o755)
    return str(program)


def calls(cluster: Cluster) -> list[list[str]]:
    log = cluster.state.parent / "calls"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def submit(cluster: Cluster, helm: str, *more: str, name: str = "run-42") -> int:
    return cli.main(["submit", name, *FILES, "--helm", helm, *more])


def test_a_run_is_validated_checked_installed_and_followed(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    helm = helm_that(cluster)
    assert submit(cluster, helm) == 0
    [install] = calls(cluster)
    assert install[:2] == ["install", "run-42"]
    assert install[install.index("--namespace") + 1] == "training"
    assert install[install.index("--kube-context") + 1] == "lab"
    assert yaml.safe_load((cluster.state.parent / "values").read_text()) == values_of(FILES[1::2])
    assert "run-42 is installed in training" in capsys.readouterr().err
    assert submit(cluster, helm, name="fails") == 40, "it ends as the run does"


@pytest.mark.lab
def test_what_is_installed_is_what_the_command_line_lays_over_the_files(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    over = ["--values-text", "retries: 3", "--param", "REPLICAS=", "--param", "TRAINING_IMAGE=registry.example.com/a:1"]
    over += ["--set", "train.checkpoints=1e3,env.A=x\\,y", "--set-string", "env.B=007", "--set-json", 'env.C="{}"']
    assert submit(cluster, helm_that(cluster), *over, "--set", "tolerations=null", "--set", "queue=") == 0
    installed = yaml.safe_load((cluster.state.parent / "values").read_text())
    assert installed == overlay(
        values_of(FILES[1::2]),
        {
            "retries": 3, "image": "registry.example.com/a:1", "train": {"checkpoints": "1e3"}, "tolerations": None, "queue": "",
            "env": {"A": "x,y", "B": "007", "C": "{}"},
        },
    )  # fmt: skip
    [install] = calls(cluster)
    assert not any(word.startswith("--set") for word in install), "Helm reads the values, and no words of theirs"
    assert submit(cluster, helm_that(cluster), "--param", "REPLICAS=x", "--set", "=1") == 2
    error = capsys.readouterr().err
    assert "--param REPLICAS: error: 'x' is not a whole number" in error
    assert "--set: error: '=1': names no key" in error


@pytest.mark.lab
def test_a_file_that_can_be_read_once_is_installed_as_it_was_judged(cluster: Cluster) -> None:
    """The shell's `<(command)` is a pipe, which a second reading finds empty."""
    reader, writer = os.pipe()
    os.write(writer, b"retries: 7\n")
    os.close(writer)
    try:
        assert submit(cluster, helm_that(cluster), "-f", f"/dev/fd/{reader}") == 0
    finally:
        os.close(reader)
    assert yaml.safe_load((cluster.state.parent / "values").read_text())["retries"] == 7


@pytest.mark.lab
def test_a_file_that_is_saved_again_meanwhile_is_installed_as_it_was_judged(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("retries: 7\n", encoding="utf-8")

    def saves_it_again(*_: object, **__: object) -> bool:
        own.write_text("retries: 8\n", encoding="utf-8")
        return True

    monkeypatch.setattr(command, "_passes_doctor", saves_it_again)
    assert submit(cluster, helm_that(cluster), "-f", str(own)) == 0
    assert yaml.safe_load((cluster.state.parent / "values").read_text())["retries"] == 7


@pytest.mark.lab
def test_a_run_of_parameters_alone_needs_its_family(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    helm = ["--helm", helm_that(cluster)]
    assert cli.main(["submit", "run-42", *helm]) == 2
    assert "no values are given; name a values file by -f, or what to train by --family" in capsys.readouterr().err
    given = ["TRAINING_IMAGE=registry.example.com/a:1", "OUTPUT_MODEL_REPO_URL=https://git.example.com/a.git"]
    given += ["GIT_CREDENTIAL_SECRET_NAME=git-credentials"]
    arguments = [*helm, "--family", "custom", "--set", "train.command={./train}", *(f"--param={one}" for one in given)]
    assert cli.main(["submit", "run-42", *arguments]) == 0
    assert yaml.safe_load((cluster.state.parent / "values").read_text()) == {
        "family": "custom",
        "image": "registry.example.com/a:1",
        "git": {"secretName": "git-credentials"},
        "publish": {"repository": "https://git.example.com/a.git"},
        "train": {"command": ["./train"]},
    }


@pytest.mark.lab
def test_no_wait_prints_the_notes(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(cluster, helm_that(cluster), "--no-wait") == 0
    assert capsys.readouterr().out == "NOTES: made\n"


@pytest.mark.lab
def test_arguments_after_two_dashes_are_passed_on_to_helm(cluster: Cluster) -> None:
    assert submit(cluster, helm_that(cluster), "--no-wait", "--", "--description", "by hand") == 0
    install = calls(cluster)[0]
    assert install[install.index("--description") + 1] == "by hand"


def test_without_a_program_arguments_after_two_dashes_are_refused(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["submit", "run-42", *FILES, "--", "--description", "by hand"]) == 2
    assert "submit: --description: arguments after -- are passed on to the helm program" in capsys.readouterr().err
    assert cluster.calls == 0


@pytest.mark.parametrize(
    ("argument", "use"),
    [
        ("--set", "--set"),
        ("--set=a=b", "--set"),
        ("--set-file=a=b", "-f FILE"),
        ("-fother.yaml", "-f"),
        ("-n", "-n"),
        ("-nprod", "-n"),
        ("--name-template=x", "NAME"),
        ("--dry-run=server", "--dry-run"),
        ("-h", "--help"),
        ("--kube-context=x", "--context"),
        ("--kube-token=x", "--context and --kubeconfig"),
        ("--kube-apiserver", "--context and --kubeconfig"),
        ("--kube-as-user=x", "--context and --kubeconfig"),
        ("--kube-insecure-skip-tls-verify", "--context and --kubeconfig"),
    ],
)
def test_options_that_would_change_what_was_checked_are_refused(argument: str, use: str) -> None:
    with pytest.raises(UsageError, match=f"use {use} of submit"):
        check_arguments([argument], "helm")


@pytest.mark.parametrize("argument", ["--post-renderer", "--post-renderer=./change", "--post-renderer-args=x"])
def test_a_post_renderer_is_refused(argument: str, cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(cluster, helm_that(cluster), "--", argument) == 2
    assert "cannot be passed on to helm: it would change objects that were checked" in capsys.readouterr().err
    assert calls(cluster) == []


@pytest.mark.lab
@pytest.mark.parametrize("others", ["", "trainchart.dev/submission=another"])
def test_a_signal_just_after_the_installation_is_one_for_the_run(
    others: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupts(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_follow", interrupts)
    assert submit(cluster, helm_that(cluster, of_others=others)) == ExitCode.INTERRUPTED
    says = "run-42 is not installed: it was interrupted" if others else "stopped following; the run continues"
    assert says in capsys.readouterr().err


def test_a_failed_installation_is_explained_and_removed(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(cluster, helm_that(cluster, says=CLOSED)) == 2
    error = capsys.readouterr().err
    assert "run-42 is not installed: queue team takes no runs: its state is Closed; name an open one in queue:" in error
    assert "(what Helm created was removed)" in error
    assert [call[:2] for call in calls(cluster)] == [["install", "run-42"], ["uninstall", "run-42"]]


@pytest.mark.lab
def test_leftovers_that_cannot_be_removed_are_reported_with_the_command(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(cluster, helm_that(cluster, says=CLOSED, cleans=False)) == 2
    assert "is left: `helm uninstall run-42 -n training` removes it" in capsys.readouterr().err


@pytest.mark.lab
@pytest.mark.parametrize("says", [TAKEN, "Error: INSTALLATION FAILED: release: already exists", CLOSED])
def test_a_release_of_another_submission_is_never_removed(
    says: str, cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    # Another submission takes the name between our check and Helm's: the release is theirs, whatever ours failed for.
    assert submit(cluster, helm_that(cluster, says=says, of_others="another submission"), "--no-doctor") == 2
    assert [call[0] for call in calls(cluster)] == ["install"]
    assert "removed" not in capsys.readouterr().err
    # A name that is taken before is not even tried.
    assert submit(cluster, helm_that(cluster), "--no-doctor") == 2
    assert [call[0] for call in calls(cluster)] == ["install"]
    assert "a release of this name exists already" in capsys.readouterr().err


def test_a_problem_found_by_doctor_prevents_the_installation(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.there[kinds.SECRETS] = []
    helm = helm_that(cluster)
    assert submit(cluster, helm) == 8
    assert calls(cluster) == []
    error = capsys.readouterr().err
    assert "Secret git-credentials does not exist" in error
    assert "--no-doctor installs it anyway" in error
    assert submit(cluster, helm, "--no-doctor") == 0


def test_invalid_values_cause_no_request(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"replica: 2\n")))
    assert submit(cluster, helm_that(cluster), "-f", "-") == 2
    assert "<stdin>:1:1: error: replica: unknown key" in capsys.readouterr().err
    assert cluster.calls == 0


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("templates/job.yaml", "kind: Job", "makes no Volcano Job, so there is no run to follow"),
        ("values.schema.json", "{", "values.schema.json is not a JSON Schema: Expecting property name"),
    ],
)
@pytest.mark.lab
def test_a_chart_of_something_else_or_with_a_broken_schema_is_named(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], tmp_path: Path, file: str, text: str, words: str
) -> None:
    chart = tmp_path / "other"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: other\nversion: 1.0.0\n", encoding="utf-8")
    (chart / file).write_text(text, encoding="utf-8")
    assert submit(cluster, helm_that(cluster), "--chart", str(chart)) == 2
    assert words in capsys.readouterr().err
    assert not calls(cluster)


@pytest.mark.lab
def test_a_chart_needs_no_schema(cluster: Cluster, tmp_path: Path) -> None:
    chart = shutil.copytree(CHART, tmp_path / "train")
    (chart / "values.schema.json").unlink()
    assert submit(cluster, helm_that(cluster), "--chart", str(chart)) == 0


@pytest.mark.lab
def test_values_on_the_standard_input_are_installed(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"timeLimit: 7h\n")))
    assert submit(cluster, helm_that(cluster), "-f", "-") == 0
    assert yaml.safe_load((cluster.state.parent / "values").read_text())["timeLimit"] == "7h"


@pytest.mark.lab
def test_a_dry_run_is_admitted_by_the_server_and_creates_nothing(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submit(cluster, helm_that(cluster, leaves=False), "--dry-run") == 0
    assert "--dry-run=server" in calls(cluster)[0]
    assert capsys.readouterr().out.endswith("run-42 would be installed in training; nothing was changed\n")


def test_a_missing_helm_is_reported(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(cluster, "no-such-helm") == 2
    assert "no-such-helm is not on PATH; install Helm 3 or 4" in capsys.readouterr().err


def test_helm_gets_the_cluster_of_the_api_client() -> None:
    helm = HelmProgram("helm")
    assert helm.command(Target("training", "other", "/k"), "uninstall", "a")[3:] == [
        "--namespace",
        "training",
        "--kube-context",
        "other",
        "--kubeconfig",
        "/k",
    ]
    assert helm.command(Target("training"), "uninstall", "a")[3:] == ["--namespace", "training"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HELM_NAMESPACE", "prod", "HELM_NAMESPACE is prod, but the checks use training; unset it, or use -n"),
        ("HELM_KUBECONTEXT", "prod", "HELM_KUBECONTEXT is prod, but the checks use lab; unset it, or use --context"),
        ("HELM_KUBETOKEN", "s3cret", "HELM_KUBETOKEN is set, so Helm would use another server or account"),
        ("HELM_KUBEAPISERVER", "https://other.example", "HELM_KUBEAPISERVER is set"),
        ("HELM_KUBEASUSER", "admin", "HELM_KUBEASUSER is set"),
        ("HELM_KUBEASGROUPS", "admins", "HELM_KUBEASGROUPS is set"),
        ("HELM_KUBECAFILE", "/ca", "HELM_KUBECAFILE is set"),
        ("HELM_KUBETLS_SERVER_NAME", "other.example", "HELM_KUBETLS_SERVER_NAME is set"),
        ("HELM_KUBEINSECURE_SKIP_TLS_VERIFY", "true", "HELM_KUBEINSECURE_SKIP_TLS_VERIFY is set"),
        ("HELM_DRIVER", "configmap", "HELM_DRIVER is configmap, but trainchart reads releases from Secrets"),
        ("HELM_DRIVER", "memory", "HELM_DRIVER is memory"),
        ("HELM_DRIVER", "sql", "HELM_DRIVER is sql"),
    ],
)  # fmt: skip
def test_an_environment_that_changes_helm_s_cluster_or_storage_is_refused(
    name: str,
    value: str,
    words: str,
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(name, value)
    assert submit(cluster, helm_that(cluster)) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "s3cret" not in error
    assert calls(cluster) == []


@pytest.mark.lab
def test_an_environment_that_agrees_with_the_checks_is_accepted(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = {"HELM_NAMESPACE": "training", "HELM_KUBECONTEXT": "lab", "HELM_KUBETOKEN": "", "HELM_DRIVER": "secret"}
    for name, value in {**same, "HELM_KUBEINSECURE_SKIP_TLS_VERIFY": "false"}.items():
        monkeypatch.setenv(name, value)
    assert submit(cluster, helm_that(cluster)) == 0


def test_values_files_need_the_option_f(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["submit", "run-42", "values.yaml", "-f", "other.yaml"])
    assert ended.value.code == 2
    assert isinstance(ended.value, SystemExit)
    assert "unrecognized arguments: values.yaml" in capsys.readouterr().err


def test_submit_has_all_options_of_wait() -> None:
    parser = cli.make_parser()
    submitted = vars(parser.parse_args(["submit", "a", "-f", "b"]))
    assert vars(parser.parse_args(["wait", "a"])).keys() <= submitted.keys()
