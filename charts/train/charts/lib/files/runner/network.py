"""Whom the run trusts and how it gets there: CA certificates beside the image's, and the proxy of the environment."""

from __future__ import annotations

import atexit
import contextlib
import ipaddress
import os
import re
import shutil
import ssl
import tempfile
import urllib.request
from functools import lru_cache
from pathlib import Path
from typing import Optional
from urllib.parse import SplitResult, urlsplit

from .errors import RunnerError

# Where Linux distributions keep the authorities that they trust, as crypto/x509 of Go has them; the first that exists is used.
_SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
OTHER_HOST = (62, 64)  # HOSTNAME_MISMATCH and IP_ADDRESS_MISMATCH of OpenSSL


def system_bundle() -> str:
    """The file of the image's own authorities; "" if it has none."""
    named = os.environ.get("SSL_CERT_FILE", "")
    return next((file for file in (named, *_SYSTEM) if file and Path(file).is_file()), "")


def joined_bundle(own: str) -> str:
    """Write the image's authorities and those of `own` into one file, and return it; "" if there is no `own`.

    git, git-lfs and most libraries take one file, in place of the system's. It is written anew each time, because the trainer
    could have changed it.

    Raises:
        RunnerError: there is no room for it.
    """
    if not own or not Path(own).is_file():  # verify has told that it is missing
        return ""
    joined = Path(tempfile.gettempdir())
    try:
        joined = _folder() / "ca.crt"
        fresh = joined.with_suffix(f".{os.getpid()}")
        fresh.write_bytes(b"\n".join(Path(file).read_bytes() for file in filter(None, (system_bundle(), own))))
        fresh.replace(joined)
    except OSError as error:
        raise RunnerError("verify-failed", f"{joined} cannot be written: {error}", "leave room in /tmp") from error
    return str(joined)


@lru_cache(None)
def _folder() -> Path:
    """A folder of this process alone, until its end."""
    folder = tempfile.mkdtemp(prefix="trainchart-ca-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def tls_context(own: str) -> ssl.SSLContext:
    """What Python trusts for an https:// connection: what git does. Raises OSError if the file `own` cannot be used."""
    context = ssl.create_default_context()
    for file in filter(None, (system_bundle(), own)):
        context.load_verify_locations(file)
    # Since Python 3.13 refuses certificates that git accepts, such as those of an authority without a key identifier.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    return context


def certificate_fix(error: ssl.SSLCertVerificationError, setting: str) -> str:
    """Return what to do about the certificate of the server that `setting` names."""
    if error.verify_code in OTHER_HOST:
        return f"set {setting} to a host that the certificate names"
    if error.verify_code in (9, 10):  # not yet valid, expired
        return "renew it on the server, or set the clock of the node"
    return "set caBundle to the CA that signed it"


def check_bundle(own: str) -> None:
    """Check that the certificates of `caBundle` can be used. Raises RunnerError."""
    if not Path(own).is_file():
        raise RunnerError(
            "verify-failed",
            "caBundle: the ConfigMap does not exist, or does not have the key caBundle.key",
            "correct caBundle.configMapName or caBundle.key",
        )
    try:
        ssl.create_default_context().load_verify_locations(own)
    except OSError as error:
        raise RunnerError(
            "verify-failed",
            f"caBundle: the file holds no CA certificates in PEM format ({error.strerror or error})",
            "put certificates that begin with -----BEGIN CERTIFICATE----- into the ConfigMap",
        ) from error


def proxy_of(url: str) -> Optional[SplitResult]:
    """Return the proxy for a URL by the environment, as git does; None for a direct way."""
    target = urlsplit(url)
    proxy = urllib.request.getproxies().get(target.scheme)
    if not proxy or urllib.request.proxy_bypass(target.netloc) or _in_network(target.hostname or ""):
        return None
    return urlsplit(proxy if "//" in proxy else f"//{proxy}")


def on_the_way(url: str) -> str:
    """Return how the advice to check a server goes on if a proxy leads to it."""
    proxy = proxy_of(url)
    return f", and the proxy {proxy.netloc.rpartition('@')[2]} on the way there, or proxy.noProxy" if proxy else ""


def perhaps_refused(url: str) -> str:
    """Return how the advice goes on if a proxy may have answered for the server: without a tunnel, the two look alike."""
    proxy, target = proxy_of(url), urlsplit(url)
    if not proxy or target.scheme != "http":
        return ""
    return (
        f"; if the proxy {proxy.netloc.rpartition('@')[2]} on the way there has refused it, allow {target.hostname} in "
        "the proxy, or add it to proxy.noProxy"
    )


def refused_by_proxy(url: str, error: object) -> str:
    """Return the fix for an error of Python by which the proxy opens no connection to a URL; "" for any other."""
    found, host = re.match(r"Tunnel connection failed: (4(?!08|29)\d\d)", str(error)), urlsplit(url).hostname
    if not found:
        return ""
    fix = "use a proxy that requires no credentials" if found.group(1) == "407" else f"allow {host} in the proxy"
    return f"{fix}, or add {host} to proxy.noProxy"


def _in_network(host: str) -> bool:
    """Whether NO_PROXY names a network with this address. curl and Go know networks there, and Python does not."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in urllib.request.getproxies().get("no", "").split(","):
        with contextlib.suppress(ValueError):
            if "/" in entry and address in ipaddress.ip_network(entry.strip(), strict=False):
                return True
    return False
