"""`trainchart validate`: check values files as `helm install` would, without a cluster, and the files themselves.

Helm reads the values and merges them over the chart's defaults. The chart's schema checks their shape, and the chart itself,
rendered by Helm, its rules. Lines come from a second reading (`locate`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Literal

from trainchart.chart.engines import engine
from trainchart.chart.paths import CHART, LIB
from trainchart.chart.render import read_values, render_text, with_defaults
from trainchart.errors import FileError, RenderError
from trainchart.files import STDIN, Tree, overlay, read_text
from trainchart.terminal import printable
from trainchart.values.document import read_document
from trainchart.values.overrides import NO_OVERRIDES, Overrides
from trainchart.values.positions import Node, Path, Place, Problem
from trainchart.values.schema_errors import format_path, format_value, violations, without_password

Severity = Literal["error", "warning"]
Source = Literal["file", "schema", "rule", "warning"]

RELEASE_NAME = "release name"
"""The key of diagnostics about `--name`."""

_KEY = re.compile(rf"({RELEASE_NAME}|[A-Za-z_][\w-]*(?:\.[\w/-]+|\[\d+\])*)(?::|(?= is not set))\s*")
_RULE = "  - "
_CHART_SAYS = "trainchart: "


@dataclass(frozen=True)
class Diagnostic:
    """One error or warning. `file` is an option of the command line where that gave the value; None if it is about neither."""

    severity: Severity
    file: str | None
    line: int | None
    column: int | None
    key: str | None
    value: Any
    message: str
    source: Source

    def text(self, severity: str = "") -> str:
        """`file:line:column: error: key: message`, as compilers print it; `severity` is how that word is shown."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        message = f"{self.key}: {self.message}" if self.key else self.message
        before = f"{printable(place)}: " if place else ""
        return f"{before}{severity or self.severity}: {printable(message)}"


@dataclass(frozen=True)
class Report:
    """The diagnostics, in the order of the files and lines, and a summary of the run."""

    diagnostics: list[Diagnostic]
    summary: str

    @property
    def valid(self) -> bool:
        return not any(diagnostic.severity == "error" for diagnostic in self.diagnostics)

    def __bool__(self) -> bool:
        return self.valid

    def text(self, shown: Callable[[str], str] = str) -> str:
        """A line per diagnostic, and a last line with the counts; `shown` is how the word of a severity looks."""
        lines = [diagnostic.text(shown(diagnostic.severity)) for diagnostic in self.diagnostics]
        counts = [
            f"{count} {severity}{'' if count == 1 else 's'}"
            for severity in ("error", "warning")
            if (count := sum(diagnostic.severity == severity for diagnostic in self.diagnostics))
        ]
        if self.valid:
            counts.insert(0, printable(f"valid: {self.summary}"))
        return "\n".join([*lines, ", ".join(counts)])

    def __str__(self) -> str:
        return self.text()

    def _repr_pretty_(self, printer: Any, _: bool) -> None:
        """What IPython and notebooks show of it."""
        printer.text(str(self))


def validate(
    paths: Sequence[str],
    overrides: Overrides = NO_OVERRIDES,
    *,
    name: str = "run-42",
    namespace: str = "training",
    chart: FilePath = CHART,
) -> Report:
    """Check values as `helm install NAME CHART -f FIRST -f SECOND --set ...` would.

    Args:
        paths: the values files, later ones override earlier ones; `-` is the standard input.
        overrides: the values of the command line.
        name: the release's name; names derived from it must fit.
        namespace: the release's namespace.
        chart: the chart's folder.
    """
    files = [_label(path) for path in paths]
    diagnostics: list[Diagnostic] = []
    values: Tree | None = {}
    top = Node(is_map=True)
    for path, file in zip(paths, files, strict=True):
        tree, node, problems = _read(path, file)
        diagnostics += [_of_file(problem, file) for problem in problems]
        # Without one of the files, checks of the others would be wrong; their own problems are reported nevertheless.
        values = None if tree is None or values is None else overlay(values, tree)
        top = node.over(top)
    summary = ""
    if values is not None:
        values, top, problems = overrides.over(values, top)
        diagnostics += [_of_file(problem, None) for problem in problems]
    if values is not None:
        diagnostics += _Checker(values, top, files[-1] if files else None, name, namespace, chart).diagnostics()
        summary = _summary(name, values)
    order = {file: number for number, file in enumerate([None, *files])}
    diagnostics.sort(key=lambda found: (order.get(found.file, len(order)), found.line or 0, found.column or 0))
    return Report(diagnostics, summary)


