"""Values are not code: whatever a text or the key of a map holds, the same objects come out, with the text where it belongs.

Twice over: the schema refuses the characters that could do otherwise, and the templates alone, without the schema, let none
of them out of its place.
"""

from __future__ import annotations

import atexit
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial, reduce
from pathlib import Path
from typing import Any

import pytest
from helm_python import values_from_yaml

from tests.chart.matrix import ROOT
from tests.conftest import rows
from tests.values.test_parity import SCHEMA
from trainchart.chart.paths import CHART
from trainchart.chart.render import render_text
from trainchart.errors import RenderError
from trainchart.files import Tree, load_values, overlay
from trainchart.values.validate import validate

Place = tuple[str | int, ...]

CHARACTERS = [*map(chr, range(1, 0x20)), *map(chr, range(0x7F, 0xA0)), *"\u2028\u2029\ufeff\ufffe\uffff"]
"""C0 (YAML has no text with NUL), DEL, C1, and what else some reader takes for a line break or the mark of a file's beginning."""
BREAKS = "\n\x85\u2028"
"""One of each kind: escaped by JSON, by YAML's writer, and by Go's JSON alone."""
IN_TEXT = "\t\n"
"""What a program's argument may well hold."""

HARMLESS = "harmless"
PAYLOADS = {
    "a key at the top": "x{0}kind: Secret{0}evil: |{0}  y",
    "a key anywhere": "x{0} a: b{0}  c: d{0}   e: f{0}    g: h{0}      i: j{0}        k: l",
    "another document": "x{0}---{0}apiVersion: v1{0}kind: Secret{0}metadata: {{name: evil}}",
    "the end of a quoted text": "x\"{0}'}}]{0}kind: Secret # ",
    "a warning": "x{0}Warning: y{0}",
}
# Texts that a rule asks more of than the schema does.
BEGINS = {"image": "h/x:", "repository": "https://h/", "endpoint": "https://h", "trackingUri": "https://h/"}

