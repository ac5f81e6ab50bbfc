"""The `helm` program, of Helm 3 or 4: `helm template` reads, merges and renders; each call takes about 70 ms.

A chart can print anything that Helm knows. What is asked is a template of ours, and its answer is one line of its output,
`output: <JSON in base64>`: no text of the values can be taken for a part of it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from trainchart.chart.engine import (
    INSTALL_SECONDS,
    UNINSTALL_SECONDS,
    HelmError,
    NewRelease,
    Target,
    reading_error,
    setting_error,
)
from trainchart.errors import RenderError, UsageError
from trainchart.files import Tree

TEMPLATE_SECONDS = 60
TERMINATE_SECONDS = 5

_OUTPUT = "output: {{ $answer | toJson | b64enc }}\n"
_MERGE = "{{- $answer := .Values -}}\n"
# Each document by itself, for Python's JSON parser may refuse one of them. For a document that it cannot read, `fromYaml`
# returns a map with the key Error; one that is such a map itself is no list, which `fromYamlArray` says.
_READ = """\
{{- $answer := list -}}
{{- range .Values.texts }}
{{- $text := b64dec . }}
{{- $read := fromYaml $text }}
{{- if and (hasKey $read "Error") (not (contains "cannot unmarshal object" (fromYamlArray $text | toString))) }}
{{- $answer = append $answer (dict "error" $read.Error) }}
{{- else }}
{{- $answer = append $answer (dict "json" (toJson $read)) }}
{{- end }}
{{- end -}}
"""
# The release's name is set here, for Helm would judge one on its command line before the chart does.
_RENDER = """\
{{- $_ := set .Release "Name" (%s | b64dec) -}}
{{- $_ := set .Release "Namespace" (%s | b64dec) -}}
{{- $answer := dict -}}
{{- range $file, $template := dict %s }}
{{- $_ := set $answer $file (include (print $.Template.BasePath "/" $template) $) }}
{{- end -}}
"""

# Characters that YAML does not have as they are, or takes for a line break or a mark of its own; and the length of keys (YAML's
# limit is 1,024) from which they are marked as keys.
_ESCAPED = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_LONG_KEY = 100

_FIX = "is it Helm 3 or 4, and does `helm template` work here?"


@dataclass(frozen=True)
class HelmProgram:
    """The engine that runs a program."""

    program: str

    def read(self, texts: Sequence[str]) -> list[Tree | RenderError]:
        try:
            answers = self._ask(_READ, {"texts": [_base64(text) for text in texts]})
        except RenderError as error:  # about no document: what is wrong with one is in the answer
            raise UsageError(f"{self.program} template failed: {str(error).splitlines()[0]}; {_FIX}") from None
        return [_document(answer) for answer in answers]

    def set(self, values: Mapping[str, object], option: str, expression: str) -> Tree:
        try:
            changed: Tree = self._ask(_MERGE, values, options=[f"{option}={expression}"])
        except RenderError as error:
            raise setting_error(option, str(error)) from None
        return changed

    def merge(self, values: Mapping[str, object], chart: Path) -> Tree:
        merged: Tree = self._ask(_MERGE, values, chart)
        return merged

    def render(self, values: Mapping[str, object], chart: Path, *, name: str, namespace: str) -> dict[str, str]:
        """The objects of charts inside this one are not in the answer: its library has none."""
        listed = " ".join(f"{_literal(file)} {_literal(partial)}" for file, partial in _templates(chart).items())
        question = _RENDER % (_literal(_base64(name)), _literal(_base64(namespace)), listed)
        try:
            texts: dict[str, str] = self._ask(question, values, chart)
        except RenderError as error:
            if "execution error at" in str(error):  # what the chart says itself, by `fail`
                raise
            # An error in a template: without the words about ours around it.
            _template(self.program, chart, "", _as_yaml(values))
            raise
        return texts

    def install(self, release: NewRelease, target: Target) -> str:
        words = ["install", release.name, str(release.chart), "--values", "-"]
        words += ["--dry-run=server"] if release.dry_run else []
        words += release.arguments
        words += [word for key, value in release.labels.items() for word in ("--labels", f"{key}={value}")]
        return _answer_of(_run(self.command(target, *words), INSTALL_SECONDS, _as_yaml(release.values)))

    def uninstall(self, name: str, target: Target) -> None:
        _answer_of(_run(self.command(target, "uninstall", name), UNINSTALL_SECONDS))

    def command(self, target: Target, *arguments: str) -> list[str]:
        """The words of a command line that runs helm with `arguments` in a cluster."""
        options = {
            "--namespace": target.namespace,
            "--kube-context": target.context,
            "--kubeconfig": target.kubeconfig,
        }
        return [self.program, *arguments, *(word for key, value in options.items() if value for word in (key, value))]

    def _ask(
        self, question: str, values: Mapping[str, object], chart: Path | None = None, options: Sequence[str] = ()
    ) -> Any:
        """The answer of a template in a chart, or in an empty one.

        Raises:
            RenderError: Helm refuses the values; the text is Helm's.
            UsageError: the program is not Helm.
        """
        printed = _template(self.program, chart, question + _OUTPUT, _as_yaml(values), tuple(options))
        found = re.search(r"^output: (\S+)$", printed, re.MULTILINE)
        if not found:
            raise UsageError(f"{self.program} template does not answer as Helm does; {_FIX}")
        return json.loads(base64.b64decode(found[1]))


def find_program(program: str) -> HelmProgram:
    """The program of this name or path.

    Raises:
        UsageError: it is not on PATH.
    """
    path = shutil.which(program)
    if not path:
        raise UsageError(f"{program} is not on PATH; install Helm 3 or 4, or name it by --helm")
    return HelmProgram(path)


@lru_cache(maxsize=16)
def _template(program: str, chart: Path | None, question: str, values: str, options: Sequence[str] = ()) -> str:
    """What `helm template` prints of a chart whose only template is the question, or of the chart itself without a question.

    The same is asked again, for `submit` validates the values and then looks at what they render to.

    Raises:
        RenderError: Helm refuses the values; the text is Helm's.
    """
    with tempfile.TemporaryDirectory(prefix="trainchart-") as temporary:
        folder = Path(temporary, "chart")
        templates = folder / "templates"
        templates.mkdir(parents=True)
        if question:
            (templates / "question.yaml").write_text(question, encoding="utf-8")
        if chart:
            _link(chart.resolve(), folder, as_partials=bool(question))
        else:
            (folder / "Chart.yaml").write_text("apiVersion: v2\nname: empty\nversion: 0.0.0\n", encoding="utf-8")
        command = [program, "template", "trainchart", str(folder), "--values", "-", *options]
        process = _run(command, TEMPLATE_SECONDS, values)
    if process.returncode < 0:
        raise UsageError(f"{program} template failed: {_without_words(process.returncode)}; {_FIX}")
    if process.returncode:
        raise RenderError(_words(process.stderr) or _without_words(process.returncode))
    return process.stdout


def _link(chart: Path, folder: Path, *, as_partials: bool) -> None:
    """Fill a folder with links to a chart's files, but for its schema, which Helm would compile at every call."""
    for entry in chart.iterdir():
        if entry.name not in ("templates", "values.schema.json"):
            (folder / entry.name).symlink_to(entry)
    for partial in (chart / "templates").glob("_*"):
        (folder / "templates" / partial.name).symlink_to(partial)
    for file, partial_name in _templates(chart).items():
        link = folder / "templates" / (partial_name if as_partials else file)
        link.parent.mkdir(exist_ok=True, parents=True)
        link.symlink_to(chart / "templates" / file)


