"""The `trainchart` command. Modules that cost time are imported by the commands that need them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from trainchart import __version__
from trainchart.errors import TrainchartError


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="trainchart", description="Tools around the trainchart Helm chart.")
    parser.add_argument("--version", action="version", version=f"trainchart {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    generate = commands.add_parser("generate", help="write the files that are made from the typed values")
    generate.add_argument(
        "--check", action="store_true", help="write nothing; fail when a file differs from what it should be"
    )
    options = parser.parse_args(arguments)
    try:
        return _generate(check=options.check)
    except TrainchartError as error:
        print(f"trainchart: {error}", file=sys.stderr)
        return error.exit_code


def _generate(*, check: bool) -> int:
    from trainchart.generate import generated

    stale = 0
    for path, text in generated().items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if check:
            print(f"trainchart: {path} is not what the typed values make; run: make generate", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
