"""Check values against the chart's schema, and explain each violation so that a person can act on it.

`jsonschema_rs` gives the verdict. Its messages are about schemas ("is not valid under any of the schemas listed in the
'anyOf' keyword"), so the messages here are written from scratch, from the keyword of the schema that was violated.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from itertools import islice
from pathlib import Path as FilePath
from typing import Any

import jsonschema_rs

from trainchart.chart.paths import CHART, EDITOR_SCHEMA, LIB
from trainchart.errors import RenderError
from trainchart.files import Tree, overlay
from trainchart.terminal import printable
from trainchart.values.characters import CONTROL, LINE, LINES
from trainchart.values.positions import Path
from trainchart.values.words import ALSO, INSTEAD, MUST_BE, PATTERN, plain

Schema = dict[str, Any]
_Kind = jsonschema_rs.ValidationErrorKind

_TYPES = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a map",
}
# In every spelling, mistyped ones too; what is behind the @ of an image is its digest.
_USER_OF_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*:?/+|//|(?<!\S)(?=[^\s/]*:))[^\s]*(?:@(?!sha256:)|%40)", re.IGNORECASE)
_QUERY_OF_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^?#\s]*)[?#]\S*", re.IGNORECASE)
_CONTROL = re.compile(f"[{CONTROL}]")
_LONGEST = 60
_TOKEN = 16
"""The length from which a text may be a token, or the secret of an access key."""
_FIXES = {"--set": ("use --set-string", "use --set-json"), "--set-string": ("write it as text", "use --set-json")}
"""What to do about a value of the wrong type that Helm has read from an option: for text that is wanted, and for other types."""
_HELM = ("global", LIB.name)
"""Keys that Helm itself puts into the values; no message suggests them."""
_COMMON = ("enabled", "image", "name", "profile", "size", "type")
"""Keys that say nothing of the section that they were meant for."""
_SHOWN = 4
"""How many examples or places a message shows."""
_LIMITS = (_Kind.Minimum, _Kind.Maximum, _Kind.ExclusiveMinimum, _Kind.ExclusiveMaximum)
NO_LIMIT = 2**31 - 1
"""A maximum that is left out of messages, because it only says that a number has to fit into 32 bits."""
MOST = 100
"""The number of violations that are reported; more of them mean that the file is the wrong one."""


@dataclass(frozen=True)
class Violation:
    """A value that the schema does not allow; `message` follows the key."""

    path: Path
    value: Any
    message: str


def violations(
    values: Tree,
    schema_file: FilePath,
    option_of: Callable[[Path], str] = lambda _: "",
    written: Callable[[Path], str] = lambda _: "",
) -> list[Violation]:
    """The violations of the schema in the effective values, at most MOST of them and each once.

    Args:
        values: the effective values.
        schema_file: the schema; a chart need not have one.
        option_of: returns the option that gave a value, such as --set; "" for those of files.
        written: returns a number, true or false as its file has it, such as 7.0 and 010; "" for other values.

    Raises:
        RenderError: it is not a JSON Schema.
    """
    if not schema_file.exists():
        return []
    schema, validator = _load(schema_file)
    if validator.is_valid(values):  # much faster than iter_errors
        return []
    explain = _Explainer(schema, values, option_of, written)
    found = explain.errors(validator.iter_errors(values))
    # A value can violate the general schema and the family's with the same message.
    first = list({(violation.path, violation.message): violation for violation in islice(found, MOST)}.values())
    more = next(found, None)
    return (
        [*first, Violation((), None, f"more than {MOST} values are wrong; these are some of them")] if more else first
    )


def format_value(value: Any) -> str:
    """A value in a message: shortened, and without the user and password of a URL."""
    if isinstance(value, str):
        text = printable(without_password(value))
        return f"'{text}'" if len(text) <= _LONGEST else f"'{text[: _LONGEST - 3]}...'"
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list):
        return "a list"
    return "empty" if value is None else json.dumps(value)


def without_password(value: Any) -> Any:
    """A value without the users, passwords and queries of its URLs, at every depth: findings end up in logs."""
    if isinstance(value, str):
        return _QUERY_OF_URL.sub(r"\1?***", _USER_OF_URL.sub(r"\1***@", value))
    if isinstance(value, dict):
        return {key: without_password(item) for key, item in value.items()}
    return [without_password(item) for item in value] if isinstance(value, list) else value


def format_path(path: Sequence[str | int]) -> str:
    """A path in a message: tolerations[0].key."""
    name = ""
    for key in path:
        if isinstance(key, int):
            name += f"[{key}]"
        elif re.fullmatch(r"[\w-]+", key):
            name += f".{key}" if name else key
        else:
            name += f"[{json.dumps(key, ensure_ascii=False)}]"
    return printable(name)


class _Explainer:
    """Turns the validator's errors into violations."""

    def __init__(
        self, schema: Schema, values: Tree, option_of: Callable[[Path], str], written: Callable[[Path], str]
    ) -> None:
        self._schema = schema
        self._values = values
        self._option_of = option_of
        self._written = written

    def errors(self, errors: Iterable[jsonschema_rs.ValidationError]) -> Iterator[Violation]:
        """The violations of all errors. Of a value of the wrong type, limits are not reported too."""
        wrong_type: set[tuple[str | int, ...]] = set()
        for error in errors:
            path = tuple(error.instance_path)
            if isinstance(error.kind, _Kind.Type):
                wrong_type.add(path)
            elif path in wrong_type and isinstance(error.kind, _LIMITS):
                continue
            yield from self.error(error)

    def error(self, error: jsonschema_rs.ValidationError) -> Iterator[Violation]:
        path, value, kind = tuple(error.instance_path), error.instance, error.kind
        if isinstance(kind, _Kind.AnyOf):
            yield from self._union(error, kind.context)
        elif isinstance(kind, _Kind.AdditionalProperties):
            node = self._at(error.schema_path[:-1])
            allowed = node.get("properties", {})
            patterns = [name for name, below in node.get("patternProperties", {}).items() if "not" not in below]
            for key in kind.unexpected:
                found = value[key] if isinstance(value, dict) else None
                if _unprintable(key, LINE) is None:  # else the error of its name is enough
                    message = (
                        _no_such_name(node.get("propertyNames", {}))
                        if patterns and not allowed
                        else self._unknown(key, node, allowed, path)
                    )
                    yield Violation((*path, key), found, message)
        elif isinstance(kind, _Kind.PropertyNames):
            names = self._resolved(self._at(error.schema_path[:-1]))
            for key, found in value.items() if isinstance(value, dict) else ():
                if fault := _unprintable(key, LINE):
                    yield Violation((*path, key), found, f"the key {fault}")
                elif not jsonschema_rs.is_valid(names, key):
                    yield Violation((*path, key), found, _no_such_name(names))
        elif isinstance(kind, _Kind.Required):
            yield Violation(path, value, f"has no key {kind.property}, which is required")
        else:
            yield Violation(path, value, self._message(error, value))

    def _union(
        self, error: jsonschema_rs.ValidationError, branches: list[list[jsonschema_rs.ValidationError]]
    ) -> Iterator[Violation]:
        """`X | "" | null`: the errors of the branch whose type the value has, else the types that are allowed."""
        path, value = tuple(error.instance_path), error.instance
        for branch in branches:
            other_kind = any(
                tuple(inner.instance_path) == path
                and (isinstance(inner.kind, _Kind.Type) or _requires_empty(inner.kind))
                for inner in branch
            )
            if not other_kind:
                for inner in branch:
                    yield from self.error(inner)
                return
        schemas = [self._resolved(branch) for branch in self._at(error.schema_path)]
        yield Violation(path, value, self._is_not(value, schemas, path))

    def _message(self, error: jsonschema_rs.ValidationError, value: Any) -> str:
        kind = error.kind
        where = error.schema_path
        form = self._at(where[:-1]).get(PATTERN, "") if isinstance(kind, _Kind.Pattern) else ""
        found = self._written(tuple(error.instance_path)) or _shown(value, tuple(error.instance_path), form)
        if isinstance(kind, _Kind.Type) or _requires_empty(kind):
            return self._is_not(value, [self._at(where[:-1])], tuple(error.instance_path))
        if isinstance(kind, _Kind.Minimum):
            return f"{found} is less than {_number(kind.limit)}"
        if isinstance(kind, _Kind.ExclusiveMinimum):
            return f"{found} is not more than {_number(kind.limit)}"
        if isinstance(kind, _Kind.ExclusiveMaximum):
            return f"{found} is not less than {_number(kind.limit)}"
        if isinstance(kind, _Kind.Maximum):
            return f"{found} is more than {_number(kind.limit)}"
        if isinstance(kind, _Kind.Pattern) and (fault := _unprintable(str(value), kind.pattern)):
            return f"{found} {fault}"
        if isinstance(kind, _Kind.Pattern):
            return self._no_match(str(value), found, kind.pattern, form, tuple(error.instance_path))
        if isinstance(kind, _Kind.MaxLength):
            return f"{found} has {len(value)} characters; the maximum is {kind.limit}"
        if isinstance(kind, (_Kind.MinItems, _Kind.MinProperties)):
            return f"is empty and needs at least {kind.limit}; add one, or leave this out"
        if isinstance(kind, _Kind.MaxItems):
            return f"has {len(value)} entries; the maximum is {kind.limit}"
        if isinstance(kind, _Kind.Constant):
            return f"{found} is not {kind.expected_value}, the only value that is allowed here"
        if isinstance(kind, _Kind.Enum):
            choices = [choice for choice in self._at(where) if choice not in ("", None)]
            if instead := self._at(where[:-1]).get(INSTEAD, {}).get(plain(str(value))):
                return f"{found} is not one of {', '.join(map(str, choices))}; {instead}"
            suggestion = closest(str(value), [str(choice) for choice in choices])
            meant = f"; did you mean '{suggestion}'?" if suggestion else ""
            if value is False and "no" in choices:
                meant = "; put it in quotes: 'no' (YAML reads no without them as false)"
            return f"{found} is not one of {', '.join(map(str, choices))}{meant}"
        if isinstance(kind, _Kind.Not):
            return f"cannot be set: {self._at(where[:-1])['description']}; leave it out"
        # Keywords that the schema does not use yet: the validator's own message is right, if not friendly.
        return " ".join(without_password(error.message).split())

    def _no_match(self, value: str, found: str, pattern: str, form: str, path: Path) -> str:
        """The message for a text that does not have the form that is needed; `found` is how it is shown."""
        examples = [str(example) for example in self._examples(path) if not isinstance(example, (dict, list))]
        like = f"such as {' or '.join(examples[:_SHOWN])}" if examples else ""
        form = form.removeprefix(MUST_BE)
        wanted = ", ".join(filter(None, (form, like))) if form else like or "what is expected"
        known = closest(value, examples) if len(examples) > _SHOWN else None  # these are all there are, not samples
        if known:
            meant = f"; did you mean '{known}'?"
        else:
            meant = f"; write {value}s for seconds" if _is_duration(pattern, value) else _meant_quantity(pattern, value)
        return f"{found} is not {wanted}{meant}"

    def _is_not(self, value: Any, schemas: list[Schema], path: Path) -> str:
        """The message for a value of the wrong type: the right type, and the likely mistake."""
        kinds = [_described(kind, schema, self._examples(path)) for schema in schemas for kind in _kinds(schema)]
        expected = " or ".join(dict.fromkeys(kinds)) or "empty"
        if value is None:
            return f"is empty; write {expected}"
        hint = _hint(value, schemas, self._option_of(path), self._written(path))
        found = self._written(path) or format_value(value)
        instead_of_a_map = all("object" in _kinds(schema) for schema in schemas if _kinds(schema))
        if isinstance(value, str) and (
            path[:1] in (("secretEnv",), ("secretFiles",)) or (instead_of_a_map and _is_token(value))
        ):
            found = "its value"  # which may be the secret itself
        return f"{found} is not {expected}{hint or self._right_form(value, schemas, path)}"

    def _right_form(self, value: Any, schemas: list[Schema], path: Path) -> str:
        """An example, where a list or a map was written for something else, or the other way around."""
        if path[0] == "env" and isinstance(value, dict) and "valueFrom" in value:
            return f"; for a key of a Secret write secretEnv: {{{path[-1]}: {{secretName: training-secrets, key: {path[-1]}}}}}"
        if path[0] in ("env", "podAnnotations") and len(path) == 2 and isinstance(value, (list, dict)):
            return "; write it as text: its JSON in single quotes"
        types = {kind for schema in schemas for kind in _kinds(schema)}
        if not (isinstance(value, (list, dict)) or types & {"array", "object"}):
            return ""
        for end in range(len(path), 0, -1):
            for declared in self._declared(path[:end]):
                examples = declared.get("examples", ())
                if isinstance(value, list) and any("," in str(example) for example in examples) and "string" in types:
                    examples = [",".join(map(str, value))]
                for example in examples[:1]:
                    in_map = isinstance(path[end - 1], str)
                    return f"; write {path[end - 1]}: {_flow(example)}" if in_map else f"; write {_flow(example)}"
            if isinstance(path[end - 1], str):
                break
        keys = sorted(
            {key for declared in map(self._resolved, self._declared(path)) for key in declared.get("properties", ())}
        )
        return f"; its keys are {', '.join(keys)}" if keys else ""

    def _unknown(self, key: str, section: Schema, allowed: Mapping[str, Any], path: Path) -> str:
        if instead := self._instead(key, section, path):
            return f"unknown key; {instead}"
        names = {name: name for name in allowed if path or name not in _HELM}
        for name, below in allowed.items():
            names.update(dict.fromkeys(below.get(ALSO, ()), name))
        suggestion = closest(key, list(names))
        exact = suggestion and plain(suggestion) == plain(key)
        elsewhere = "" if exact or (path and (suggestion or key in _COMMON)) else self._written_elsewhere(key)
        if elsewhere:
            return f"unknown key here, did you mean {elsewhere}?"
        if suggestion:
            return f"unknown key, did you mean '{names[suggestion]}'?"
        place = f"{format_path(path)} has" if path else "there are"
        more = f"{self._more_options((*path, 'arguments'))}; " if "arguments" in allowed else ""
        return f"unknown key; {more}{place} {', '.join(sorted(set(names.values())))}"

    def _more_options(self, path: Path) -> str:
        examples = [f", such as {_flow(example)}" for example in self._examples(path)]
        return f"other options of the trainer go into {format_path(path)}{(examples or [''])[0]}"

    def _instead(self, key: str, section: Schema, path: Path) -> str:
        """What people who write this key have to do instead; "" if it is simply unknown."""
        sections = [section, *(declared for declared in self._declared(path) if INSTEAD in declared)]
        words = {plain(name): str(text) for one in sections for name, text in one.get(INSTEAD, {}).items()}
        return next((text for name, text in words.items() if fnmatchcase(plain(key), name)), "")

    def _written_elsewhere(self, key: str) -> str:
        """The other places for a key of this name, or for which people use it: `epochs` at the top level is `train.epochs`."""
        places = {
            format_path(place): None
            for place, below in self._keys(self._schema, ())
            if place[0] not in _HELM
            and (place[-1] == key or plain(key) in [plain(name) for name in below.get(ALSO, ())])
        }
        return " or ".join(f"'{place}'" for place in places) if len(places) <= _SHOWN else ""

    def _keys(self, schema: Schema, path: Path) -> Iterator[tuple[Path, Schema]]:
        """The paths of all keys that the schema has for these values, the family's own included, and their schemas."""
        schema = self._resolved(schema)
        for name, below in schema.get("properties", {}).items():
            yield (*path, name), below
            yield from self._keys(below, (*path, name))
        for branch in (*schema.get("anyOf", ()), *schema.get("allOf", ())):
            condition = branch.get("if")
            if condition is None:
                yield from self._keys(branch, path)
            elif jsonschema_rs.is_valid(condition, self._values):
                yield from self._keys(branch.get("then", {}), path)

    def _examples(self, path: Path) -> list[Any]:
        """The examples of the key at a path, or of the map or list that it is an entry of."""
        for end in range(len(path), 0, -1):
            for declared in self._declared(path[:end]):
                if "examples" in declared:
                    return list(declared["examples"])
            if isinstance(path[end - 1], str) and end < len(path):
                break
        return []

    def _declared(self, path: Path) -> list[Schema]:
        """The schemas of the value at a path."""
        found = [self._schema]
        for key in path:
            found = [below for node in found for part in self._parts(node) for below in _entries(part, key)]
        return found

    def _parts(self, node: Schema) -> Iterator[Schema]:
        """A schema, and the schemas that it is composed of."""
        node = self._resolved(node)
        yield node
        for branch in (*node.get("anyOf", ()), *node.get("allOf", ())):
            condition = branch.get("if")
            if condition is None:
                yield from self._parts(branch)
            elif jsonschema_rs.is_valid(condition, self._values):
                yield from self._parts(branch.get("then", {}))

    def _resolved(self, schema: Schema) -> Schema:
        reference = schema.get("$ref", "")
        return self._at(reference.removeprefix("#/").split("/")) if reference else schema

    def _at(self, where: Sequence[str | int]) -> Any:
        node: Any = self._schema
        for key in where:
            node = node[key]
        return node