def _templates(chart: Path) -> dict[str, str]:
    """The templates of a chart that are rendered, by their path below `templates/`, each with the name of a partial.

    Partials begin with "_" and are rendered where they are included only.
    """
    root = chart.resolve() / "templates"
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("_"))
    return {path.relative_to(root).as_posix(): f"_template-{number}" for number, path in enumerate(files)}


def _document(answer: Mapping[str, str]) -> Tree | RenderError:
    """A document that Helm has read."""
    if "error" in answer:
        return reading_error(answer["error"])
    try:
        tree: Tree = json.loads(answer["json"])
    # Nested deeper, or with a longer number, than Python's parser accepts.
    except (RecursionError, ValueError) as error:
        return reading_error(str(error))
    return tree


def _answer_of(process: subprocess.CompletedProcess[str]) -> str:
    """What the program printed.

    Raises:
        HelmError: it failed.
    """
    if process.returncode:
        raise HelmError(_words(process.stderr) or process.stdout.strip() or _without_words(process.returncode))
    return process.stdout


def _words(stderr: str) -> str:
    """Helm's message, without its warnings before and its advice after."""
    words = re.split(r"^Error: ", stderr, maxsplit=1, flags=re.MULTILINE)[-1]
    return words.partition("\n\nUse --debug flag")[0].strip()


def _without_words(code: int) -> str:
    return f"it was killed by signal {-code}" if code < 0 else f"it ended with exit code {code}, and gave no reason"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def _literal(text: str) -> str:
    """A text as a template writes it."""
    return json.dumps(text)


def _as_yaml(value: object) -> str:
    """Values as YAML that Helm reads as the same values; JSON, but for characters and long keys that YAML has not."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)}: {_as_yaml(below)}" for key, below in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_as_yaml, value)) + "]"
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def _key(key: str) -> str:
    return ("? " if len(key) > _LONG_KEY else "") + _as_yaml(key) + (" " if len(key) > _LONG_KEY else "")


def _run(command: Sequence[str], seconds: float, given: str = "") -> subprocess.CompletedProcess[str]:
    """The ended program. It runs in a session of its own: an engine of pipelines signals all processes of a step, and
    only this one decides what becomes of Helm.

    Raises:
        HelmError: it took too long.
        UsageError: it cannot be run.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "HELM_DEBUG": "false"},
            start_new_session=True,
        )
    except OSError as error:  # of another machine, or a script without a first line that names its interpreter
        raise UsageError(f"{command[0]} cannot be run: {error.strerror}; {_FIX}") from None
    with process:
        try:
            out, err = process.communicate(given, timeout=seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            words = f"timed out waiting for the condition: helm {command[1]} took more than {seconds:g} s"
            raise HelmError(words) from None
        except BaseException:
            _end(process)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _end(process: subprocess.Popen[str]) -> None:
    """End it as Helm expects, so that nothing of it is under way any more: what it has created can be removed then.

    It may be a script that has started Helm, and ends before it: all processes of its session are meant, and their output
    ends with the last of them.
    """
    with suppress(ProcessLookupError):  # it has ended meanwhile
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.communicate(timeout=TERMINATE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
