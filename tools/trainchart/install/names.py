"""Names of runs that are generated."""

from __future__ import annotations

import hashlib
import re
import secrets

from trainchart.errors import UsageError

LONGEST = 50
"""The chart's bound, which leaves room for the names derived from it (templates/rules/_names.tpl)."""
_SUFFIX = 8


def generate_name(prefix: str, uid: str = "") -> str:
    """A name that begins with the prefix; for an owner's UID always the same one, so that a later attempt finds it.

    Raises:
        UsageError: no name of a run can begin so.
    """
    longest = LONGEST - _SUFFIX
    if not re.fullmatch(r"[a-z][-a-z0-9]*", prefix) or len(prefix) > longest:
        raise UsageError(
            f"--generate-name: {prefix!r} cannot begin the name of a run; use a letter, then at most {longest - 1} of "
            "a-z, 0-9 and -"
        )
    suffix = hashlib.sha256(uid.encode()).hexdigest() if uid else secrets.token_hex(_SUFFIX)
    return prefix + suffix[:_SUFFIX]