def _shown(value: Any, path: Path, form: str) -> str:
    """A value in a message; where the name of a Secret or of its key belongs, what is as long as a token may be one."""
    names = "key of a Secret" in form or path[-1:] == ("secretName",) or path[:1] == ("imagePullSecrets",)
    return "its value" if names and isinstance(value, str) and len(value) >= _TOKEN else format_value(value)


def _is_token(text: str) -> bool:
    """Whether a text may be a token: a long word that is neither a path nor a URL."""
    return bool(re.fullmatch(rf"[A-Za-z0-9._=+-]{{{_TOKEN},}}", text))


def _no_such_name(names: Mapping[str, Any]) -> str:
    form = names.get(PATTERN, "")
    return f"is not allowed as a key here{f'; it {form}' if form else ''}"


def _unprintable(text: str, pattern: str) -> str | None:
    """The forbidden character in a string, if the pattern is that of all strings; None for any other pattern."""
    if pattern not in (LINE, LINES):
        return None
    if found := dict.fromkeys(_CONTROL.findall(text)):
        codes = ", ".join(f"U+{ord(character):04X}" for character in found)
        return f"holds the control character{'s' if len(found) > 1 else ''} {codes}; take {'them' if len(found) > 1 else 'it'} out"
    for character, name in {"\n": "line break", "\t": "tab"}.items():
        if pattern == LINE and character in text:
            return f"holds a {name}; write it on one line" if character == "\n" else f"holds a {name}; write a space"
    return None


