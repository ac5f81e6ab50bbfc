"""`trainchart completion`: what makes a shell complete the commands, options, files, families and profiles."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from trainchart import terminal
from trainchart.cli.parser import Commands
from trainchart.errors import ExitCode

_FILES = {"FILE", "PATH"}
_FOLDERS = {"FOLDER"}


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "completion",
        help="print a script that makes your shell complete trainchart's commands",
        description="Print a script that completes commands, options, files, families and accelerators. "
        'bash: eval "$(trainchart completion bash)" in ~/.bashrc. '
        'zsh: eval "$(trainchart completion zsh)" in ~/.zshrc, after compinit. '
        "fish: trainchart completion fish > ~/.config/fish/completions/trainchart.fish",
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def run(options: argparse.Namespace) -> ExitCode:
    import shtab

    from trainchart.chart.families import family_names, profile_names
    from trainchart.cli.main import make_parser

    names = {"FAMILY": family_names, "PROFILE": profile_names}
    # What an argument takes is what its metavar says in the help: the commands need not know of completion.
    parser = make_parser()
    for action in _actions(parser):
        if action.metavar in names and not action.choices:
            action.choices = names[action.metavar]()
        elif action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    terminal.write((shtab.complete(parser, options.shell) + "\n").encode("utf-8"))
    return ExitCode.OK


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of a parser and of all its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for said in action._choices_actions:
                command = action.choices[said.dest]
                command.description = said.help  # what zsh and fish show beside the name: the short one
                yield from _actions(command)
