"""`python3 -m features.cache_commands ACTION [JSON]`: ACTION is fill, list, verify or prune, and JSON its options.

`fill` logs as a run does. The others print an object per line, the last of which is `{"done": ...}`.
"""

from __future__ import annotations

from runner import init

if __name__ == "__main__":
    init.start()  # before the slow imports: a signal may already arrive

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict

from features.cache_commands import entries
from runner import log, manifest, prepare, result, settings, verify
from runner.__main__ import Run, create_home, main
from runner.context import Context
from runner.git import Git


class Fill(Run):
    """Fetches what the run keeps in the cache, and nothing else."""

    def execute(self) -> Dict[str, Any]:
        loaded = settings.load(self.home)
        self.context = context = Context.create(loaded, self.home, os.environ)
        create_home()
        with self._stage("verify"):
            verify.check_tools(context)
            verify.check_mounts(context)  # from here on the log hides what is in Secrets
        git = Git(context)
        with self._stage("prepare"), tempfile.TemporaryDirectory(prefix="trainchart-") as folder:
            for name, source in loaded.sources.items():
                if source.cached:
                    context.sources[name] = prepare.look_up(context, git, name, source, Path(folder))
                    kept = prepare.keep(context, git, name, source, user="")
                    total = sum(entry.size for entry in manifest.entries(kept.parent / "manifest"))
                    log.event("cache", source=name, commit=context.sources[name].commit, bytes=total)
        return result.completed(context, None, {}, [])


class Look(Run):
    """Lists, verifies or prunes the entries of the volume."""

    def execute(self) -> Dict[str, Any]:
        self.stage = "prepare"
        options: Dict[str, Any] = json.loads(sys.argv[2])
        root = Path(options.pop("root"))
        try:
            for found in entries.ACTIONS[sys.argv[1]](root, **options):
                log.line(json.dumps(found))
        except entries.UnknownEntryError as error:
            log.line(json.dumps({"done": sys.argv[1], "unknown": str(error)}))
        return {}


if __name__ == "__main__":
    kind = Fill if sys.argv[1] == "fill" else Look
    sys.exit(main(kind(Path(__file__).absolute().parents[2])))
