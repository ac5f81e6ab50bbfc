"""What trainchart asks of Helm. Two engines answer: the `helm` program, and Helm's Go code in this process.

Both give the same verdict on values, in the same words, and make the same releases (docs/decisions/0024).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from trainchart.errors import ExitCode, RenderError, TrainchartError
from trainchart.files import Tree

INSTALL_SECONDS = 300
UNINSTALL_SECONDS = 120


class HelmError(TrainchartError):
    """Helm could not install or uninstall a release; the message is Helm's."""

    exit_code = ExitCode.REFUSED


@dataclass(frozen=True)
class NewRelease:
    """A release to install."""

    name: str
    chart: Path
    """The chart's folder."""
    values: Mapping[str, object]
    """The user's."""
    labels: Mapping[str, str] = field(default_factory=dict)
    dry_run: bool = False
    """Let the server check all objects, and create none."""
    arguments: Sequence[str] = ()
    """For the `helm` program; empty where there is none."""


@dataclass(frozen=True)
class Target:
    """The cluster of a release: the same as that of our own API client."""

    namespace: str
    context: str = ""  # empty in a pod, whose own account Helm uses too
    kubeconfig: str = ""  # empty for $KUBECONFIG or the default, which Helm reads too


class Engine(Protocol):
    """What trainchart asks of Helm."""

    @property
    def program(self) -> str:
        """The path of the `helm` program; empty for the code in this process."""

    def read(self, texts: Sequence[str]) -> list[Tree | RenderError]:
        """YAML documents as Helm reads values; for each that it cannot read, the error (`reading_error`)."""

    def set(self, values: Mapping[str, object], option: str, expression: str) -> Tree:
        """The values with the expression of an option of Helm laid over them: --set, --set-string or --set-json.

        Raises:
            RenderError: Helm refuses it (`setting_error`).
        """

    def merge(self, values: Mapping[str, object], chart: Path) -> Tree:
        """The values over the defaults of a chart, as Helm lays them before it checks the schema: a null deletes a default.

        Raises:
            RenderError: Helm cannot do it; its text is Helm's.
        """

    def render(self, values: Mapping[str, object], chart: Path, *, name: str, namespace: str) -> dict[str, str]:
        """The text of every template of a chart by its path below `templates/`, NOTES.txt included; the schema is not checked.

        Raises:
            RenderError: the chart refused the values; the text is Helm's.
        """

    def install(self, release: NewRelease, target: Target) -> str:
        """Install a release and return its notes. An exception of the caller (Ctrl-C) ends the installation.

        Raises:
            HelmError: it failed, or took more than INSTALL_SECONDS; what it has created is left.
        """

    def uninstall(self, name: str, target: Target) -> None:
        """Remove a release.

        Raises:
            HelmError: it failed, or took more than UNINSTALL_SECONDS.
        """


def reading_error(words: str) -> RenderError:
    """The error of a document that Helm cannot read: its message without the prefixes and types of its libraries."""
    plain = re.sub(r"^(?:error [\w ]+: |while decoding JSON: |json: |yaml: )+", "", words)
    return RenderError(re.sub(r"into Go value of type .*", "into a map", plain))


def setting_error(option: str, words: str) -> RenderError:
    """The error of an expression that Helm refuses: its message without prefixes, and without what types Go has for values.

    Of --set-json, both programs only say that it is wrong.
    """
    if option == "--set-json":
        return RenderError('is not KEY=JSON; write texts in double quotes, such as queue="research"')
    plain = re.sub(r"^(?:failed parsing --set(?:-string)? data: |unable to parse key: )+", "", words)
    plain = re.sub(r"^interface conversion: .*, not map.*", "it sets a key of a value that is not a map", plain)
    plain = re.sub(r"^interface conversion: .*, not \[\].*", "it sets an item of a value that is not a list", plain)
    # Of Helm 3; Helm 4 takes it for nothing.
    plain = re.sub(r"^error parsing index: EOF$", "names no key; write KEY=VALUE", plain)
    plain = re.sub(r'^error parsing index: .*parsing ("[^"]*").*', r"\1 is not an index; write a number", plain)
    fix = "; write KEY=VALUE, and a comma of a value as \\," if plain.endswith("has no value") else ""
    return RenderError(plain + fix)
