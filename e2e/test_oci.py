"""The charts in a real registry: pushed with their signatures, pulled by tag and by digest, verified, and installed, by both Helm programs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.cases import custom
from e2e.cluster.steps import BIN
from e2e.keys import gpg, keys
from e2e.registry import CA_FILE, PASSWORD, USER, Registry, registry
from e2e.runs import Release, Session
from e2e.scenario import TEAM
from hack.package import CHARTS, EPOCH, package_chart, sign_charts
from trainchart.version import __version__

pytestmark = pytest.mark.family("oci")

both_helms = pytest.mark.parametrize("helm", ["helm", "helm3"])
HELM = str(BIN / "helm")
SIGNER, STRANGER = "signer@example.com", "stranger@example.com"
BY_TAG = ("--version", __version__)


@dataclass(frozen=True)
class Published:
    """A registry with both charts, signed."""

    registry: Registry
    folder: Path  # with what `make package` makes, and the public key of a stranger
    digests: dict[str, str]  # of both charts, as `helm push` has printed them

    @property
    def train(self) -> str:
        return self.registry.chart("charts/train")

    @property
    def train_by_digest(self) -> str:
        return f"{self.train}@{self.digests['train']}"

    @property
    def archive(self) -> Path:
        return self.folder / f"train-{__version__}.tgz"

    @property
    def verified(self) -> tuple[str, ...]:
        return ("--verify", "--keyring", str(self.folder / "keyring.gpg"))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    """With a Helm that is logged in; nothing of this account's Helm is used or changed."""
    folder = tmp_path_factory.mktemp("packed")
    with (
        pytest.MonkeyPatch.context() as patch,
        keys("signer", "stranger"),
        registry(tmp_path_factory.mktemp("registry")) as running,
    ):
        for name in ("CONFIG", "DATA"):
            patch.setenv(f"HELM_{name}_HOME", str(tmp_path_factory.mktemp(name.lower())))
        charts = [package_chart(folder, helm=HELM, chart=chart) for chart in CHARTS]
        sign_charts(charts, SIGNER, helm=HELM)
        gpg("--output", folder / "stranger.gpg", "--export", STRANGER)
        run("helm", "registry", "login", running.address, "-u", USER, "--password-stdin", text=PASSWORD)
        digests = {chart.name.rpartition("-")[0]: push("helm", chart, running, "charts") for chart in charts}
        yield Published(running, folder, digests)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To pull into; and no chart in the cache of Helm 4."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HELM_CACHE_HOME", str(tmp_path / "cache"))


