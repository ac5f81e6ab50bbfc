"""`python3 -m runner --check`, for `helm test`: checks whether the run could start. Needs no device, and writes
nothing.
"""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Callable, List

from . import log, settings, verify
from .context import Context
from .errors import EXIT_CODES, RunnerError
from .git import Git
from .prepare import look_up
from .publish import publisher_of


def main(home: Path) -> int:
    """Log a line per item, and return the exit code of the first problem."""
    codes: List[int] = []

    def item(name: str, check: Callable[[], Any]) -> Any:
        try:
            found = check()
            log.event("check", item=name, ok=True, commit=getattr(found, "commit", None))
            return found
        except RunnerError as error:
            log.event(
                "check",
                item=name,
                ok=False,
                code=error.exit.code,
                name=error.exit.name,
                reason=error.reason,
                fix=error.fix,
            )
            codes.append(error.exit.code)
            return None

    loaded = item("settings", partial(settings.load, home))
    if loaded is None:
        return codes[0]
    context = Context.create(loaded, home, os.environ)
    item("tools", partial(verify.check_tools, context))
    item("mounts", partial(verify.check_mounts, context))
    git = Git(context)
    with tempfile.TemporaryDirectory(prefix="trainchart-") as name:
        folder = Path(name)
        for section, source in loaded.sources.items():
            item(section, partial(look_up, context, git, section, source, folder))
        publisher = publisher_of(context)
        if publisher:
            item("publish", publisher.check_push_access)
    return codes[0] if codes else EXIT_CODES["completed"].code
