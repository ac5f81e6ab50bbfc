"""What requests are signed with: the keys of a Secret, or those that the pod's identity stands for."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Optional

from runner import credential, log
from runner.errors import RunnerError

from .place import Place, Wait
from .signature import Credentials

RENEW_SECONDS = 300.0  # before they expire
AGAIN_SECONDS = 30.0  # after a renewal that failed, while the old ones are valid


class Keys:
    """The credentials of a store, for all threads that use it. They never appear in a message."""

    def __init__(self, store: Place) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._held: Optional[Credentials] = None
        self._due = float("inf")  # when to renew them

    def current(self, wait: Wait) -> Optional[Credentials]:
        """Return valid credentials; None for anonymous access.

        Raises:
            RunnerError: there are none. `wait` has been asked before every further attempt.
        """
        with self._lock:
            if self._held is None or time.time() >= self._due:
                try:
                    self._read(wait)
                except RunnerError as error:
                    if self._held is None or time.time() >= self._held.expires:
                        raise
                    self._due = time.time() + AGAIN_SECONDS
                    log.event("warning", reason=f"{error.reason}; the old credentials are still valid", fix=error.fix)
            return self._held

    @property
    def held(self) -> Optional[Credentials]:
        """Those of the last request."""
        return self._held

    def renew(self, used: Optional[Credentials], wait: Wait) -> bool:
        """Whether there are other credentials than those that a server has just refused as expired."""
        with self._lock:
            if self._held == used:
                self._read(wait)
            return self._held != used

    def _read(self, wait: Wait) -> None:
        if self._store.workload_identity:
            from features import identity

            self._held = identity.credentials(self._store, wait)
        else:
            self._held = _of_secret(self._store)
        if self._held and self._held.expires:
            self._due = self._held.expires - RENEW_SECONDS


def _of_secret(store: Place) -> Optional[Credentials]:
    if not store.credentials:
        return None
    token = ""
    if (Path(store.credentials) / store.session_token_name).is_file():
        token = _key(store, store.session_token_name)
    return Credentials(_key(store, store.access_key_name), _key(store, store.secret_key_name), token)


def _key(store: Place, name: str) -> str:
    try:
        return credential.read_key(Path(store.credentials), name, ascii_only=True).strip()
    except OSError:
        problem = f"has no readable key {name}"
    except credential.CredentialError as error:
        problem = f"cannot be used: {error}"
    raise store.failure(
        f"secret {store.secret_name} of {store.key}.secretName {problem}",
        f"add the key to the secret, or set {store.key}.accessKeyKey and {store.key}.secretKeyKey to keys that it has",
    )
