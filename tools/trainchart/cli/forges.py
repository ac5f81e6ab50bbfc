"""What `validate` has found, as forges show it beside the lines of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trainchart.values.validate import Diagnostic, Report


def for_github(report: Report, files: Sequence[str]) -> str:
    """Workflow commands of GitHub Actions, and a last line with the counts.

    The place is in the message too: the log of a job shows nothing else.
    """
    *_, counts = report.text().splitlines()
    return "\n".join([*(_command(found, files) for found in report.diagnostics), counts])


def _command(found: Diagnostic, files: Sequence[str]) -> str:
    file = _in_repository(found.file, "GITHUB_WORKSPACE") if found.file and found.file in files else None
    place = {"file": file, "line": found.line, "col": found.column} if file else {}
    listed = {**{key: value for key, value in place.items() if value}, "title": "trainchart"}
    properties = ",".join(f"{key}={_escape(str(value), ':,')}" for key, value in listed.items())
    return f"::{found.severity} {properties}::{_escape(found.text())}"


def _escape(text: str, more: str = "") -> str:
    """A text of a workflow command: what would end it is written as in a URL."""
    return "".join(f"%{ord(one):02X}" if one in f"%\r\n{more}" else one for one in text)


def _in_repository(file: str, variable: str) -> str:
    """The path from the top of the repository, as forges show it, also of a step that runs in a folder; of a file outside, as it is."""
    import os

    path = os.path.relpath(file, os.environ.get(variable) or None)
    return file if path.startswith("..") else path


def for_gitlab(report: Report, files: Sequence[str]) -> str:
    """A Code Quality report of GitLab, in which everything has a line: what is of no file is told of the last one."""
    import hashlib
    import json

    issues = []
    for number, found in enumerate(report.diagnostics):
        path, line = (found.file, found.line or 1) if found.file and found.file in files else ([".", *files][-1], 1)
        path = _in_repository(path, "CI_PROJECT_DIR")
        # GitLab compares them with those of another commit, where the lines may have moved.
        same = sum(before.text() == found.text() for before in report.diagnostics[:number])
        identity = "\0".join([path, found.key or "", found.message, str(same)])
        issues.append(
            {
                "description": f"{found.key}: {found.message}" if found.key else found.message,
                "check_name": f"trainchart-{found.source}",
                "fingerprint": hashlib.sha256(identity.encode()).hexdigest(),
                "severity": {"error": "major", "warning": "minor"}[found.severity],
                "location": {"path": path, "lines": {"begin": line}},
            }
        )
    return json.dumps(issues, indent=2)
