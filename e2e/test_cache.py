"""`trainchart cache` as whoever submits calls it, on a real volume beside real runs. The tests build on each other, in
this order.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from e2e.cases import SHARED, Values
from e2e.cases.cache import CLAIM
from e2e.cluster import kind
from e2e.kube import Kube, Object, poll
from e2e.node import in_node
from e2e.runs import Session, merged, value_files
from e2e.scenario import ACCOUNT, ROOT, TEAM, volume
from tests.tools.pages import yaml_blocks

FOLDER = f"{kind.VOLUMES}/{CLAIM}"
SOURCES = {"model": "descend", "dataset": "points"}
CACHED: Values = {"model": {"cached": True}, "dataset": {"cached": True}, "cache": {"claimName": CLAIM}}

pytestmark = [pytest.mark.family("cache"), pytest.mark.usefixtures("volume_of_the_cache")]


@pytest.fixture(scope="module")
def volume_of_the_cache(session: Session) -> Iterator[None]:
    in_node("rm", "-rf", FOLDER)
    in_node("install", "-d", "-m", "0777", FOLDER)
    session.world.admin.apply(*volume(CLAIM, FOLDER))
    yield
    session.remove([run for run in session.releases if run.startswith("cache-")])


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options of a run whose sources are kept, and whose pods would only read the cache."""
    file = tmp_path_factory.mktemp("cache") / "cached.json"
    file.write_text(json.dumps(merged(CACHED, {"cache": {"readOnly": True}})))
    return [word for path in [*(str(ROOT / one) for one in value_files("custom")), str(file)] for word in ("-f", path)]


def command(kube: Kube, action: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "trainchart", "cache", action, "-n", kube.namespace, *arguments]


def environment(kube: Kube) -> dict[str, str]:
    return {**kube.environment(), "PYTHONPATH": str(ROOT / "tools")}


