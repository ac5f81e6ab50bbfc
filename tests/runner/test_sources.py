"""Pinning, fetching and LFS against a real git server."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from features import gang as decisions
from runner import checkout, checkpoint, lfs, prepare
from runner.context import Context, Pinned
from runner.errors import RunnerError
from runner.git import Git
from runner.remote import Remote, cause, classify
from runner.workspace import Workspace
from tests.conftest import rows

from .conftest import FILES, Ended, Server, fake_family, git, push


@pytest.fixture
def name(server: Server, tmp_path: Path) -> str:
    """A new empty repository."""
    server.repository(f"{tmp_path.name}.git")
    return f"{tmp_path.name}.git"


@pytest.fixture
def context(server: Server, name: str, make_context: Callable[..., Context]) -> Context:
    return make_context(
        {
            "sources": {
                "model": {"type": "git", "repository": f"{server.url}/{name}", "revision": "", "path": "model"}
            },
            "publish": {"type": "none", "modelName": "m", "maxBatchSize": 1},
        }
    )


def remote(server: Server, name: str) -> Remote:
    return Remote("model", f"{server.url}/{name}")


def fetch(context: Context, commit: str) -> int:
    url = context.settings.sources["model"].repository
    tree = context.source_path("model")
    return checkout.fetch(Git(context), "model", Pinned(url, "main", commit), tree, context.workspace.room)[0]


def refused(call: Callable[[], Any]) -> RunnerError:
    with pytest.raises(RunnerError) as caught:
        call()
    return caught.value


def test_a_revision_is_a_branch_a_tag_a_commit_or_the_remote_s_head(
    server: Server, name: str, context: Context
) -> None:
    first, second = push(server, name, {"a": "1"}), push(server, name, {"a": "2"})
    repository = str(server.folder / name)
    git("-C", repository, "tag", "light", first)
    git("-C", repository, "tag", "-a", "-m", "x", "heavy", first)
    resolver, folder = Git(context), context.workspace.root
    wanted = {
        "": second,
        "main": second,
        "light": first,
        "heavy": first,
        "refs/heads/main": second,
        "refs/tags/heavy": first,
        first: first,
    }
    for revision, commit in wanted.items():
        assert resolver.resolve(remote(server, name), revision, folder).commit == commit, revision
    assert resolver.resolve(remote(server, name), "", folder).revision == "main"

    git("-C", repository, "tag", "main", first)
    ambiguous = refused(lambda: resolver.resolve(remote(server, name), "main", folder))
    assert "refs/heads/main" in ambiguous.fix
    assert "refs/tags/main" in ambiguous.fix

    missing = refused(lambda: resolver.resolve(remote(server, name), "mian", folder))
    assert (missing.exit.name, "main" in missing.reason, missing.fix) == (
        "prepare-failed",
        True,
        "correct model.revision",
    )
    assert "40 digits" in refused(lambda: resolver.resolve(remote(server, name), first[:10], folder)).reason


@pytest.mark.parametrize("protocol", rows(["v2", "v0"], "v2"))
def test_the_pinned_commit_is_fetched_although_the_branch_moved(
    protocol: str, server: Server, name: str, context: Context
) -> None:
    pinned = push(server, name, {"a": "old"})
    push(server, name, {"a": "new"})
    server.no_protocol_v2 = protocol == "v0"  # then the server gives no commit by its hash
    fetch(context, pinned)
    assert (context.model / "a").read_text() == "old"
    depth = git("-C", str(context.model), "rev-list", "--count", "HEAD")
    assert depth == "1"
    absent = refused(lambda: fetch(context, "0" * 39 + "1"))
    assert absent.exit.name == "prepare-failed"
    assert "has no commit" in absent.reason


def test_lfs_data_is_on_disk_once_and_keeps_its_mode(server: Server, name: str, context: Context) -> None:
    big = "weights " * 5000
    commit = push(server, name, {"a.pt": big, "copy/b.pt": big, "c.pt": "other " * 100, "train.py": "pass"}, lfs="*.pt")
    assert fetch(context, commit) > 2 * len(big)
    assert [(context.model / path).read_text() for path in ("a.pt", "copy/b.pt", "c.pt")] == [big, big, "other " * 100]
    assert [path for path in (context.model / ".git" / "lfs" / "objects").rglob("*") if path.is_file()] == []
    assert (context.model / "a.pt").stat().st_mode == (context.model / "train.py").stat().st_mode
    requests = len(server.requests)
    fetch(context, commit)
    assert len(server.requests) == requests  # a second prepare asks the server for nothing


@pytest.mark.lab
def test_a_prepare_killed_half_way_is_finished_by_the_next(server: Server, name: str, context: Context) -> None:
    commit = push(server, name, {"a.pt": "a" * 2000, "b.pt": "b" * 2000}, lfs="*.pt")
    fetch(context, commit)
    pointer = git("-C", str(server.folder / name), "show", f"{commit}:b.pt") + "\n"
    (context.model / "b.pt").write_text(pointer)  # killed between two objects
    fetch(context, commit)
    assert (context.model / "b.pt").read_text() == "b" * 2000
    (context.model / ".git" / "index.lock").touch()  # killed in the checkout
    (context.model / "a.pt").unlink()
    fetch(context, commit)
    assert (context.model / "a.pt").read_text() == "a" * 2000


def test_an_object_that_the_server_lacks_is_named(server: Server, name: str, context: Context) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'1' * 64}\nsize 12345\n"
    commit = push(server, name, {"lost.pt": pointer})
    error = refused(lambda: fetch(context, commit))
    assert error.exit.name == "prepare-failed"
    assert "lacks LFS objects" in error.reason
    assert "git lfs push" in error.fix


def test_pointers_that_stay_behind_are_an_error(
    server: Server, name: str, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = push(server, name, {"a.pt": "a" * 2000}, lfs="*.pt")
    monkeypatch.setattr(lfs, "_fetch", lambda *_: None)
    assert "a.pt" in refused(lambda: fetch(context, commit)).reason


def test_a_workspace_that_is_too_small_is_known_before_the_data_comes(
    server: Server, name: str, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = push(server, name, {"a.pt": "a" * 3000, "b.pt": "a" * 3000}, lfs="*.pt")
    monkeypatch.setattr(Workspace, "free_bytes", lambda self: 5999)
    error = refused(lambda: fetch(context, commit))
    assert (error.exit.name, "6000" in error.reason, "5999" in error.reason) == ("prepare-no-space", True, True)
    assert not any("lfs" in request for request in server.requests[-3:])


def test_the_size_of_an_empty_dir_counts_where_the_disk_has_more(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(300))
    assert Workspace(tmp_path, 1000).free_bytes() == 700
    assert Workspace(tmp_path, 200).free_bytes() == 0
    assert Workspace(tmp_path).free_bytes() > 1000


def test_empty_repositories_and_checkouts_are_errors(server: Server, name: str, context: Context) -> None:
    assert "is empty" in refused(lambda: Git(context).resolve(remote(server, name), "", context.workspace.root)).reason
    commit = push(server, name, {".gitattributes": "*.pt filter=lfs\n"})
    assert "has no files" in refused(lambda: fetch(context, commit)).reason


@pytest.mark.parametrize(
    ("status", "code", "fix"),
    [
        (401, 30, "user and token"),
        (403, 30, "allow the user"),
        (404, 30, "check model.repository"),
        (500, 31, "the server"),
        (503, 31, "the server"),
    ],
)
def test_what_the_server_answers_becomes_a_code_and_a_fix(
    status: int, code: int, fix: str, server: Server, name: str, context: Context
) -> None:
    server.answers[name] = status
    error = refused(lambda: Git(context).resolve(remote(server, name), "main", context.workspace.root))
    assert (error.exit.code, fix in error.fix) == (code, True), error.reason


def test_a_wrong_password_names_the_secret(server: Server, name: str, context: Context, secret: Path) -> None:
    (secret / "GIT_TOKEN").write_text("wrong-password")
    error = refused(lambda: Git(context).resolve(remote(server, name), "main", context.workspace.root))
    assert error.exit.name == "prepare-failed"
    assert "git.secretName git-credentials" in error.reason
    assert "wrong-password" not in error.reason + error.fix


def test_a_failing_server_is_tried_again(
    server: Server, name: str, context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = push(server, name, {"a": "1"})
    server.answers[name] = 502
    monkeypatch.setattr(time, "sleep", lambda _: server.answers.clear())
    assert Git(context).resolve(remote(server, name), "main", context.workspace.root).commit == commit
    assert "event=retry" in capsys.readouterr().out


def test_a_server_that_is_not_there_is_unreachable(context: Context) -> None:
    error = refused(
        lambda: Git(context).resolve(Remote("publish", "http://127.0.0.1:9/x.git"), "", context.workspace.root)
    )
    assert error.exit.name == "publish-unreachable"


OF_HUBS = [
    ("remote: Password authentication in git is no longer supported. You must use a user access token or an SSH key instead.\nfatal: Authentication failed for 'https://huggingface.co/a/b/'", "authentication"),
    ("batch response: Authentication required: Password authentication in git is no longer supported. You must use a user access token", "authentication"),
    ("remote: HTTP Basic: Access denied. The provided password or token is incorrect or your account has 2FA enabled\nfatal: Authentication failed for 'https://www.modelscope.cn/a/b.git/'", "authentication"),
    ("remote: Access to model a/b is restricted and you are not in the authorized list. Visit https://huggingface.co/a/b to ask for access.\nfatal: unable to access 'https://huggingface.co/a/b/': The requested URL returned error: 403", "forbidden"),
    ("remote: Authorization error.\nfatal: unable to access 'https://huggingface.co/a/b/': The requested URL returned error: 403", "forbidden"),
    ("remote: Repository not found\nfatal: repository 'https://huggingface.co/a/b/' not found", "absent"),
    ("remote: Sorry, your push was rejected during YAML metadata verification:\nremote: - Error: \"model-index[0].results[0].dataset.config\" must be a string\n ! [remote rejected] r -> r (pre-receive hook declined)", "rejected"),
    ("remote: Your push was rejected because it contains binary files.\n ! [remote rejected] r -> r (pre-receive hook declined)", "rejected"),
    ("batch response: \nYou need to configure your repository to enable upload of files > 5GB.\nRun \"hf lfs-enable-largefiles ./path/to/your/repo\" and try again.", "lfs-refused"),
    ("fatal: unable to access 'https://huggingface.co/a/b/': The requested URL returned error: 429", "busy"),
    ("batch response: Rate limit exceeded: https://huggingface.co/a/b.git/info/lfs/objects/batch", "busy"),
]  # fmt: skip
"""What the Hugging Face Hub and ModelScope print, by public reports."""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            "fatal: unable to access 'https://h/': server certificate verification failed. CAfile: none CRLfile: none",
            "certificate",
        ),
        ("fatal: unable to access 'https://h/': SSL certificate problem: self-signed certificate", "certificate"),
        (
            "batch request: tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "certificate",
        ),
        ("fatal: could not read Username for 'https://h': terminal prompts disabled", "no-credentials"),
        ("fatal: Authentication failed for 'https://h/'", "authentication"),
        (
            "remote: GitLab: You are not allowed to push code to protected branches\n ! [remote rejected] a -> a (pre-receive hook declined)",
            "rejected",
        ),
        (" ! [rejected] a -> a (fetch first)", "moved"),
        ("fatal: unable to access 'https://h/': Could not resolve host: h", "name"),
        ("fatal: unable to access 'https://h/': Could not resolve proxy: p", "proxy"),
        ("fatal: unable to access 'https://h/': Received HTTP code 407 from proxy after CONNECT", "proxy-login"),
        ("fatal: unable to access 'https://h/': Received HTTP code 403 from proxy after CONNECT", "proxy-refused"),
        ("fatal: unable to access 'https://h/': Received HTTP code 502 from proxy after CONNECT", "proxy"),
        ("batch request: proxyconnect tcp: dial tcp 10.0.0.1:3128: connect: connection refused", "proxy"),
        (
            "fatal: unable to access 'https://h/': SSL certificate problem: certificate has expired",
            "certificate-expired",
        ),
        ("x509: certificate has expired or is not yet valid: current time 2026", "certificate-expired"),
        (
            "fatal: unable to access 'https://h/': SSL: no alternative certificate subject name matches target host name 'h'",
            "certificate-name",
        ),
        ("batch response: x509: certificate is valid for a.example, not h", "certificate-name"),
        (
            "batch response: x509: cannot validate certificate for 10.0.0.1 because it doesn't contain any IP SANs",
            "certificate-name",
        ),
        ("error setting certificate verify locations:  CAfile: /x/ca.pem CApath: none", "certificate-file"),
        ("batch response: dial tcp: lookup h on 10.96.0.10:53: no such host", "name"),
        ("remote: fatal: write error: No space left on device\nfatal: the remote end hung up", "server-full"),
        (f"[{'a' * 64}] write /data/lfs/aa: no space left on device: [500] Internal Server Error", "server-full"),
        (" ! [remote rejected] a -> a (cannot lock ref 'refs/heads/a': is at 1234 but expected 5678)", "server-failed"),
        (
            " ! [remote rejected] a -> a (cannot lock ref 'refs/heads/a': Unable to create '/srv/a.lock': File exists.)",
            "server-failed",
        ),
        (
            " ! [remote rejected] a -> a (cannot lock ref 'refs/heads/a': 'refs/heads/a/b' exists; cannot create it)",
            "rejected",
        ),
        (
            "remote: GitLab: Internal API unreachable\n ! [remote rejected] a -> a (pre-receive hook declined)",
            "server-failed",
        ),
        ("batch response: This repository is over its data quota.", "server-quota"),
        ("remote: error: pack-objects died of signal 9\nfatal: early EOF", "unreachable"),
        ("error: git-lfs died of signal 9", "killed"),
        ("fatal: fetch-pack: invalid index-pack output", "corrupted"),
        ("fatal: unable to access 'https://h/': Error in the HTTP2 framing layer", "unreachable"),
        ("error: RPC failed; HTTP/2 stream 1 was not closed cleanly", "unreachable"),
        ("fatal: unable to access 'https://h/': The requested URL returned error: 404", "absent"),
        ("fatal: unable to access 'https://h/': The requested URL returned error: 403", "forbidden"),
        ("error: RPC failed; curl 56 GnuTLS recv error\nfatal: early EOF", "unreachable"),
        ("fatal: write error: No space left on device", "space"),
        ("error: RPC failed; HTTP 408 curl 22 The requested URL returned error: 408", "too-slow"),
        ("batch response: Client error https://h/info/lfs/objects/batch from HTTP 408", "too-slow"),
        ("batch response: write /data/lfs: no space left on device", "server-full"),
        ("fatal: unable to create thread: Resource temporarily unavailable", "machine"),
        ("fatal: Out of memory, malloc failed (tried to allocate 1048576 bytes)", "machine"),
        ("fatal: unable to write file a: Input/output error", "disk"),
        ("error: unable to create file a: Stale file handle", "disk"),
        ("remote: fatal: unable to write: Input/output error\n ! [remote rejected] a -> a (hook declined)", "rejected"),
        ("fatal: bad object in https://h/proxy-timeout.git", "other"),
        *OF_HUBS,
    ],
)
def test_git_s_words_are_understood(text: str, kind: str) -> None:
    assert classify(text).name == kind


BOX = f"remote: \nremote: {'=' * 40}\nremote: \n{{}}\nremote: \nremote: {'=' * 40}\nremote: "  # of GitLab's shell
OVER_SSH = [
    ("Connection timed out during banner exchange\nConnection to 10.0.0.1 port 22 timed out", "unreachable"),
    ("Connection to 10.0.0.1 closed by remote host.", "unreachable"),
    ("ssh: connect to host h port 22: No route to host", "unreachable"),
    ("client_loop: send disconnect: Broken pipe", "unreachable"),
    ("ssh_dispatch_run_fatal: Connection to 10.0.0.1 port 22: message authentication code incorrect", "unreachable"),
    ("", "unreachable"),  # a server that is silent after its banner
    (BOX.format("remote: ERROR: The git server, Gitaly, is not available at this time."), "unreachable"),
    ("ssh_dispatch_run_fatal: Connection to 10.0.0.1 port 22: error in libcrypto", "ssh-algorithms"),
    ("kex_exchange_identification: banner line contains invalid characters", "ssh-protocol"),
    (BOX.format("remote: ERROR: The project you were looking for could not be found or you don't have permission to view it."), "absent"),
    ("remote: TF401019: The Git repository with name or identifier x does not exist or you do not have permissions", "absent"),
    ("Gitea: Cannot find repository: team/x", "absent"),
    ("fatal: project team/x not found", "absent"),
    (BOX.format("remote: ERROR: This deploy key does not have write access to this project."), "forbidden"),
    ("Gitea: Deploy Key: 3:robot is not authorized to write to team/x.", "forbidden"),
    ("repository access denied. access via a deployment key is read-only.", "forbidden"),  # Bitbucket
    ("ERROR: The 'acme' organization has enabled or enforced SAML SSO.\n\nTo access it, use another key.", "forbidden"),
    ("ERROR: This repository has been archived so it is read-only.", "forbidden"),
    ("remote: Public key authentication failed.", "ssh-key"),  # Azure DevOps
]  # fmt: skip
"""What ssh and the servers behind it print, by public reports."""


@pytest.mark.parametrize(("text", "kind"), OVER_SSH)
def test_the_words_of_ssh_and_of_servers_behind_it_are_understood(text: str, kind: str) -> None:
    whole = f"{text}\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists."
    assert classify(whole.lstrip()).name == kind
    assert not text or cause(whole).strip("= ") not in ("", "remote:", "remote")


def test_pins_stay_until_the_settings_name_other_sources(server: Server, name: str, context: Context) -> None:
    first = push(server, name, {"a": "1"})
    assert prepare.pin(context, Git(context))["model"].commit == first
    push(server, name, {"a": "2"})
    assert prepare.pin(context, Git(context))["model"].commit == first
    (context.workspace.state / "sources.json").write_text("{")
    assert prepare.pin(context, Git(context))["model"].commit != first


def test_the_lock_dies_with_its_holder(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.create()
    hold = f"import sys, time; sys.path.insert(0, {str(FILES)!r})\nfrom pathlib import Path\nfrom runner.workspace import Workspace\nwith Workspace(Path({str(tmp_path)!r})).lock():\n print('held', flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    got = threading.Event()

    def wait() -> None:
        with workspace.lock():
            got.set()

    waiter = threading.Thread(target=wait, daemon=True)
    waiter.start()
    assert not got.wait(0.5)
    holder.kill()
    holder.wait()
    assert got.wait(5)


def test_a_mark_counts_only_for_the_settings_it_was_made_with(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.create()
    assert not workspace.is_marked("train", {"epochs": 3})
    workspace.mark("train", {"epochs": 3, "a": 1})
    assert workspace.is_marked("train", {"a": 1, "epochs": 3})
    assert not workspace.is_marked("train", {"a": 1, "epochs": 4})
    (workspace.state / "train.json").write_text("{half")
    assert not workspace.is_marked("train", {"a": 1, "epochs": 3})


def test_a_new_training_forgets_what_was_exported_of_another(make_context: Callable[..., Context]) -> None:
    """However the run between them ended: the same settings would find their old mark."""
    context = make_context({})
    context.workspace.mark("export", "these settings")
    family: Any = SimpleNamespace(has=lambda hook: False)
    checkpoint.start_from_scratch(context, family, "other settings")
    assert not context.workspace.is_marked("export", "these settings")


@pytest.mark.lab
def test_a_shared_workspace_is_prepared_once_for_all_ranks(
    server: Server, name: str, make_context: Callable[..., Context]
) -> None:
    commit = push(server, name, {"a.pt": "a" * 2000}, lfs="*.pt")
    changes = {
        "sources": {
            "model": {"type": "git", "repository": f"{server.url}/{name}", "revision": "main", "path": "model"}
        },
        "replicas": 2,
        "workspace.type": "newClaim",
    }
    zero, one = (make_context(changes, VC_TASK_INDEX=rank) for rank in "01")
    asked: list[str] = []

    def probe(name: str, *_: Any) -> dict[str, Any]:
        asked.append(name)
        return {}

    family = fake_family(probe)
    assert prepare.prepare(one, family, lambda: None) == 2000 + len("*.pt filter=lfs diff=lfs merge=lfs -text\n")
    push(server, name, {"a.pt": "b" * 2000}, lfs="*.pt")
    requests = len(server.requests)
    assert prepare.prepare(zero, family, lambda: None) is None
    assert zero.sources["model"].commit == one.sources["model"].commit == commit
    assert (asked, len(server.requests)) == (["dataset"], requests)


def gang(make_context: Callable[..., Context], **environment: str) -> Context:
    topology: dict[str, Any] = {
        "replicas": 2,
        "run.service": "127.0.0.1",
        "pod.port": int(environment.pop("port")),
        "pod.joinSeconds": 1,
    }
    return make_context(topology, **environment)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port - 1


def test_rank_0_tells_its_commits_and_nobody_else_is_believed(make_context: Callable[..., Context]) -> None:
    port = str(free_port())
    zero, one = (gang(make_context, port=port, VC_TASK_INDEX=rank) for rank in "01")
    sources = zero.settings.sources
    zero.sources = {
        name: Pinned(source.repository, "main", str(index) * 40) for index, (name, source) in enumerate(sources.items())
    }
    decisions.send(zero, "commits", {name: asdict(pin) for name, pin in zero.sources.items()})
    assert decisions.receive(one, "commits", decisions.parse_pins) == zero.sources
    later = gang(make_context, port=port, VC_TASK_INDEX="1", JOB_ATTEMPT="1")
    error = refused(lambda: decisions.receive(later, "commits", decisions.parse_pins))
    assert (error.exit.name, "another run or attempt" in error.reason) == ("peer-lost", True)
    for line in (b"", b"[]", b'{"run": 1, "decided": {}}', b"\xff\n"):
        with pytest.raises(OSError, match=r"."):
            decisions.decision(one, "commits", line)
    with pytest.raises(decisions.NotYetError):
        decisions.decision(one, "checkpoint", json.dumps({"run": f"{one.uid}/0", "decided": {}}).encode())
    zero.sources["model"] = Pinned(sources["model"].repository, "main", "--upload-pack=evil")
    with pytest.raises(OSError, match="not a commit"):
        decisions.parse_pins(one, {name: asdict(pin) for name, pin in zero.sources.items()})


def test_the_service_s_name_must_lead_to_rank_0(make_context: Callable[..., Context]) -> None:
    decisions.wait_for_service(gang(make_context, port="20000", POD_IP="127.0.0.1"))
    elsewhere = refused(lambda: decisions.wait_for_service(gang(make_context, port="20000", POD_IP="10.9.9.9")))
    assert (elsewhere.exit.name, "10.9.9.9" in elsewhere.reason) == ("peer-lost", True)


# the run's folder


@pytest.mark.lab
@pytest.mark.parametrize("folder", json.loads((FILES / "pod.json").read_text())["ownFolders"])
def test_a_dataset_in_a_folder_of_the_run_s_own_is_refused_and_nothing_is_lost(
    folder: str, make_home: Callable[..., Path], run: Callable[..., Ended], tmp_path: Path
) -> None:
    kept = tmp_path / "workspace" / "run-42" / folder / "kept"
    kept.parent.mkdir(parents=True)
    kept.write_text("of an earlier run")
    ended = run(make_home({"dataset.path": folder, "workspace.type": "newClaim"}))
    assert (ended.code, f"is in {folder}" in ended.last) == (10, True), ended.last
    assert kept.read_text() == "of an earlier run"


@pytest.mark.parametrize("directory", ["team", "team/run-42"])
def test_a_run_s_folder_behind_a_link_is_refused(
    directory: str, make_home: Callable[..., Path], run: Callable[..., Ended], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "team").symlink_to(elsewhere)
    ended = run(make_home({"workspace.directory": directory, "workspace.type": "newClaim"}))
    assert (ended.code, f"{tmp_path}/workspace/team is a symbolic link" in ended.last) == (20, True), ended.last
    assert not list(elsewhere.iterdir())


def test_a_run_s_folder_in_another_run_s_is_refused(
    make_home: Callable[..., Path], make_context: Callable[..., Context], run: Callable[..., Ended], server: Server
) -> None:
    other = make_context({"workspace.directory": "run-41"})
    with other.workspace.lock():
        pass
    ended = run(make_home({"workspace.directory": "run-41/output"}))
    assert (ended.code, "run-41 is another run's" in ended.last) == (20, True), ended.last
    absent = {"model.repository": f"{server.url}/absent.git"}
    assert run(make_home({"workspace.directory": "run-41-b", **absent})).code == 30


def test_the_log_and_the_result_are_not_written_through_a_link(
    make_home: Callable[..., Path], run: Callable[..., Ended], tmp_path: Path, server: Server
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    root = tmp_path / "workspace" / "run-42"
    root.mkdir(parents=True)
    (root / "result.json").symlink_to(precious / "file")
    for name in ("logs", "state"):
        (root / name).symlink_to(precious)
    absent = {"model.repository": f"{server.url}/absent.git"}
    assert run(make_home({"workspace.type": "newClaim", **absent})).code == 30
    assert {path.name: path.read_text() for path in precious.iterdir()} == {"file": "kept"}
    assert json.loads((root / "result.json").read_text())["status"] == "failed"
