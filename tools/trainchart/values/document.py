"""A YAML document of values, read twice: by Helm for its values, and by another parser for their lines (`locate`)."""

from __future__ import annotations

import re

from trainchart.chart.engines import engine
from trainchart.chart.render import read_values
from trainchart.errors import RenderError
from trainchart.files import Tree
from trainchart.values.positions import Node, Place, Problem, locate


def read_document(text: str, file: str) -> tuple[Tree | None, Node, list[Problem]]:
    """The values (None if they cannot be used), their places in `file`, and what is wrong with the document itself."""
    top, problems, complete = _located(text, file)
    if any(problem.fatal for problem in problems):
        return None, top, problems
    try:
        values = read_values(text)
    except RenderError as error:
        return None, top, problems or [Problem(f"not YAML: {error}", _line_in(str(error), file) or Place(file))]
    if not complete:
        # Helm reads what the second reader does not: Helm decides, so the reader's error is a warning.
        doubt = "Helm can read it but another YAML parser cannot, so lines and duplicate keys are unknown"
        *problems, last = problems
        problems.append(Problem(f"{doubt}: {last.message}", last.place, doubtful=True))
    return values, top, problems


def _located(text: str, file: str) -> tuple[Node, list[Problem], bool]:
    """What `locate` finds. Helm says how it reads keys such as `yes` and `1e3`, all of them at once."""
    unknown: set[str] = set()
    found = locate(text, file, lambda key: unknown.add(key))
    if not unknown:
        return found
    keys = sorted(unknown)
    answers = engine().read([f"{key}: 0" for key in keys])
    names = {
        key: None if isinstance(answer, RenderError) else next(iter(answer), None)
        for key, answer in zip(keys, answers, strict=True)
    }
    return locate(text, file, names.get)


def _line_in(message: str, file: str) -> Place | None:
    match = re.match(r"line (\d+): ", message)
    return Place(file, int(match[1]), 1) if match else None