EVERYTHING: Tree = {
    **load_values(ROOT / "values/custom.yaml"),
    "env": {"A": "b"},
    "imagePullSecrets": ["registry"],
    "priorityClassName": "high",
    "nodeSelector": {"pool": "gpu"},
    "podLabels": {"team": "vision"},
    "podAnnotations": {"example.com/note": "a"},
    "tolerations": [{"key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule"}],
    "affinity": {
        "podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "topologyKey": "zone",
                    "namespaces": ["other"],
                    "labelSelector": {
                        "matchLabels": {"a": "b"},
                        "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}],
                    },
                }
            ]
        }
    },
    "networkPolicy": {
        "enabled": True,
        "egress": [{"to": [{"podSelector": {"matchLabels": {"a": "b"}}}], "ports": [{"port": "https"}]}],
    },
    "accelerator": {
        "profile": "ours",
        "count": 1,
        "profiles": {
            "ours": {
                "title": "our cards",
                "backend": "cuda",
                "resources": {"count": {"name": "example.com/{variant}"}},
                "variants": ["small"],
                "processes": "one",
                "annotations": {"example.com/a": "b"},
                "runtimeClassName": "ours",
            }
        },
        "variant": "small",
    },
    "workspace": {"type": "newClaim", "storageClassName": "fast", "directory": "a"},
    "git": {"secretName": "git"},
    "caBundle": {"configMapName": "ca"},
    "proxy": {"httpsProxy": "http://proxy", "noProxy": "h"},
    "mlflow": {"trackingUri": "https://h/", "experiment": "a", "secretName": "mlflow", "tokenKey": "t"},
    "model": {"repository": "https://h/m", "revision": "main", "lfs": {"url": "https://l/m", "secretName": "lfs"}},
    "dataset": {"repository": "https://h/d", "path": "data"},
    "cache": {"claimName": "cache"},
    "publish": {"repository": "https://h/p", "branch": "b", "modelName": "m"},
    "train": {
        "command": ["a", "b"],
        "exportCommand": ["a"],
        "artifacts": ["a"],
        "metricsFile": "a.csv",
        "checkpoints": "a",
        "lfsPatterns": ["a"],
    },
    "tune": {"trials": 0, "metric": "m", "space": {"lr0": {"choices": ["a"]}}},
}
BASES: dict[str, Tree] = {
    "everything": EVERYTHING,
    "claims": {
        **EVERYTHING,
        "model": {"type": "claim", "claimName": "m", "subPath": "a"},
        "dataset": {"type": "claim", "claimName": "d", "subPath": "a", "path": "data"},
        "workspace": {"type": "existingClaim", "claimName": "w"},
        "publish": {"type": "none"},
    },
    "stores": {
        **EVERYTHING,
        "model": {
            "type": "s3",
            "endpoint": "https://h",
            "bucket": "b",
            "prefix": "p",
            "region": "r",
            "secretName": "s",
        },
        "dataset": {"type": "s3", "endpoint": "https://h", "bucket": "b", "prefix": "p", "path": "data"},
        "publish": {
            "type": "s3",
            "endpoint": "https://h",
            "bucket": "b",
            "prefix": "p",
            "folder": "f",
            "secretName": "s",
        },
        "workspace": {"type": "emptyDir"},
    },
    "a device class": {
        **EVERYTHING,
        "accelerator": {
            "profile": "ours",
            "count": 1,
            "profiles": {
                "ours": {
                    "title": "our cards",
                    "backend": "cuda",
                    "resources": {"count": {}},
                    "processes": "one",
                    "deviceClass": "a",
                }
            },
        },
    },
    "open maps of detection": overlay(
        load_values(ROOT / "values/ppyoloe.yaml"), {"train": {"options": {"a.b": "c", "d": {"e": ["f"]}}}}
    ),
    "open maps of language models": overlay(
        load_values(ROOT / "values/llm-sft.yaml"), {"train": {"arguments": {"a": "b", "c": {"d": ["e"]}}}}
    ),
}


