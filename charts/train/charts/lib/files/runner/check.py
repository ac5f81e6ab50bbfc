"""`python3 -m runner --check`, for `helm test`: could this run start? Takes no device and writes nothing."""

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
from .publish import Publisher


def main(home: Path) -> int:
    """A line per item; the exit code is that of the first problem."""
    codes: List[int] = []

    def item(name: str, look: Callable[[], Any]) -> Any:
        try:
            found = look()
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

    loaded = item("settings", partial(settings.load, home / "settings.json"))
    if loaded is None:
        return codes[0]
    context = Context.create(loaded, home, os.environ)
    item("tools", partial(verify.check_tools, context))
    item("mounts", partial(verify.check_mounts, context))
    git = Git(context)
    with tempfile.TemporaryDirectory(prefix="trainchart-") as name:
        folder = Path(name)
        for source, asked in loaded.sources.items():
            item(source, partial(look_up, context, git, source, asked, folder))
        if loaded.publish.type == "git":
            item("publish", Publisher(context).may_push)
    return codes[0] if codes else EXIT_CODES["completed"].code