def cache(kube: Kube, action: str, *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors."""
    done = subprocess.run(
        command(kube, action, *arguments),
        env=environment(kube), capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def succeeds(kube: Kube, action: str, *arguments: str) -> str:
    code, output, errors = cache(kube, action, *arguments)
    assert code == 0, output + errors
    return output


def entries(kube: Kube, values: list[str]) -> dict[str, Object]:
    """What is listed, by the section of the values."""
    listed = json.loads(succeeds(kube, "list", *values, "-o", "json"))["entries"]
    return {name: one for name, end in SOURCES.items() for one in listed if one["location"].endswith(f"/{end}.git")}


def commits(session: Session) -> Values:
    """The commits of the sources: a run that names them asks no server for them."""
    found = {name: session.world.server.branch_commit(TEAM, repository, "main") for name, repository in SOURCES.items()}
    return {name: {"revision": commit} for name, commit in found.items()}


def alone(session: Session) -> Values:
    """A run that could fetch nothing: it has neither a token nor the certificate of the server."""
    cut_off = {
        "git": {"secretName": ""},
        "caBundle": {"configMapName": ""},
        "publish": {"type": "none", "repository": ""},
    }
    return merged(CACHED, {"cache": {"readOnly": True}}, commits(session), cut_off, SHARED)


def no_pod_is_left(kube: Kube) -> bool:
    return not kube.objects("pods", "app.kubernetes.io/component=cache")


def test_a_run_fetches_nothing_once_the_cache_is_filled(session: Session, values: list[str]) -> None:
    kube = session.world.submitter
    fetches = merged(alone(session), {"cache": {"readOnly": False}})
    before = session.install_as("cache-before", "custom", fetches, "cache")
    assert before.end() in ("Failed", "Terminated"), "it cannot fetch"
    assert before.exit_code() in (30, 31), before.log()
    filled = succeeds(kube, "fill", *values)
    assert filled.count(": fetching https://gitea.git.svc:3000/team/") == 2
    assert succeeds(kube, "fill", *values).count(" is in the cache already") == 2
    after = session.install_as("cache-after", "custom", alone(session), "cache")
    assert after.end() == "Completed", after.log()
    log = after.log()
    assert log.count("event=cache") == log.count("hit=true") == 2
    assert "event=fetch" not in log
    assert "event=resolve" not in log
    poll(lambda: no_pod_is_left(session.world.admin), 60, "the pods of the command are gone")


def test_what_a_run_uses_is_listed_and_stays(session: Session, values: list[str]) -> None:
    kube = session.world.submitter
    assert {one["inUse"] for one in entries(kube, values).values()} == {False}
    sleeps = {
        "train": {"command": ["python3", "-c", "import time; time.sleep(900)"], "exportCommand": [], "metricsFile": ""}
    }
    reads = session.install_as("cache-reads", "custom", merged(alone(session), sleeps), "cache")
    writable = {"cache": {"readOnly": False}}  # else it leaves no record
    release = session.install_as("cache-uses", "custom", merged(alone(session), sleeps, writable), "cache")
    reads.wait_for_log("event=start stage=train")
    release.wait_for_log("event=start stage=train")
    found = entries(kube, values)
    assert [(one["state"], one["inUse"]) for one in found.values()] == [("complete", True)] * 2
    assert {one["usedBy"] for one in found.values()} == {f"{kube.namespace}/{release.name}"}
    assert f"{kube.namespace}/{release.name}" in succeeds(kube, "list", *values)
    for chosen in (["--older-than", "0s"], [found["dataset"]["commit"]]):
        pruned = succeeds(kube, "prune", *values, *chosen)
        assert pruned.count("which has not finished, needs it") == (2 if "--older-than" in chosen else 1), pruned
    lock = f"{FOLDER}/{found['dataset']['name']}/used"  # which keeps it from commands that do not see the run
    assert in_node("sh", "-c", f"flock --nonblock {lock} true || echo held") == "held\n"
    session.remove(["cache-uses"])
    poll(lambda: not kube.pods(release.name), 90, "its pod is gone")
    assert [one["inUse"] for one in entries(kube, values).values()] == [True] * 2, "the other one holds the lock too"
    session.remove(["cache-reads"])


def test_verify_finds_a_flipped_byte_that_a_run_would_not(session: Session, values: list[str]) -> None:
    kube = session.world.submitter
    assert succeeds(kube, "verify", *values).count("ok: ") == 2
    name = entries(kube, values)["dataset"]["name"]
    file = f"{FOLDER}/{name}/content/points.csv"
    flip = f"printf X | dd of={file} bs=1 seek=3 conv=notrunc"
    in_node("sh", "-c", f"touch -r {file} /tmp/then && {flip} && touch -r /tmp/then {file}")
    assert {one["state"] for one in entries(kube, values).values()} == {"complete"}, "size and time are as they were"
    code, output, errors = cache(kube, "verify", *values)
    assert code == 8, output + errors
    assert "points.git" in output
    assert "is damaged: 1 changed (such as points.csv)" in output
    assert name in errors
    assert "1 removed" in succeeds(kube, "prune", *values, name)
    assert ": fetching https://gitea.git.svc:3000/team/points.git" in succeeds(kube, "fill", *values)
    assert succeeds(kube, "verify", *values).count("ok: ") == 2


def test_prune_removes_what_nobody_uses(session: Session, values: list[str]) -> None:
    kube = session.world.submitter
    session.remove([run for run in session.releases if run.startswith("cache-")])
    assert "no entry on claim kept-sources is due" in succeeds(kube, "prune", *values, "--older-than", "30d")
    assert "2 would be removed" in succeeds(kube, "prune", *values, "--older-than", "0s", "--dry-run")
    assert len(entries(kube, values)) == 2
    looked = ["--claim", CLAIM, "--image", "trainchart/custom-minimal:12"]
    assert "2 removed" in succeeds(kube, "prune", *looked, "--older-than", "0s")
    assert succeeds(kube, "list", *looked).startswith("no entries")
    assert not in_node("find", FOLDER, "-type", "f")


def test_a_fill_that_is_stopped_leaves_no_pod(session: Session, values: list[str]) -> None:
    kube = session.world.submitter
    poll(lambda: no_pod_is_left(kube), 60, "the pods of other commands are gone")
    nowhere = ["--set", "nodeSelector.trainchart\\.dev/test=there-is-none"]
    process = subprocess.Popen(
        command(kube, "fill", *values, *nowhere),
        env=environment(kube), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    poll(lambda: not no_pod_is_left(kube), 60, "its pod is there")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted; the pod is removed" in errors
    poll(lambda: no_pod_is_left(kube), 60, "its pod is gone")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--set", "cache.claimName=there-is-none"], 4, "PersistentVolumeClaim there-is-none does not exist"),
        (
            ["--set", "image=trainchart/there-is-none:1", "--start-timeout", "20s"],
            8,
            "image trainchart/there-is-none:1",
        ),
        (["--set", "model.revision=there-is-none"], 30, "model.revision there-is-none is neither a branch nor a tag"),
        (["--set", "nodeSelector.no=node", "--start-timeout", "5s"], 8, "no node takes pod"),
        (["-n", "there-is-none"], 6, "there-is-none"),
    ],
)
def test_what_keeps_it_from_being_filled_is_one_line(
    options: list[str], code: int, words: str, session: Session, values: list[str]
) -> None:
    found, output, errors = cache(session.world.submitter, "fill", *values, *options)
    assert (found, words in errors.splitlines()[-1]) == (code, True), output + errors


def test_the_cronjob_of_the_documentation_is_one(session: Session) -> None:
    cron_job = yaml_blocks("cache.md")[-1]
    pod = cron_job["spec"]["jobTemplate"]["spec"]["template"]
    admin = session.world.admin
    pod["spec"]["serviceAccountName"] = ACCOUNT  # the one of charts/platform is in another namespace
    for one in (cron_job, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "prune"}, **pod}):
        admin.kubectl("apply", "--dry-run=server", "-f", "-", text=json.dumps(one))
