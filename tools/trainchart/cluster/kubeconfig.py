"""Kubeconfigs, read once and merged as kubectl does it; whatever else lies under that name is told in one line, and quickly.

The official client would read them itself, three times, and takes minutes for a large file that is something else.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from trainchart.cluster.errors import KubeconfigError
from trainchart.cluster.fields import Object
from trainchart.errors import FileError
from trainchart.files import read_bytes

MAX_BYTES = 4 << 20
"""Some thousand clusters with their certificates."""
MAX_VALUES = 200_000
MAX_DEPTH = 100

# libyaml where PyYAML was built with it
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_LISTS = {"clusters": "cluster", "users": "user", "contexts": "context"}
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
"""Names of files, which count from the kubeconfig's own folder."""


def load(files: str) -> Object:
    """What the kubeconfigs of a list say together: of two entries of a name the first counts. One that is not there says nothing.

    Raises:
        KubeconfigError: one of them cannot be read, or is none.
    """
    merged: Object = {"apiVersion": "v1", "kind": "Config", **{key: [] for key in _LISTS}}
    for name in filter(None, files.split(os.pathsep)):
        path = Path(name).expanduser()
        if not path.exists():
            continue
        one = _one(path)
        for key, inner in _LISTS.items():
            known = {entry["name"] for entry in merged[key]}
            merged[key] += [
                _with_absolute_paths(entry, inner, path.parent.absolute())
                for entry in one.get(key) or []
                if entry["name"] not in known
            ]
        if not merged.get("current-context"):
            merged["current-context"] = one.get("current-context") or ""
    return merged


def _one(path: Path) -> Object:
    try:
        content = read_bytes(str(path), MAX_BYTES + 1)
    except FileError as error:
        raise KubeconfigError(f"the kubeconfig {path}: {error}; name another by --kubeconfig") from None
    if len(content) > MAX_BYTES:
        raise _refused(path, f"it is larger than {MAX_BYTES >> 20} MiB")
    try:
        text = content.decode("utf-8")
        _check_size(path, text)
        found: Object = yaml.load(text, Loader=_Loader)  # noqa: S506 - it is a safe one
    except UnicodeDecodeError:
        raise _refused(path, "it is not text in UTF-8") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        raise _refused(path, " ".join(str(error).split())) from None
    if not _is_kubeconfig(found):
        raise _refused(path, "it does not have the form of one")
    return found


def _check_size(path: Path, text: str) -> None:
    """Before it is built: a parser of C that goes as deep as the text has no way back, and aliases grow without end."""
    depth = values = 0
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []  # with how many values there were before it
    for event in yaml.parse(text, Loader=_Loader):
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append((anchor, values))
            depth, values = depth + 1, values + 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            depth -= 1
            if anchor:
                sizes[anchor] = values - before
        elif isinstance(event, yaml.AliasEvent):
            values += sizes.get(str(anchor), MAX_VALUES)  # of what is around it there is no end
        elif isinstance(event, yaml.ScalarEvent):
            values += 1
            if anchor:
                sizes[anchor] = 1
        if depth > MAX_DEPTH or values > MAX_VALUES:
            raise _refused(path, f"it has more than {MAX_VALUES:,} values, or more than {MAX_DEPTH} levels")


def _is_kubeconfig(found: Any) -> bool:
    if not isinstance(found, dict) or not isinstance(found.get("current-context") or "", str):
        return False
    for key, inner in _LISTS.items():
        entries = found.get(key) or []
        if not isinstance(entries, list):
            return False
        for entry in entries:
            if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
                return False
            if not isinstance(entry.get(inner) or {}, dict):
                return False
    return any(found.get(key) for key in (*_LISTS, "current-context"))


def _with_absolute_paths(entry: Object, inner: str, folder: Path) -> Object:
    body = dict(entry.get(inner) or {})
    for key in _FILES:
        if isinstance(body.get(key), str) and body[key]:
            body[key] = str(folder / body[key])
    plugin = body.get("exec")
    if isinstance(plugin, dict) and isinstance(plugin.get("command"), str) and os.sep in plugin["command"]:
        body["exec"] = {**plugin, "command": str(folder / plugin["command"])}
    return {**entry, inner: body}


def _refused(path: Path, why: str) -> KubeconfigError:
    return KubeconfigError(f"the kubeconfig {path} cannot be used: {why}; name another by --kubeconfig")
