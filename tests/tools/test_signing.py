"""The charts are signed by a key of gpg, as both Helm programs verify it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.keys import gpg, keys
from hack.package import CHARTS, PackageError, package_chart, provenance, sign_charts

both_helms = pytest.mark.parametrize("version", ["helm", "helm3"])


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with keys("signer", "stranger") as home:
        yield home


@pytest.fixture
def signed(home: Path, tmp_path: Path, helm: str) -> Path:
    """A folder with both charts, signed."""
    charts = [package_chart(tmp_path, helm=helm, chart=chart) for chart in CHARTS]
    sign_charts(charts, "signer@example.com", helm=helm)
    return tmp_path


def verify(helm: str, chart: Path, keyring: Path) -> str:
    """What Helm says against a chart, or ""."""
    command = [helm, "verify", "--keyring", str(keyring), str(chart)]
    process = subprocess.run(command, check=False, capture_output=True, text=True)
    return process.stderr if process.returncode else ""


@pytest.mark.lab
@both_helms
def test_both_programs_verify_both_charts(signed: Path, version: str, request: pytest.FixtureRequest) -> None:
    charts = sorted(signed.glob("*.tgz"))
    assert len(charts) == 2
    for chart in charts:
        assert verify(request.getfixturevalue(version), chart, signed / "keyring.gpg") == ""


@pytest.mark.lab
@both_helms
@pytest.mark.parametrize("kind", ["rsa3072", "nistp256"])
def test_both_programs_verify_other_kinds_of_keys(
    kind: str, version: str, tmp_path: Path, request: pytest.FixtureRequest, helm: str
) -> None:
    with keys("other", kind=kind):
        chart = package_chart(tmp_path, helm=helm)
        sign_charts([chart], "other", helm=helm)
    assert verify(request.getfixturevalue(version), chart, tmp_path / "keyring.gpg") == ""


@pytest.mark.lab
@both_helms
def test_what_was_changed_or_signed_by_somebody_else_is_refused(
    signed: Path, version: str, request: pytest.FixtureRequest
) -> None:
    program, chart, keyring = request.getfixturevalue(version), next(signed.glob("train-*.tgz")), signed / "keyring.gpg"
    gpg("--output", signed / "stranger.gpg", "--export", "stranger@example.com")
    assert "unknown entity" in verify(program, chart, signed / "stranger.gpg")
    changed = bytearray(chart.read_bytes())
    changed[len(changed) // 2] ^= 1
    chart.write_bytes(changed)
    assert "sha256 sum does not match" in verify(program, chart, keyring)
    signature = chart.with_name(f"{chart.name}.prov")
    signature.write_text(signature.read_text().replace("name: train", "name: brain"))
    assert "invalid signature" in verify(program, chart, keyring)
    signature.unlink()
    assert "could not load provenance file" in verify(program, chart, keyring)


@pytest.mark.lab
@both_helms
def test_an_expired_or_revoked_key_is_refused_whenever_it_signed(
    version: str, tmp_path: Path, request: pytest.FixtureRequest, helm: str
) -> None:
    """As docs/releasing.md says, which therefore makes a key that does not expire."""
    program, chart, keyring = (
        request.getfixturevalue(version),
        package_chart(tmp_path, helm=helm),
        tmp_path / "keys.gpg",
    )
    signed = ("--output", f"{chart}.prov", "--clearsign")
    with keys("revoked") as home:
        then = ("--faked-system-time", "20260101T000000")
        gpg(*then, "--passphrase", "", "--quick-generate-key", "expired <expired@example.com>", "ed25519", "sign", "2d")
        gpg(*then, "--local-user", "expired", *signed, text=provenance(chart, helm=helm))
        gpg("--output", keyring, "--export", "expired")
        assert "key expired" in verify(program, chart, keyring)
        gpg("--local-user", "revoked", *signed, text=provenance(chart, helm=helm))
        gpg("--output", keyring, "--export", "revoked")
        assert verify(program, chart, keyring) == ""
        (certificate,) = (home / "openpgp-revocs.d").glob(f"{fingerprint('revoked')}.rev")
        gpg("--import", text=certificate.read_text().replace(":-----BEGIN", "-----BEGIN"))
        gpg("--output", keyring, "--export", "revoked")
        assert "revoked key" in verify(program, chart, keyring)


def fingerprint(name: str) -> str:
    listed = gpg("--with-colons", "--list-keys", name)
    return next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))


@pytest.mark.lab
def test_a_key_that_gpg_does_not_have_is_an_error_with_its_name(home: Path, tmp_path: Path, helm: str) -> None:
    with pytest.raises(PackageError, match=r"SIGN_KEY=nobody cannot sign: .*No secret key.*gpg --list-secret-keys"):
        sign_charts([package_chart(tmp_path, helm=helm)], "nobody", helm=helm)


def test_where_gpg_is_missing_the_error_says_so(tmp_path: Path, helm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chart = package_chart(tmp_path, helm=helm)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PackageError, match="no program gpg; install it, or leave SIGN_KEY out"):
        sign_charts([chart], "signer", helm=helm)
