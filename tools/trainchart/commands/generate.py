"""`trainchart generate`: the files that are made from the typed values."""

from __future__ import annotations

import argparse

from trainchart.errors import ExitCode
from trainchart.terminal import put, tell


def add_generate_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `generate` to the commands of `trainchart`."""
    parser = commands.add_parser("generate", help="write the files that are made from the typed values")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail when a file differs from what it should be"
    )
    parser.set_defaults(run=run_generate)


def run_generate(options: argparse.Namespace) -> ExitCode:
    from trainchart.generate import generated

    stale = 0
    for path, text in generated().items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if options.check:
            tell(f"{path} is not what the typed values make; run: make generate")
        else:
            path.write_text(text, encoding="utf-8")
            put(f"wrote {path}")
    return ExitCode.FAILED if options.check and stale else ExitCode.OK
