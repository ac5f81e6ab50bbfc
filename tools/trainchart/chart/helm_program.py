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
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainchart.chart.engine import INSTALL_SECONDS, UNINSTALL_SECONDS, HelmError, Target, reading_error, setting_error
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


@dataclass(frozen=True)
class HelmProgram:
    """The engine that runs a program."""

    program: str

    def read(self, texts: Sequence[str]) -> list[Tree | RenderError]:
        with _chart() as folder:
            (folder / "templates" / "answer.yaml").write_text(_READ + _OUTPUT, encoding="utf-8")
            answers = self._ask(folder, {"texts": [_base64(text) for text in texts]})
        return [_document(answer) for answer in answers]

    def set(self, values: Mapping[str, object], option: str, expression: str) -> Tree:
        with _chart() as folder:
            (folder / "templates" / "answer.yaml").write_text(_MERGE + _OUTPUT, encoding="utf-8")
            try:
                changed: Tree = self._ask(folder, values, f"{option}={expression}")
            except RenderError as error:
                raise setting_error(option, str(error)) from None
        return changed

    def merge(self, values: Mapping[str, object], chart: Path) -> Tree:
        with _chart(chart) as folder:
            (folder / "templates" / "answer.yaml").write_text(_MERGE + _OUTPUT, encoding="utf-8")
            merged: Tree = self._ask(folder, values)
        return merged

    def render(self, values: Mapping[str, object], chart: Path, *, name: str, namespace: str) -> dict[str, str]:
        """The objects of charts inside this one are not in the answer: its library has none."""
        with _chart(chart) as folder:
            files = _templates(chart)
            # Templates whose name begins with "_" are rendered where they are included only.
            for file, template in files.items():
                (folder / "templates" / template).symlink_to(chart.resolve() / "templates" / file)
            listed = " ".join(f"{_literal(file)} {_literal(template)}" for file, template in files.items())
            question = _RENDER % (_literal(_base64(name)), _literal(_base64(namespace)), listed)
            (folder / "templates" / "answer.yaml").write_text(question + _OUTPUT, encoding="utf-8")
            try:
                texts: dict[str, str] = self._ask(folder, values)
            except RenderError as error:
                raise self._as_without_ours(error, values, chart) from None
        return texts

    def install(
        self,
        values: Mapping[str, object],
        chart: Path,
        name: str,
        target: Target,
        *,
        labels: Mapping[str, str],
        dry_run: bool,
        more: Sequence[str],
    ) -> str:
        dry = ["--dry-run=server"] if dry_run else []
        marked = ["--labels", ",".join(f"{key}={value}" for key, value in labels.items())]
        command = self.command(target, "install", name, str(chart), "--values", "-", *dry, *more, *marked)
        process = _run(command, INSTALL_SECONDS, _as_yaml(values))
        if process.returncode:
            raise HelmError(process.stderr.strip() or process.stdout.strip())
        return process.stdout

    def uninstall(self, name: str, target: Target) -> None:
        process = _run(self.command(target, "uninstall", name), UNINSTALL_SECONDS)
        if process.returncode:
            raise HelmError(process.stderr.strip() or process.stdout.strip())

    def command(self, target: Target, *arguments: str) -> list[str]:
        """The words of a command line that runs helm with `arguments` in a cluster."""
        options = {
            "--namespace": target.namespace,
            "--kube-context": target.context,
            "--kubeconfig": target.kubeconfig,
        }
        return [self.program, *arguments, *(word for key, value in options.items() if value for word in (key, value))]

    def _ask(self, folder: Path, values: Mapping[str, object], *options: str) -> Any:
        """The answer of the template in a chart.

        Raises:
            RenderError: Helm refuses the values; the text is Helm's.
            UsageError: the program is not Helm.
        """
        command = [self.program, "template", "trainchart", str(folder), "--values", "-", *options]
        process = _run(command, TEMPLATE_SECONDS, _as_yaml(values))
        if process.returncode:
            raise RenderError(_words(process.stderr))
        found = re.search(r"^output: (\S+)$", process.stdout, re.MULTILINE)
        if not found:
            raise UsageError(f"{self.program} template does not answer as Helm does; name Helm 3 or 4 by --helm")
        return json.loads(base64.b64decode(found[1]))

    def _as_without_ours(self, error: RenderError, values: Mapping[str, object], chart: Path) -> RenderError:
        """The error of a render without our template around the chart's; what the chart itself says is the same in both."""
        if "execution error at" in str(error):
            return error
        with _chart(chart) as folder:
            for file in _templates(chart):
                link = folder / "templates" / file
                link.parent.mkdir(exist_ok=True, parents=True)
                link.symlink_to(chart.resolve() / "templates" / file)
            process = _run(
                [self.program, "template", "trainchart", str(folder), "--values", "-"],
                TEMPLATE_SECONDS,
                _as_yaml(values),
            )
        return RenderError(_words(process.stderr)) if process.returncode else error


def find_program(program: str) -> HelmProgram:
    """The program of this name or path.

    Raises:
        UsageError: it is not on PATH.
    """
    path = shutil.which(program)
    if not path:
        raise UsageError(f"{program} is not on PATH; install Helm 3 or 4, or name it by --helm")
    return HelmProgram(path)


@contextmanager
def _chart(chart: Path | None = None) -> Iterator[Path]:
    """A chart's folder without its schema and with no templates but its partials; an empty chart if none is named."""
    with tempfile.TemporaryDirectory(prefix="trainchart-") as temporary:
        folder = Path(temporary, chart.name if chart else "answer")
        (folder / "templates").mkdir(parents=True)
        if not chart:
            (folder / "Chart.yaml").write_text("apiVersion: v2\nname: answer\nversion: 0.0.0\n", encoding="utf-8")
            yield folder
            return
        source = chart.resolve()
        for entry in source.iterdir():
            if entry.name not in ("templates", "values.schema.json"):
                (folder / entry.name).symlink_to(entry)
        for partial in source.glob("templates/_*"):
            (folder / "templates" / partial.name).symlink_to(partial)
        yield folder


def _templates(chart: Path) -> dict[str, str]:
    """The templates of a chart that are rendered, by their path below `templates/`, each with a name for a partial."""
    root = chart.resolve() / "templates"
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("_"))
    return {path.relative_to(root).as_posix(): f"_template-{number}" for number, path in enumerate(files)}


def _document(answer: Mapping[str, str]) -> Tree | RenderError:
    """A document that Helm has read."""
    if "error" in answer:
        return reading_error(answer["error"])
    try:
        tree: Tree = json.loads(answer["json"])
    except (
        RecursionError,
        ValueError,
    ) as error:  # nested deeper, or with a longer number, than Python's parser accepts
        return reading_error(str(error))
    return tree


def _words(stderr: str) -> str:
    """Helm's message, without its warnings before and its advice after."""
    words = re.split(r"^Error: ", stderr, maxsplit=1, flags=re.MULTILINE)[-1]
    return words.partition("\n\nUse --debug flag")[0].strip()


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
    """
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
    """End it as Helm expects, so that nothing of it is under way any more: what it has created can be removed then."""
    process.terminate()
    try:
        process.wait(TERMINATE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
