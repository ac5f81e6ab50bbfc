"""`trainchart completion`: print a script that completes commands, options, files, families, profiles and runs in a shell."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from trainchart.cli.parser import Commands, exit_codes
from trainchart.errors import ExitCode
from trainchart.terminal import write_bytes

_FILES = {"FILE", "PATH"}
_FOLDERS = {"FOLDER"}
# The names of the runs, of the context's namespace; nothing where the cluster cannot be reached.
_LIST = "trainchart list -o name 2>/dev/null"
_RUNS = {"bash": "_trainchart_runs", "zsh": "_trainchart_runs", "fish": f"({_LIST})"}
_PREAMBLE = {
    "bash": f'_trainchart_runs() {{ compgen -W "$({_LIST})" -- "$1"; }}',
    "zsh": f'_trainchart_runs() {{ compadd -- ${{(f)"$({_LIST})"}}; }}',
}


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "completion",
        help="print a completion script for a shell",
        description="Print a script that completes commands, options, files, families, accelerators and the names of runs. "
        'bash: eval "$(trainchart completion bash)" in ~/.bashrc. '
        'zsh: eval "$(trainchart completion zsh)" in ~/.zshrc, after compinit. '
        "fish: trainchart completion fish > ~/.config/fish/completions/trainchart.fish",
        epilog=exit_codes(),
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def run(options: argparse.Namespace) -> ExitCode:
    import shtab

    from trainchart.chart.families import family_names, profile_names
    from trainchart.cli import docs
    from trainchart.cli.main import make_parser
    from trainchart.values.explain import keys

    names = {"FAMILY": family_names, "PROFILE": profile_names, "PAGE": docs.names, "KEY": keys}
    parser = make_parser()
    # The metavar of an argument says what it takes, so that commands need not know of completion.
    for action in _actions(parser):
        if action.metavar in names and not action.choices:
            action.choices = names[action.metavar]()
        elif action.metavar == "RUN":
            action.complete = _RUNS  # type: ignore[attr-defined]
        elif action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    write_bytes(
        (shtab.complete(parser, options.shell, preamble=_PREAMBLE.get(options.shell, "")) + "\n").encode("utf-8")
    )
    return ExitCode.OK


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """The arguments of a parser and of all its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for listed in action._choices_actions:
                command = action.choices[listed.dest]
                command.description = listed.help  # zsh and fish show it beside the name: the short one
                yield from _actions(command)