def values_of(paths: Sequence[str], overrides: Overrides = NO_OVERRIDES) -> Tree:
    """The merged values of valid files and of the command line, as Helm reads and merges them.

    Raises:
        FileError, RenderError: they are not valid.
    """
    values: Tree = {}
    for path in paths:
        values = overlay(values, read_values(read_text(path)))
    return overrides.values_over(values)


def _read(path: str, file: str) -> tuple[Tree | None, Node, list[Problem]]:
    """A file's values (None if they cannot be used), their places, and the problems of the file itself."""
    try:
        text = read_text(path)
    except FileError as error:
        return None, Node(is_map=True), [Problem(str(error))]
    return read_document(text, file)


class _Checker:
    """Checks the merged values of all files: shape, rules, warnings."""

    def __init__(self, values: Tree, top: Node, file: str | None, name: str, namespace: str, chart: FilePath) -> None:
        self._given = values
        self._top = top
        self._file = file
        self._release = {"name": name, "namespace": namespace}
        self._chart = chart
        self._effective: Tree = {}

    def diagnostics(self) -> list[Diagnostic]:
        # Helm fails early if its values of the library chart are not a map; null is not one either.
        section = LIB.name
        if section in self._given and not isinstance(self._given[section], dict):
            value = self._given[section]
            return [
                self._diagnostic(
                    "error", "schema", (section,), f"{format_value(value)} is not a map; leave it out", value
                )
            ]
        try:
            self._effective = with_defaults(self._given, chart=self._chart)
        except RenderError as error:
            return [self._diagnostic("error", "schema", (), str(error))]
        violated = violations(self._effective, self._chart / "values.schema.json", self._option_of, self._written)
        wrong = [
            self._diagnostic("error", "schema", violation.path, violation.message, violation.value)
            for violation in violated
        ]
        # Rules are for values of the right shape: violations are replaced by the defaults.
        fitting = self._given
        for violation in violated:
            fitting = _without(fitting, violation.path)
        try:
            texts = render_text(fitting, chart=self._chart, **self._release)
        except RenderError as error:
            return [*wrong, *self._refusals(str(error), wrong)]
        if not wrong:
            wrong = list(self._unreadable(texts))
        return [*wrong, *self._warnings(texts.get("NOTES.txt", ""))]

    def _refusals(self, refusal: str, wrong: list[Diagnostic]) -> Iterator[Diagnostic]:
        """The chart's error message, as a diagnostic per rule.

        A section with a value of the wrong shape is partly default: what rules and templates report of it is dropped.
        """
        sections = {_section(diagnostic.key) for diagnostic in wrong}
        before, said, words = refusal.partition(_CHART_SAYS)
        if said:
            for message in _messages(words):
                diagnostic = self._of_chart("error", "rule", message)
                if not wrong or (diagnostic.key and _section(diagnostic.key) not in sections):
                    yield diagnostic
        elif not wrong:
            lines = [line.strip() for line in before.splitlines() if line.strip()] or ["no reason given"]
            where, why = lines[0], lines[-1]
            message = why if why == where else f"{where}: {why}"
            yield self._diagnostic("error", "rule", (), f"the chart cannot be rendered with these values: {message}")

    def _unreadable(self, texts: dict[str, str]) -> Iterator[Diagnostic]:
        """Templates that do not render to YAML: Helm reads all of them before it installs any."""
        documents = [
            (path, document)
            for path, text in sorted(texts.items())
            if path.endswith(".yaml")
            for document in re.split(r"^---.*$", text, flags=re.MULTILINE)
        ]
        for (path, _), answer in zip(documents, engine().read([text for _, text in documents]), strict=True):
            if isinstance(answer, RenderError):
                message = f"templates/{path} is not YAML with these values: {answer}"
                yield self._diagnostic("error", "rule", (), message)

    def _warnings(self, notes: str) -> Iterator[Diagnostic]:
        for line in notes.splitlines():
            if line.startswith("Warning: "):
                yield self._of_chart("warning", "warning", line.removeprefix("Warning: "))

    def _of_chart(self, severity: Severity, source: Source, message: str) -> Diagnostic:
        """A diagnostic from a message of the chart, which begins with the key."""
        match = _KEY.match(message)
        if not match:
            return self._diagnostic(severity, source, (), message)
        if match[1] == RELEASE_NAME:
            value = self._release["name"]
            return Diagnostic(
                severity, None, None, None, RELEASE_NAME, value, printable(message[match.end() :]), source
            )
        path = tuple(
            int(part[1:-1]) if part.startswith("[") else part for part in re.findall(r"[^.\[]+|\[\d+\]", match[1])
        )
        return self._diagnostic(severity, source, path, message[match.end() :], self._value(path))

    def _diagnostic(
        self, severity: Severity, source: Source, path: Path, message: str, value: Any = None
    ) -> Diagnostic:
        place = self._top.nearest(path)
        return _diagnostic(severity, source, place, self._file, path, message, value)

    def _option_of(self, path: Path) -> str:
        place = self._top.nearest(path)
        return place.file.partition(" ")[0] if place and place.line is None else ""

    def _written(self, path: Path) -> str:
        """A number, true or false as its file has it."""
        return printable(self._top.written_at(path)) if isinstance(self._value(path), (int, float)) else ""

    def _value(self, path: Path) -> Any:
        value: Any = self._effective
        try:
            for key in path:
                value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
        return _configured(value)


