"""The `trainchart` command. Modules that cost time are imported by the commands that need them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainchart import __version__
from trainchart.errors import ExitCode, TrainchartError, UsageError
from trainchart.preset import add_preset_command

if TYPE_CHECKING:
    from trainchart.validate import Finding, Report

_EXIT_CODES = "exit codes: 0 done, 1 internal error, 2 refused (values, files or usage), 130 interrupted"
_COLOURS = {"error": "31", "warning": "33"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the result is one of `ExitCode`. No exception leaves it, argparse's SystemExit excepted."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except TrainchartError as error:
        print(f"trainchart: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:
        if os.environ.get("TRAINCHART_DEBUG") == "1":
            raise
        words = " ".join(f"{type(error).__name__}: {error}".split())
        report = "please report it with the values; TRAINCHART_DEBUG=1 shows where it happened"
        print(f"trainchart: internal error: {words}; {report}", file=sys.stderr)
        return ExitCode.FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trainchart", description="Tools around the trainchart Helm chart.", epilog=_EXIT_CODES
    )
    parser.add_argument("--version", action="version", version=f"trainchart {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    validate = commands.add_parser(
        "validate",
        help="say what is wrong with values files, before anything is installed",
        description="Say what `helm install NAME -f FILE ...` would say of values files, and what only a file can tell: "
        "lines, keys written twice, likely typing mistakes. No cluster is asked.",
        epilog=_EXIT_CODES,
    )
    validate.add_argument(
        "files", nargs="+", metavar="FILE", help="values files, later ones over earlier ones; - is the standard input"
    )
    validate.add_argument("--name", default="run-42", help="the release's name (default: %(default)s)")
    validate.add_argument("--namespace", default="training", help="the release's namespace (default: %(default)s)")
    validate.add_argument("--output", choices=("text", "json"), default="text", help="default: %(default)s")
    validate.set_defaults(run=_validate)

    add_preset_command(commands)

    generate = commands.add_parser("generate", help="write the files that are made from the typed values")
    generate.add_argument(
        "--check", action="store_true", help="write nothing; fail when a file differs from what it should be"
    )
    generate.set_defaults(run=_generate)
    return parser


def _validate(options: argparse.Namespace) -> ExitCode:
    from trainchart.validate import validate

    if options.files.count("-") > 1:
        raise UsageError("validate: the standard input (-) can be read once")
    report = validate(options.files, name=options.name, namespace=options.namespace)
    _print(_json(report) if options.output == "json" else _text(report))
    return ExitCode.OK if report.valid else ExitCode.REFUSED


def _text(report: Report) -> str:
    """A line per finding, as compilers print them, and a last line with the counts."""
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    lines = [_line(finding, coloured=coloured) for finding in report.findings]
    counts = [
        f"{count} {severity}{'' if count == 1 else 's'}"
        for severity in ("error", "warning")
        if (count := sum(finding.severity == severity for finding in report.findings))
    ]
    if report.valid:
        counts.insert(0, f"valid: {report.summary}")
    return "\n".join([*lines, ", ".join(counts)])


def _line(finding: Finding, *, coloured: bool) -> str:
    places = (finding.file or "--name", finding.line, finding.column)
    place = ":".join(str(part) for part in places if part is not None)
    severity: str = finding.severity
    if coloured:
        severity = f"\033[{_COLOURS[severity]};1m{severity}\033[0m"
    return ": ".join([place, severity, *([finding.key] if finding.key else []), finding.message])


def _json(report: Report) -> str:
    import json
    from dataclasses import asdict

    findings = [asdict(finding) for finding in report.findings]
    return json.dumps({"valid": report.valid, "findings": findings}, indent=2)


def _print(text: str) -> None:
    """To the standard output, whatever its encoding; a reader that went away (`| head`) has what it wanted."""
    try:
        print(text.encode(sys.stdout.encoding or "utf-8", "backslashreplace").decode(sys.stdout.encoding or "utf-8"))
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _generate(options: argparse.Namespace) -> ExitCode:
    from trainchart.generate import generated

    stale = 0
    for path, text in generated().items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if options.check:
            print(f"trainchart: {path} is not what the typed values make; run: make generate", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    return ExitCode.FAILED if options.check and stale else ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