def texts(tree: Any, above: Place = ()) -> Iterator[Place]:
    """The places of all texts."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(value, (dict, list)):
            yield from texts(value, (*above, key))
        elif isinstance(value, str):
            yield (*above, key)


def maps(tree: Any, above: Place = ()) -> Iterator[Place]:
    """The places of all maps, the top included."""
    if isinstance(tree, dict):
        yield above
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(value, (dict, list)):
            yield from maps(value, (*above, key))


def put(tree: Any, place: Place, value: Any) -> Any:
    """A copy with another value at a place."""
    if not place:
        return value
    copy = list(tree) if isinstance(tree, list) else dict(tree)
    copy[place[0]] = put(copy[place[0]] if len(place) > 1 else None, place[1:], value)  # type: ignore[index]
    return copy


def with_text(base: Tree, place: Place, text: str) -> Tree:
    changed: Tree = put(base, place, BEGINS.get(str(place[-1]), "") + text)
    return changed


def with_key(base: Tree, place: Place, key: str) -> Tree:
    below = base
    for part in place:
        below = below[part]  # type: ignore[index]
    some = next(iter(below.values()), "x")
    changed: Tree = put(base, place, {**below, key: some})
    return changed


@pytest.mark.parametrize("name", BASES)
def test_the_bases_are_valid_and_render(tmp_path: Path, name: str) -> None:
    assert diagnostics(tmp_path, BASES[name]) == []
    assert render_text(BASES[name])


def test_every_text_that_the_schema_leaves_free_is_among_the_texts() -> None:
    def free(node: Tree, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if "$ref" in node:
            node = SCHEMA["$defs"][node["$ref"].rpartition("/")[2]]
        kinds = node.get("type", ())
        if "string" in kinds and "enum" not in node and node.get("maxLength") != 0:
            yield above
        for key, below in node.get("properties", {}).items():
            yield from free(below, (*above, key))
        for below in (node.get("items"), node.get("additionalProperties")):
            if isinstance(below, dict):
                yield from free(below, above)

    met = {part for base in BASES.values() for place in texts(base) for part in place}
    # Quantities and durations are numbers with units; keys of Secrets are of one type.
    left = {"memory", "cpu", "size", "sharedMemory", "timeLimit", "ttlAfterFinished", "patience", "name"}
    for section in ("model", "dataset", "publish", "git", "mlflow", "workspace", "cache", "serviceAccount", "tune"):
        found = {path[-1] for path in free(SCHEMA["properties"][section], ())} - left
        assert {key for key in found - met if not key.endswith("Key")} == set(), section


@pytest.mark.parametrize("character", ["\t", "\n", "\r", "\x1b", "\x7f", "\x85", "\u2028", "\ufeff"], ids=ascii)
def test_the_schema_refuses_a_control_character_in_any_text_and_key(tmp_path: Path, character: str) -> None:
    hostile = f"x{character}y"
    places = [
        place for place in texts(EVERYTHING) if place != ("family",) and (character not in IN_TEXT or one_line(place))
    ]
    assert len(places) > 35
    for some in batched(places):
        told = shape_diagnostics(
            tmp_path, reduce(lambda tree, place: with_text(tree, place, hostile), some, EVERYTHING)
        )
        assert {written(place) for place in some} <= {key for key, _ in told}
        assert all((key + message).isprintable() for key, message in told)
    for some in batched(sorted(maps(EVERYTHING), key=len, reverse=True)):
        told = shape_diagnostics(tmp_path, reduce(lambda tree, place: with_key(tree, place, hostile), some, EVERYTHING))
        of_keys = {key for key, message in told if message.startswith("the key holds ")}
        assert {written((*place, hostile)) for place in some} <= of_keys
        assert all((key + message).isprintable() for key, message in told)


def batched(places: list[Place]) -> Iterator[list[Place]]:
    """So few at once that all that is wrong is told."""
    return (places[start : start + 20] for start in range(0, len(places), 20))


@pytest.mark.lab
def test_the_schema_refuses_every_control_character(tmp_path: Path) -> None:
    for character in CHARACTERS:
        told = shape_diagnostics(tmp_path, overlay(EVERYTHING, {"model": {"revision": f"x{character}y"}}))
        fault = {"\n": "a line break; write it on one line", "\t": "a tab; write a space"}
        code = f"the control character U+{ord(character):04X}; take it out"
        shown = ascii(f"x{character}y")
        assert told == [("model.revision", f"{shown} holds {fault.get(character, code)}")]


def one_line(place: Place) -> bool:
    """Whether a text has no use for a line break or a tab."""
    return (
        place[0] not in ("env", "podAnnotations")
        and "annotations" not in place
        and place[:2] not in (("train", "command"), ("train", "exportCommand"), ("tune", "space"))
    )


@pytest.mark.parametrize("base", ["open maps of detection", "open maps of language models"])
def test_the_schema_refuses_a_control_character_at_any_depth_of_an_open_map(tmp_path: Path, base: str) -> None:
    train = ("train", "options") if "detection" in base else ("train", "arguments")
    deep = [place for place in texts(BASES[base]) if place[:2] == train]
    assert max(map(len, deep)) == 5
    for place in deep:
        (told,) = shape_diagnostics(tmp_path, with_text(BASES[base], place, "x\x85y"))
        assert told == (written(place), "'x\\x85y' holds the control character U+0085; take it out")
    for place in [place for place in maps(BASES[base]) if place[:2] == train]:
        (told,) = shape_diagnostics(tmp_path, with_key(BASES[base], place, "x\u2028y"))
        assert told == (
            written((*place, "x\u2028y")),
            "the key holds the control character U+2028; take it out",
        )


def test_a_line_break_and_a_tab_are_allowed_in_a_program_s_arguments_and_environment(tmp_path: Path) -> None:
    script = "import os\nif os.fork():\n\tprint(1)\n"
    values = overlay(EVERYTHING, {"train": {"command": ["python3", "-c", script]}, "env": {"CERTIFICATE": "a\nb"}})
    assert diagnostics(tmp_path, values) == []
    assert shape_diagnostics(tmp_path, overlay(EVERYTHING, {"model": {"revision": "a\nb"}})) == [
        ("model.revision", "'a\\nb' holds a line break; write it on one line")
    ]


@pytest.mark.lab
@pytest.mark.parametrize("base", rows(BASES, "everything"))
def test_without_the_schema_no_text_leaves_its_place(base: str) -> None:
    """All texts at once, but for those that a rule refuses."""
    places = list(texts(BASES[base]))

    def with_texts(text: str, places: Iterable[Place]) -> Tree:
        return reduce(lambda tree, place: with_text(tree, place, text), places, BASES[base])

    stay_in_place(with_texts, places)


@pytest.mark.lab
@pytest.mark.parametrize(
    "base",
    rows(["everything", "open maps of detection", "open maps of language models"], "open maps of language models"),
)
def test_without_the_schema_no_key_leaves_its_place(base: str) -> None:
    places = sorted(maps(BASES[base]), key=len, reverse=True)

    def with_keys(key: str, places: Iterable[Place]) -> Tree:
        return reduce(lambda tree, place: with_key(tree, place, key), places, BASES[base])

    stay_in_place(with_keys, places)


def stay_in_place(put_in: Callable[[str, Iterable[Place]], Tree], places: list[Place]) -> None:
    """Whatever the text, the same comes out as with a harmless one, but for the text itself."""
    for character in BREAKS:
        allowed, harmless = list(places), None
        for payload in PAYLOADS.values():
            text = payload.format(character)
            while isinstance(hostile := outcome(put_in(text, allowed)), RenderError):
                allowed, harmless = without_refused(allowed, hostile, partial(put_alone, put_in, text)), None
            harmless = harmless or outcome(put_in(HARMLESS, allowed))
            assert replaced(hostile, text, HARMLESS) == harmless, text
        assert len(allowed) > len(places) / 3, set(places) - set(allowed)


def put_alone(put_in: Callable[[str, Iterable[Place]], Tree], text: str, place: Place) -> Tree:
    return put_in(text, [place])


def without_refused(places: list[Place], refusal: RenderError, alone: Callable[[Place], Tree]) -> list[Place]:
    """The places that no rule names; where the refusal names none of them, those that are not refused alone."""
    keys = re.findall(r"^  - ([\w.\[\]-]+):", str(refusal), re.MULTILINE)
    rest = [place for place in places if written(place) not in keys]
    if len(rest) < len(places):
        return rest
    return [place for place in places if not isinstance(outcome(alone(place)), RenderError)]


def test_without_the_schema_every_character_arrives_as_it_was_written() -> None:
    text = "".join(f"x{character}y" for character in CHARACTERS)
    values = overlay(EVERYTHING, {"train": {"command": [text]}, "env": {"A": text}, "nodeSelector": {"a": text}})
    found = outcome(values)
    assert not isinstance(found, RenderError)
    objects = dict(found)
    settings = objects["ConfigMap"]["data"]["settings.json"]
    assert settings["train"]["command"] == [text]
    assert settings["env"] == {"A": text}
    assert objects["Job"]["spec"]["tasks"][0]["template"]["spec"]["nodeSelector"] == {"pool": "gpu", "a": text}


PROVEN = {
    "a role binding": "apiVersion: rbac.authorization.k8s.io/v1{0}kind: RoleBinding{0}metadata: {{name: pwn}}{0}"
    "roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}}{0}"
    "subjects: [{{kind: ServiceAccount, name: default, namespace: training}}]{0}evil: |{0}  y",
    "a token of an account": "apiVersion: v1{0}kind: Secret{0}metadata: {{name: stolen, annotations: "
    "{{kubernetes.io/service-account.name: default}}}}{0}type: kubernetes.io/service-account-token{0}immutable: false{0}"
    "data: {{}}{0}stringData:{0}  rest: |{0}    y",
}


@pytest.mark.lab
@pytest.mark.parametrize("what", PROVEN)
@pytest.mark.parametrize("program", ["helm", "helm3"])
def test_what_made_other_objects_is_refused_by_both_helms_and_makes_none_without_the_schema(
    tmp_path: Path, request: pytest.FixtureRequest, program: str, what: str
) -> None:
    helm = request.getfixturevalue(program)
    kinds: dict[str, Any] = {}
    for name, text in {"harmless": HARMLESS, "hostile": "x\x85" + PROVEN[what].format("\x85")}.items():
        file = tmp_path / f"{name}.yaml"
        file.write_text(json.dumps(overlay(EVERYTHING, {"train": {"command": ["python3", text]}})), encoding="utf-8")
        command = [helm, "template", "run-42", str(CHART), "--namespace", "training", "--values", str(file)]
        checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (checked.returncode == 0) == (name == "harmless"), checked.stderr
        unchecked = subprocess.run(
            [*command, "--skip-schema-validation"], capture_output=True, text=True, timeout=60, check=True
        )
        documents = [values_from_yaml(part) for part in re.split(r"(?m)^---.*$", unchecked.stdout) if part.strip()]
        kinds[name] = [(document["kind"], sorted(document)) for document in documents]
    assert not validate([str(tmp_path / "hostile.yaml")]).valid
    assert kinds["hostile"] == kinds["harmless"]


@cache
def thin_chart() -> Path:
    """The chart with empty programs, which are most of what is rendered and read."""
    chart = Path(tempfile.mkdtemp(), "train")
    atexit.register(shutil.rmtree, chart.parent)
    shutil.copytree(CHART, chart, ignore=shutil.ignore_patterns("__pycache__"))
    for program in chart.glob("charts/lib/files/**/*.py"):
        program.write_text("", encoding="utf-8")
    return chart


def outcome(values: Tree) -> list[tuple[str, Any]] | RenderError:
    """The objects as Helm's own reader has them, the settings read too; and the lines of NOTES. Or a rule's refusal."""
    try:
        rendered = render_text(values, chart=thin_chart())
    except RenderError as error:
        return error
    found: list[tuple[str, Any]] = []
    for path, text in sorted(rendered.items()):
        if path == "NOTES.txt":
            assert not set(CHARACTERS) - {"\n"} & set(text), path
            found.append(("NOTES", len(text.splitlines())))
            continue
        for part in re.split(r"(?:^|\s*\n)---\s*", text):  # as Helm does it
            if part.strip():
                body = values_from_yaml(part)
                if body["kind"] == "ConfigMap":
                    settings = json.loads(body["data"]["settings.json"])
                    body["data"] = {**dict.fromkeys(body["data"]), "settings.json": settings}
                found.append((body["kind"], body))
    return found


def replaced(tree: Any, text: str, by: str) -> Any:
    """The tree with a text written otherwise, in all texts and keys."""
    if isinstance(tree, dict):
        return {replaced(key, text, by): replaced(value, text, by) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(replaced(item, text, by) for item in tree)
    return tree.replace(text, by) if isinstance(tree, str) else tree


def written(place: Place) -> str:
    from trainchart.values.schema_errors import format_path

    return format_path(place)


def diagnostics(folder: Path, values: Tree) -> list[Any]:
    file = folder / "own.yaml"
    file.write_text(json.dumps(values), encoding="utf-8")
    return [diagnostic for diagnostic in validate([str(file)]).diagnostics if diagnostic.severity == "error"]


def shape_diagnostics(folder: Path, values: Tree) -> list[tuple[str, str]]:
    return [
        (diagnostic.key, diagnostic.message)
        for diagnostic in diagnostics(folder, values)
        if diagnostic.source == "schema"
    ]