def call(helm: str, *arguments: str | Path, text: str = "", trust: tuple[str, ...]) -> tuple[int, str]:
    """Exit code, and both streams as one text."""
    command = [BIN / helm, *arguments, *trust]
    done = subprocess.run(
        command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout


TRUST = ("--ca-file", str(CA_FILE))


def run(helm: str, *arguments: str | Path, text: str = "", trust: tuple[str, ...] = TRUST) -> str:
    code, output = call(helm, *arguments, text=text, trust=trust)
    assert code == 0, output
    return output


def refused(helm: str, *arguments: str | Path, text: str = "", trust: tuple[str, ...] = TRUST) -> str:
    """What is said against it."""
    code, output = call(helm, *arguments, text=text, trust=trust)
    assert code != 0, output
    return output


def push(helm: str, archive: Path, to: Registry, folder: str) -> str:
    """The digest that Helm prints."""
    found = re.search(r"^Digest: (sha256:[0-9a-f]{64})$", run(helm, "push", archive, to.chart(folder)), re.MULTILINE)
    assert found
    return found[1]


def pull(helm: str, *arguments: str) -> bytes:
    """The archive that Helm writes."""
    run(helm, "pull", *arguments)
    (archive,) = Path.cwd().glob("*.tgz")
    content = archive.read_bytes()
    archive.unlink()
    return content


def another_chart(folder: Path, key: str = "") -> Path:
    """Another chart of the same name and version, signed with a key if one is named."""
    copy = shutil.copytree(CHARTS[0], folder / "another" / "train")
    (copy / "README.md").write_text(f"another one, in {folder}\n")
    archive = package_chart(copy.parent, helm=HELM, chart=copy)
    if key:
        sign_charts([archive], key, helm=HELM)
    return archive


@both_helms
def test_the_same_archive_has_the_same_digest_whoever_pushes_it(published: Published, helm: str) -> None:
    for name, digest in published.digests.items():
        assert push(helm, published.folder / f"{name}-{__version__}.tgz", published.registry, f"by-{helm}") == digest


@both_helms
@pytest.mark.parametrize("chart", ["train", "platform"])
def test_a_chart_is_pulled_by_tag_and_by_digest_as_it_was_packed(published: Published, helm: str, chart: str) -> None:
    packed = (published.folder / f"{chart}-{__version__}.tgz").read_bytes()
    named = published.registry.chart(f"charts/{chart}")
    for reference in ([named, *BY_TAG, *published.verified], [f"{named}@{published.digests[chart]}"]):
        assert pull(helm, *reference) == packed


@both_helms
def test_who_signed_a_chart_is_said_and_others_are_refused(published: Published, helm: str) -> None:
    assert "Signed by: signer <signer@example.com>" in run(helm, "pull", published.train, *BY_TAG, *published.verified)
    stranger = ("--verify", "--keyring", str(published.folder / "stranger.gpg"))
    assert "unknown entity" in refused(helm, "pull", published.train, *BY_TAG, *stranger)
    assert "unknown entity" in refused(helm, "template", "run-42", published.train, *BY_TAG, *stranger)


@both_helms
def test_a_chart_without_a_signature_is_refused_where_one_is_asked_for(
    published: Published, helm: str, tmp_path: Path
) -> None:
    push(helm, another_chart(tmp_path), published.registry, "unsigned")
    unsigned = published.registry.chart("unsigned/train")
    assert ".prov" in refused(helm, "pull", unsigned, *BY_TAG, *published.verified)
    assert pull(helm, unsigned, *BY_TAG)


@both_helms
def test_another_chart_under_the_same_tag_is_not_taken_for_it(published: Published, helm: str, tmp_path: Path) -> None:
    moved, original = published.registry.chart(f"moved-{helm}/train"), published.archive.read_bytes()
    digest = push(helm, published.archive, published.registry, f"moved-{helm}")
    other = another_chart(tmp_path, STRANGER)
    assert push(helm, other, published.registry, f"moved-{helm}") != digest
    assert "unknown entity" in refused(helm, "pull", moved, *BY_TAG, *published.verified)
    assert pull(helm, moved, *BY_TAG) == other.read_bytes(), "nothing but a signature tells"
    assert pull(helm, f"{moved}@{digest}") == original


@both_helms
def test_other_bytes_under_a_good_signature_are_refused(published: Published, helm: str, tmp_path: Path) -> None:
    archive = another_chart(tmp_path)
    shutil.copyfile(f"{published.archive}.prov", f"{archive}.prov")
    push(helm, archive, published.registry, f"mixed-{helm}")
    mixed = published.registry.chart(f"mixed-{helm}/train")
    assert "sha256 sum does not match" in refused(helm, "pull", mixed, *BY_TAG, *published.verified)


@both_helms
def test_a_byte_that_changed_in_the_registry_is_noticed(published: Published, helm: str, tmp_path: Path) -> None:
    digest = push(helm, another_chart(tmp_path, SIGNER), published.registry, f"damaged-{helm}")
    manifest = json.loads(published.registry.blob(digest).read_bytes())
    (layer,) = (layer for layer in manifest["layers"] if "chart.content" in layer["mediaType"])
    blob = published.registry.blob(layer["digest"])
    damaged = bytearray(blob.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    blob.write_bytes(damaged)
    named = published.registry.chart(f"damaged-{helm}/train")
    for reference in ([named, *BY_TAG], [f"{named}@{digest}"]):
        assert "digest" in refused(helm, "pull", *reference)
    assert not list(Path.cwd().iterdir())


@both_helms
def test_by_digest_helm_looks_for_the_signature_of_another_name(published: Published, helm: str) -> None:
    """Where this fails, helm/helm#32546 is mended, and docs/packaging.md can say `@sha256:... --verify`."""
    output = refused(helm, "pull", published.train_by_digest, *published.verified)
    assert 'does not contain a SHA for a file named "train@sha256-' in output


@both_helms
def test_a_mirror_that_helm_alone_makes_has_the_same_digest_and_signature(published: Published, helm: str) -> None:
    run(helm, "pull", published.train, *BY_TAG, "--prov")
    (archive,) = Path.cwd().glob("*.tgz")
    os.utime(archive, (EPOCH, EPOCH))
    assert push(helm, archive, published.registry, f"mirror-{helm}") == published.digests["train"]
    mirror = published.registry.chart(f"mirror-{helm}/train")
    assert "Signed by: signer" in run(helm, "pull", mirror, *BY_TAG, *published.verified)


@both_helms
def test_the_registry_has_to_be_trusted_and_wants_a_password(
    published: Published, helm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "unknown authority" in refused(helm, "pull", published.train, *BY_TAG, trust=())
    monkeypatch.setenv("HELM_CONFIG_HOME", str(tmp_path / "nobody"))
    assert "credential not found" in refused(helm, "pull", published.train, *BY_TAG)
    login = ("registry", "login", published.registry.address, "-u", USER, "--password-stdin")
    assert "401" in refused(helm, *login, text="wrong")
    run(helm, *login, text=PASSWORD)
    assert pull(helm, published.train, *BY_TAG) == published.archive.read_bytes()


@both_helms
def test_a_registry_without_tls_is_talked_to_where_it_is_asked_for(
    published: Published, helm: str, tmp_path: Path
) -> None:
    with registry(tmp_path, secured=False) as plain:
        run(helm, "push", published.archive, plain.chart("charts"), trust=("--plain-http",))
        run(helm, "pull", plain.chart("charts/train"), *BY_TAG, *published.verified, trust=("--plain-http",))


@both_helms
def test_the_schema_in_a_pulled_chart_refuses_wrong_values(published: Published, helm: str) -> None:
    output = refused(helm, "template", "run-42", published.train_by_digest, "--set", "family=yolov5,epohs=3")
    assert "epohs" in output


@pytest.mark.parametrize(("helm", "by"), [("helm", "digest"), ("helm3", "signature")])
def test_a_run_of_a_published_chart_trains_and_publishes(
    session: Session, published: Published, helm: str, by: str
) -> None:
    reference = [published.train_by_digest] if by == "digest" else [published.train, *BY_TAG, *published.verified]
    kube, (name, _, *values) = session.world.submitter, session.command(f"oci-{by}", "custom")
    notes = kube.run(helm, "install", name, *reference, *TRUST, *values, "-n", kube.namespace, text="{}")
    release = Release(name, session.world, notes)
    assert release.end() == "Completed"
    result = release.result()
    assert "line.json" in session.world.server.list_files(TEAM, custom.RESULTS, result["branch"])
    (job,) = kube.objects("vcjob", f"app.kubernetes.io/instance={name}")
    assert job["metadata"]["labels"]["helm.sh/chart"] == f"train-{__version__}"
