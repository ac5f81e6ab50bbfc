"""What `trainchart logs` prints, and its exit codes."""

from __future__ import annotations

import pytest

from tests.fakes.live import NAME, Cluster, stamped
from trainchart.cli import logs as logs_command
from trainchart.cli import main as cli
from trainchart.cluster.errors import ForbiddenError
from trainchart.follow import logs


def test_ctrl_c_leaves_a_followed_run_alone(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.phase("Running")
    cluster.pod()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(logs, "follow", interrupted)
    assert cli.main(["logs", "-f", NAME]) == 130
    assert capsys.readouterr().err == "trainchart: stopped following; the run continues: trainchart logs -f run-42\n"


@pytest.mark.parametrize(("options", "prefix"), [([], "[0] "), (["--no-prefix"], ""), (["--rank", "0"], "")])
def test_lines_of_several_ranks_are_prefixed_with_the_rank(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], options: list[str], prefix: str
) -> None:
    two = Cluster(replicas=2)
    two.pod(0, 0, stamped(1, 5, "a line"))
    two.pod(1, 0)
    monkeypatch.setattr(logs_command, "connect", lambda _: two)
    assert cli.main(["logs", NAME, *options]) == 0
    assert capfdbinary.readouterr().out.decode() == f"{prefix}a line\n"
    assert cli.main(["logs", NAME, "--timestamps", *options]) == 0
    assert capfdbinary.readouterr().out.decode() == f"{prefix}2026-11-24T18:00:01.000000005Z a line\n"


def test_a_rank_that_does_not_exist_is_refused(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.phase("Running")
    cluster.pod()
    assert cli.main(["logs", NAME, "--rank", "3"]) == 2
    assert "--rank: run-42 has ranks 0 to 0" in capsys.readouterr().err


def test_no_logs_yet_is_exit_code_4_and_names_the_next_command(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["logs", NAME]) == 4
    assert "run-42 is pending and has no pods yet; `trainchart status run-42` says why" in capsys.readouterr().err


def test_missing_rights_are_named(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.phase("Running")
    cluster.pod()
    cluster.forbidden = {"get pods/log"}
    assert cli.main(["logs", NAME]) == ForbiddenError.exit_code
    assert "no permission to get pods/log" in capsys.readouterr().err
