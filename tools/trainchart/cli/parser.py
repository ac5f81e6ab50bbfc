"""The argument parser of the program and of its commands."""

from __future__ import annotations

import argparse
import difflib
import sys
from typing import Any, TypeAlias

from trainchart.errors import ExitCode

_MEANINGS = {
    ExitCode.OK: "success",
    ExitCode.FAILED: "internal error",
    ExitCode.REFUSED: "invalid values, file or command line",
    ExitCode.TIMED_OUT: "timed out",
    ExitCode.NOT_FOUND: "not found",
    ExitCode.UNREACHABLE: "API server or container engine unreachable",
    ExitCode.FORBIDDEN: "permission missing",
    ExitCode.RUN_FAILED: "the run failed with no reason reported",
    ExitCode.PROBLEM: "problem found by doctor",
    ExitCode.NOT_CHECKED: "not checked",
    ExitCode.INTERRUPTED: "interrupted",
}


_INSTEAD = {
    "accelerators": ("profiles", "hardware", "gpus", "nodes"),
    "delete": ("remove", "rm", "uninstall"),
    "docs": ("man", "manual", "doc"),
    "doctor": ("diagnose", "preflight", "debug"),
    "exec": ("shell", "ssh", "attach"),
    "explain": ("schema", "values", "runopts"),
    "fill": ("add", "pull", "warm"),
    "families": ("models", "trainers", "components"),
    "list": ("ls", "ps", "get", "jobs", "runs", "queue"),
    "logs": ("log", "tail"),
    "preset": ("init", "new", "generate", "config"),
    "prune": ("clean", "cleanup", "gc", "rm", "remove", "delete"),
    "render": ("template", "manifest", "show", "diff"),
    "result": ("results", "metrics", "download"),
    "rerun": ("restart", "retry", "resume", "repeat"),
    "status": ("describe", "info", "events", "why", "top"),
    "stop": ("cancel", "kill", "abort", "terminate", "down"),
    "submit": ("run", "apply", "create", "install", "launch", "start", "train", "upgrade"),
    "validate": ("check", "lint", "verify"),
    "wait": ("watch", "follow"),
    "--version": ("version",),
}
"""What other tools call a command."""


class Parser(argparse.ArgumentParser):
    """A parser that accepts no abbreviations of options, and answers unknown ones with its own usage.

    So do those that its `add_subparsers` makes.

    Args:
        passed_on: the name of the option that receives the arguments after `--`, which are for another program.
    """

    def __init__(self, *, passed_on: str = "", **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)
        self._passed_on = passed_on

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        arguments = list(sys.argv[1:] if args is None else args)
        end = arguments.index("--") if self._passed_on and "--" in arguments else len(arguments)
        namespace, unknown = super().parse_known_args(arguments[:end], namespace)
        if unknown:  # of a command: the program would answer with the usage of all
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._meant(unknown)}")
        if self._passed_on:
            setattr(namespace, self._passed_on, arguments[end + 1 :])
        return namespace, unknown

    def _meant(self, unknown: list[str]) -> str:
        """The options that are close to unknown ones."""
        options = [option for option in self._option_string_actions if option.startswith("--")]
        wrong = [one.partition("=")[0] for one in unknown if one.startswith("--")]
        near = dict.fromkeys(near for one in wrong for near in difflib.get_close_matches(one, options, 1))
        if near:
            return f"; did you mean {' '.join(near)}?"
        values = " ".join(f"-f {one}" for one in unknown if one.endswith((".yaml", ".yml")))
        return f"; write {values}" if values and "--values" in options else ""

    def _check_value(self, action, value):  # type: ignore[no-untyped-def]
        """Name the command that was meant, where argparse lists all."""
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            known = {*action.choices, "--version"}
            near = [name for name, others in _INSTEAD.items() if name in known and value.lower() in others]
            near = near or difflib.get_close_matches(value, action.choices, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"`{self.prog} --help` lists the commands"
            raise argparse.ArgumentError(None, f"{value!r} is not a command; {hint}")
        super()._check_value(action, value)


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


def exit_codes(*codes: ExitCode, ok: str = "success", also: str = "") -> str:
    """The end of a command's help: its exit codes. Those that every command has need not be named.

    Args:
        codes: exit codes of the command.
        ok: what success means.
        also: exit codes of runs.
    """
    every = (ExitCode.REFUSED, ExitCode.INTERRUPTED)
    listed = [f"{code.value} {_MEANINGS[code]}" for code in sorted({*codes, *every} - {ExitCode.OK})]
    return f"exit codes: {'; '.join([f'0 {ok}', *listed, *([also] if also else [])])} (trainchart docs exit-codes)"