def _is_duration(pattern: str, value: str) -> bool:
    """Whether a number is no duration only because it has no unit."""
    return value.isdecimal() and bool(re.search(pattern, f"{value}s")) and not re.search(pattern, value)


def _meant_quantity(pattern: str, value: str) -> str:
    """The quantity that was meant by a size in the units of other programs: 20 GB, 1g, 512mib."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kmgtp])i?b?", value, re.IGNORECASE)
    meant = f"{match[1]}{match[2].upper()}i" if match else ""
    return f"; did you mean {meant}?" if meant and re.search(pattern, meant) else ""


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    import yaml

    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _entries(schema: Schema, key: str | int) -> Iterator[Schema]:
    """The schemas of an entry of a map or list."""
    if isinstance(key, int):
        candidates = [schema.get("items")]
    elif key in schema.get("properties", {}):
        candidates = [schema["properties"][key]]
    else:
        candidates = [schema.get("additionalProperties"), *schema.get("patternProperties", {}).values()]
    yield from (candidate for candidate in candidates if isinstance(candidate, dict))


def _requires_empty(kind: Any) -> bool:
    """Whether a string was refused because only the empty one is allowed."""
    return isinstance(kind, _Kind.MaxLength) and kind.limit == 0


def _kinds(schema: Schema) -> list[str]:
    """The types of a schema, without those that only mean "not configured"."""
    kinds = schema.get("type", "enum" if "enum" in schema else [])
    empty = ["null", *(["string"] if schema.get("maxLength") == 0 else [])]
    return [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind not in empty]


def _described(kind: str, schema: Schema, examples: list[Any]) -> str:
    """One of the types of a schema, in plain English."""
    if "enum" in schema:
        return "one of " + ", ".join(str(choice) for choice in schema["enum"] if choice not in ("", None))
    words = _TYPES.get(kind, "what is expected")
    numeric = kind in ("integer", "number")
    low, high = (schema.get(limit) if numeric else None for limit in ("minimum", "maximum"))
    if high == NO_LIMIT:
        high = None
    if low is not None and high is not None:
        return f"{words} from {_number(low)} to {_number(high)}"
    if low is not None:
        return f"{words} of at least {_number(low)}"
    if high is not None:
        return f"{words} of at most {_number(high)}"
    samples = [str(example) for example in examples if not isinstance(example, (dict, list))]
    if kind == "string" and schema.get("pattern", LINE) != LINE and samples:
        return f"{words} such as {' or '.join(samples[:_SHOWN])}"
    return words


def _hint(value: Any, schemas: list[Schema], option: str, written: str) -> str:
    types = {kind for schema in schemas for kind in _kinds(schema)}
    as_text, as_read = _FIXES.get(option, ("", "take it out of the quotes"))
    if isinstance(value, (int, float)) and "string" in types and "number" not in types:
        patterns = [schema.get("pattern", "") for schema in schemas]
        if value == 0 and any(_is_duration(one, "1") and not _is_duration(one, "0") for one in patterns):
            return ""  # no text of it is right either
        if any(_is_duration(schema.get("pattern", ""), str(value)) for schema in schemas):
            return f"; write {value}s for seconds"
        if as_text:
            return f"; {as_text}"
        quoted = f"put it in quotes: '{written}'" if written else "put it in quotes, as it is written"
        if isinstance(value, bool):
            return f"; {quoted} (YAML reads yes, no, on and off without them as true and false)"
        return f"; {quoted}"  # 010 was read as 8, and 1.10 as 1.1
    if isinstance(value, str):
        # As it would be read then: 010 is 8 in YAML, and no JSON, nor are +1 and yes.
        whole = r"-?(0|[1-9]\d*)" if option else r"[-+]?(0|[1-9]\d*)"
        number = rf"{whole}(\.\d+)?([eE][-+]?\d+)?" if "number" in types else whole
        if types & {"integer", "number"} and re.fullmatch(number, value):
            return f"; {as_read}"
        flags = ("true", "false") if option else ("true", "false", "yes", "no", "on", "off")
        if "boolean" in types and (value if option else value.lower()) in flags:
            return f"; {as_read}"
    return ""


def closest(word: str, known: list[str]) -> str | None:
    """The known word that was probably meant, ignoring case, - and _: a similar one, or the only one that begins with it."""
    by_word = {plain(name): name for name in known}
    matches = difflib.get_close_matches(plain(word), by_word, n=1, cutoff=0.7)
    if not matches and len(plain(word)) >= 3:
        begun = [name for name in by_word if name.startswith(plain(word))]
        matches = begun if len(begun) == 1 else []
    return by_word[matches[0]] if matches else None


def _number(limit: object) -> str:
    return str(int(limit)) if isinstance(limit, float) and limit.is_integer() else str(limit)


@cache
def _load(schema_file: FilePath) -> tuple[Schema, jsonschema_rs.Validator]:
    """The schema that messages are made from, and the validator. The chart's own has its examples in the editors' copy.

    Raises:
        RenderError: it is not one.
    """
    try:
        schema = json.loads(schema_file.read_text(encoding="utf-8"))
        validator = jsonschema_rs.validator_for(schema)
    except (OSError, ValueError) as error:
        raise RenderError(f"{schema_file} is not a JSON Schema: {error}") from None
    is_ours = schema_file == CHART / "values.schema.json" and EDITOR_SCHEMA.is_file()
    # Editors' has no keys that are Helm's own.
    explained = overlay(schema, json.loads(EDITOR_SCHEMA.read_text(encoding="utf-8"))) if is_ours else schema
    return explained, validator
