"""The argument parser of the program and of its commands."""

from __future__ import annotations

import argparse
from typing import Any, TypeAlias


class Parser(argparse.ArgumentParser):
    """A parser that accepts no abbreviations of options; so are those that its `add_subparsers` makes.

    Args:
        passed_on: the option that receives the arguments after `--`, which are for another program.
    """

    def __init__(self, *, passed_on: str = "", **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)
        self._passed_on = passed_on

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        if not self._passed_on:
            return super().parse_known_args(args, namespace)
        arguments = list(args or [])
        end = arguments.index("--") if "--" in arguments else len(arguments)
        namespace, unknown = super().parse_known_args(arguments[:end], namespace)
        setattr(namespace, self._passed_on, arguments[end + 1 :])
        return namespace, unknown


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
