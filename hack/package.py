"""What is handed out, into one folder: the charts as Helm packs them, signed by a key; the wheel, the sdist, and their bills of material.

`make package` calls it; docs/packaging.md explains it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hack import sbom

ROOT = Path(__file__).parents[1]
CHARTS = (ROOT / "charts/train", ROOT / "charts/platform")
PACKED = ("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "charts", "deploy", "docs", "tools", "values")
EPOCH = 1767225600
"""The time that packed files get where nothing else is asked for (SOURCE_DATE_EPOCH): the same bytes on every machine."""


class PackageError(Exception):
    """Why nothing can be handed out, in one line with the fix."""


def package_chart(folder: Path, *, helm: str = "helm", chart: Path = CHARTS[0]) -> Path:
    """A chart with its license, as `helm package` (of Helm 4, which keeps the times of files) packs it; the same chart gives
    the same bytes.
    """
    with tempfile.TemporaryDirectory() as scratch:
        staged = Path(shutil.copytree(chart, Path(scratch, chart.name)))
        # Inside the library, where there is one: what lies there is in no release.
        shutil.copyfile(
            ROOT / "LICENSE", (staged / "charts/lib" if (staged / "charts/lib").is_dir() else staged) / "LICENSE"
        )
        for path in staged.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
            os.utime(path, (epoch(), epoch()))
        command = [helm, "package", str(staged), "--destination", str(folder)]
        said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    archive = Path(said.strip().rpartition(": ")[2])
    os.utime(archive, (epoch(), epoch()))  # `helm push` writes it into the manifest, whose digest names the chart
    return archive


def sign_charts(archives: Iterable[Path], key: str, *, helm: str = "helm") -> list[Path]:
    """The provenance file of each packed chart, which `helm push` uploads with it, signed by a key of gpg; and that public
    key in a file beside them, in the only form that Helm reads (`--keyring`).

    `helm package --sign` would need the secret key in a file. gpg asks its agent or a hardware token to sign.
    Raises PackageError where gpg does not sign with the key, or Helm cannot verify it.
    """
    archives = list(archives)
    signatures = [archive.with_name(f"{archive.name}.prov") for archive in archives]
    keyring = archives[0].with_name("keyring.gpg")
    for archive, signature in zip(archives, signatures, strict=True):
        sign = [
            "gpg",
            "--yes",
            "--local-user",
            key,
            "--digest-algo",
            "SHA512",
            "--output",
            str(signature),
            "--clearsign",
        ]
        _run(sign, f"SIGN_KEY={key} cannot sign", text=provenance(archive, helm=helm))
    _run(["gpg", "--yes", "--output", str(keyring), "--export", key], f"SIGN_KEY={key} cannot be exported")
    for archive in archives:
        _run([helm, "verify", "--keyring", str(keyring), str(archive)], f"Helm does not verify SIGN_KEY={key}")
    return [*signatures, keyring]


def provenance(archive: Path, *, helm: str = "helm") -> str:
    """What Helm has signed: the chart's metadata, and the checksum of the archive under its name."""
    command = [helm, "show", "chart", str(archive)]
    metadata = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    return f"{metadata.rstrip()}\n\n...\nfiles:\n  {archive.name}: sha256:{digest}\n"


def package_python(folder: Path, *, root: Path = ROOT) -> list[Path]:
    """The wheel and the sdist of the tools; the same files give the same bytes."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder.resolve())]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch())}
    before = set(folder.iterdir())
    subprocess.run(command, check=True, cwd=root, capture_output=True, text=True, env=environment)
    return sorted(set(folder.iterdir()) - before)


def epoch() -> int:
    return int(os.environ.get("SOURCE_DATE_EPOCH") or EPOCH)


def package(folder: Path, *, key: str = "", helm: str = "helm") -> list[Path]:
    """All of it, in an empty folder; the charts are signed where a key is named. Raises PackageError."""
    charts = [package_chart(folder, helm=helm, chart=chart) for chart in CHARTS]
    signatures = sign_charts(charts, key, helm=helm) if key else []
    wheel, sdist = package_python(folder)
    return [*charts, *signatures, wheel, sdist, *sbom.write(folder, wheel, helm=helm, epoch=epoch())]


def uncommitted(root: Path) -> list[str]:
    """What would be packed and is in no commit, such as a token that lies in a packed folder; nothing outside git."""
    status = [
        "git",
        "-C",
        str(root),
        "status",
        "--porcelain",
        "--untracked-files=all",
        "-z",
        "--no-renames",
        "--",
        *PACKED,
    ]
    try:
        said = subprocess.run(status, check=True, capture_output=True, text=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return []
    return [entry[3:] for entry in said.split("\0") if entry]


def _run(command: list[str], failure: str, *, text: str = "") -> None:
    try:
        subprocess.run(command, check=True, input=text, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise PackageError(f"there is no program {command[0]}; install it, or leave SIGN_KEY out") from error
    except subprocess.CalledProcessError as error:
        said = "; ".join(error.stderr.split("\n")).strip("; ")
        help_with_keys = "`gpg --list-secret-keys` lists the keys; for one with a passphrase, export GPG_TTY=$(tty)"
        raise PackageError(f"{failure}: {said}; {help_with_keys}") from error


def main() -> int:
    folder, key = ROOT / "dist", os.environ.get("SIGN_KEY", "")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        made = package(folder, key=key)
    except PackageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path in made:
        print(f"{path.relative_to(ROOT)}  {-(-path.stat().st_size // 1024)} KiB")
    if files := uncommitted(ROOT):
        print(f"warning: packed as they are here, and in no commit: {', '.join(files)}", file=sys.stderr)
    if not key:
        print(
            "The charts are not signed, and `helm install --verify` refuses them; SIGN_KEY=FINGERPRINT signs with a key of gpg."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
