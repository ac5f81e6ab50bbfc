"""The family's hooks and probes: everything that is particular to one model family is behind them."""

from __future__ import annotations

import copy
import importlib
import json
import os
import sys
from typing import Any, Dict

from . import inside, process
from .context import Context
from .errors import FamilyError, RunnerError


class Family:
    def __init__(self, context: Context) -> None:
        self._context = context
        sys.path.insert(0, str(context.home))
        self._hooks = importlib.import_module("family.hooks")

    def with_context(self, context: Context) -> Family:
        """Return the same family with another context, such as that of a trial."""
        other = copy.copy(self)
        other._context = context
        return other

    def call(self, hook: str, failure: str, *arguments: Any) -> Any:
        """Return what the hook returns. Its FamilyError becomes a RunnerError with the name `failure`."""
        try:
            return getattr(self._hooks, hook)(self._context, *arguments)
        except FamilyError as error:
            raise RunnerError(failure, error.reason, error.fix) from error

    def has(self, hook: str) -> bool:
        return hasattr(self._hooks, hook)

    def environment(self) -> Dict[str, str]:
        """Return the environment of probes: the pod's, overridden by the values' `env`, then by the family."""
        return self._environment({})

    def program_environment(self) -> Dict[str, str]:
        """Return the environment of trainer and exporter, which alone get the values' `secretEnv`."""
        given: Dict[str, str] = {}
        if self._context.settings.has_secrets:
            from features import secrets

            given = secrets.give(self._context)
        return self._environment(given)

    def _environment(self, secrets: Dict[str, str]) -> Dict[str, str]:
        own = self._hooks.train_environment(self._context)
        roots = os.pathsep.join(sorted(map(str, self._context.view_targets)))
        return {**self._context.environment, "PYTHONUNBUFFERED": "1", inside.ROOTS: roots, **secrets, **own}

    def probe(self, name: str, argument: Dict[str, Any], failure: str) -> Dict[str, Any]:
        """Run `probe_<name>.py` of the family, or of a feature that it uses, with the image's libraries, and return its
        answer.

        A probe that does not exist passes, with an empty answer.

        Raises:
            RunnerError: with the name `failure`, if the probe does not pass.
        """
        folders = ["family", *(f"features/{feature}" for feature in self._context.settings.run.family.features)]
        scripts = [self._context.home / folder / f"probe_{name}.py" for folder in folders]
        script = next((script for script in scripts if script.exists()), None)
        if script is None:
            return {}
        done = process.run(
            [sys.executable, str(script), json.dumps(argument)],
            self._context.workspace.root,
            self.environment(),
            capture=True,
        )
        killed = done.killed(f"the {name} probe of the family")
        if killed:
            raise killed
        lines = done.output.strip().splitlines()
        try:
            answer = json.loads(lines[-1] if lines else "")
            if done.code == 0 and answer["ok"] is True:
                return dict(answer)
            reason, fix = answer["reason"], answer["fix"]
        except (ValueError, TypeError, KeyError):
            last = next((line for line in reversed(done.tail + lines) if line.strip()), "it printed nothing")
            reason, fix = (
                f"the {name} probe of the family failed with exit code {done.code}: {last}",
                "see its output above; the image may lack a library",
            )
        raise RunnerError(failure, reason, fix)