def _configured(value: Any) -> Any:
    """A map without its empty keys, which Helm 3 leaves in and Helm 4 leaves out."""
    if isinstance(value, dict):
        return {key: _configured(below) for key, below in value.items() if below is not None}
    return value


def _diagnostic(
    severity: Severity,
    source: Source,
    place: Place | None,
    file: str | None,
    path: Path,
    message: str,
    value: Any = None,
) -> Diagnostic:
    return Diagnostic(
        severity,
        place.file if place else file,
        place.line if place else None,
        place.column if place else None,
        format_path(path) or None,
        _quoted(without_password(value), message),
        printable(message),
        source,
    )


def _quoted(value: Any, message: str) -> Any:
    """A value with its texts only where the message quotes them: others may be secrets, and findings end up in logs."""
    if isinstance(value, dict):
        return {key: _quoted(item, message) for key, item in value.items()}
    if isinstance(value, list):
        return [_quoted(item, message) for item in value]
    return "***" if isinstance(value, str) and printable(value) not in message else value


def _without(values: Tree, path: Path) -> Tree:
    """The values without the one at the path; if it is in a list, without the list."""
    key = path[0] if path else None
    if key not in values:
        return values
    below = values[key]
    rest = {other: value for other, value in values.items() if other != key}
    if len(path) > 1 and isinstance(below, dict):
        rest[str(key)] = _without(below, path[1:])
    return rest


def _of_file(problem: Problem, file: str | None) -> Diagnostic:
    severity: Severity = "warning" if problem.doubtful else "error"
    return _diagnostic(severity, "file", problem.place, file, problem.path, problem.message)


def _messages(words: str) -> Iterator[str]:
    """The messages in the chart's error: one per rule, or the single one that ended the render.

    A value with several lines in a message stays one message.
    """
    lines = words.strip().splitlines()
    if not any(line.startswith(_RULE) for line in lines):
        yield " ".join(line.strip() for line in lines)
        return
    message = ""
    for line in lines[1:]:
        if not line.startswith(_RULE):
            message += f" {line.strip()}"
            continue
        if message:
            yield message
        message = line.removeprefix(_RULE)
    yield message


def _section(key: str | None) -> str:
    return re.split(r"[.\[]", key or "")[0]


def _label(path: str) -> str:
    """The name of a file in diagnostics: its path as given, but printable and on one line."""
    return "<stdin>" if path == STDIN else printable(path)


def _summary(name: str, values: Tree) -> str:
    accelerator = values.get("accelerator")
    profile = accelerator.get("profile") if isinstance(accelerator, dict) else None
    return (
        f"{name}, family {values.get('family')}, accelerator {profile or 'cpu'}, replicas {values.get('replicas') or 1}"
    )
