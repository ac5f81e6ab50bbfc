"""Read kubeconfigs and merge them as kubectl does. Any other file is refused quickly, with a message of one line.

The official client would read each three times, and takes minutes for a large file that is something else.
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
"""Enough for thousands of clusters with their certificates."""
MAX_VALUES = 200_000
MAX_DEPTH = 100

# libyaml, if PyYAML was built with it
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_LISTS = {"clusters": "cluster", "users": "user", "contexts": "context"}
_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
"""Fields with paths of files, which are relative to the kubeconfig."""


def load(files: str) -> Object:
    """The kubeconfigs of a list such as $KUBECONFIG, merged: the first entry of a name counts. Missing files are
    skipped.

    Raises:
        KubeconfigError: a file cannot be read, or is not a kubeconfig.
    """
    merged: Object = {"apiVersion": "v1", "kind": "Config", **{key: [] for key in _LISTS}}
    for name in filter(None, files.split(os.pathsep)):
        path = Path(name).expanduser()
        if not path.exists():
            continue
        config = _read(path)
        for key, inner in _LISTS.items():
            known = {entry["name"] for entry in merged[key]}
            merged[key] += [
                _with_absolute_paths(entry, inner, path.parent.absolute())
                for entry in config.get(key) or []
                if entry["name"] not in known
            ]
        if not merged.get("current-context"):
            merged["current-context"] = config.get("current-context") or ""
    return merged


def _read(path: Path) -> Object:
    try:
        content = read_bytes(str(path), MAX_BYTES + 1)
    except FileError as error:
        raise KubeconfigError(f"the kubeconfig {path}: {error}; name another by --kubeconfig") from None
    if len(content) > MAX_BYTES:
        raise _refused(path, f"it is larger than {MAX_BYTES >> 20} MiB")
    try:
        text = content.decode("utf-8")
        _check_size(path, text)
        found: Object = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except UnicodeDecodeError:
        raise _refused(path, "it is not UTF-8 text") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an invalid date
        raise _refused(path, " ".join(str(error).split())) from None
    if not _is_kubeconfig(found):
        raise _refused(path, "it is not a kubeconfig")
    return found


def _check_size(path: Path, text: str) -> None:
    """Refuse deep or huge documents before they are built: libyaml overflows its stack, and aliases multiply."""
    depth = values = 0
    sizes: dict[str, int] = {}
    opened: list[tuple[str | None, int]] = []  # anchor, and how many values came before
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
            values += sizes.get(str(anchor), MAX_VALUES)  # an alias inside its own anchor never ends
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


def _refused(path: Path, reason: str) -> KubeconfigError:
    return KubeconfigError(f"the kubeconfig {path} cannot be used: {reason}; name another by --kubeconfig")
