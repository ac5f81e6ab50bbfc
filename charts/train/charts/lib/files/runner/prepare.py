"""Stage prepare: every source on disk at its pinned commit, and a dataset that the trainer can read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from . import checkout, dataset, inside, lfs, log, manifest, trees, view
from .context import Context, Pinned
from .errors import RunnerError
from .family import Family
from .git import Git
from .remote import Remote
from .settings import Source
from .workspace import Room

CHECKED_BY = "checked-by"  # the last attempt that compared the sources with their manifests


def prepare(context: Context, family: Family, check_push_access: Callable[[], None]) -> Optional[int]:
    """Fetch and check the sources. Returns their bytes, or None if an earlier attempt or another pod has done it all.

    Rank 0 calls `check_push_access` before anything slow: it raises if the result could not be pushed.
    """
    settings = context.settings
    git = Git(context)
    separate = settings.replicas > 1 and not settings.workspace.shared and bool(settings.sources)
    if separate and context.rank > 0:
        from features import gang

        context.sources = gang.receive(context, "commits", gang.parse_pins)
    with context.workspace.lock():
        context.lease.check()  # waiting for the lock may have taken long
        if not separate or context.rank == 0:
            context.sources = pin(context, git)
        if separate and context.rank == 0:
            from features import gang

            gang.send(context, "commits", {name: asdict(pinned) for name, pinned in context.sources.items()})
        if context.rank == 0:
            check_push_access()
        marked = context.workspace.is_marked("prepare", depends_on(context))
        if marked and context.rank > 0 and context.workspace.read(CHECKED_BY) == _attempt(context):
            dataset.report(context)
            return None  # another rank of this attempt has just checked
        total = 0
        for name, source in settings.sources.items():
            total += place(context, git, name, source, family)
            if name == "model" and not marked and family.has("programs"):
                started = family.call("programs", "prepare-failed")
                family.probe("imports", {"model": str(context.model), **started}, "prepare-failed")
        if context.settings.workspace.shared:
            context.lease.check()
            context.workspace.write(CHECKED_BY, _attempt(context))
        if marked and context.workspace.is_marked("prepare", depends_on(context)):
            dataset.report(context)
            return None  # nothing was fetched again, which would have removed the mark
        refuse_links_outside(context)
        dataset.check(context, family, checked(context))
        dataset.report(context)
        context.lease.check()
        context.workspace.mark("prepare", depends_on(context))
        return total


def refuse_links_outside(context: Context) -> None:
    """Raise RunnerError for a link in a source to a file outside, which could be a mounted Secret: it would be read as
    data.
    """
    places = {name: context.source_path(name) for name in context.settings.sources}
    sources = inside.Sources(*places.values(), *context.view_targets)
    for name, tree in places.items():
        link = next(sources.links_outside(tree), None)
        if link is not None:
            raise RunnerError(
                "prepare-failed",
                f"{name}: {link.relative_to(tree.resolve())} is a link to {link.resolve()}, outside of the run's sources",
                "put the file itself in its place, or remove the link",
            )


def _attempt(context: Context) -> str:
    return f"{context.uid}/{context.attempt}"


def _before_change(context: Context) -> None:
    """Call it before a source is changed: until it is complete again, stage prepare counts as unfinished."""
    context.lease.check()
    context.workspace.unmark("prepare")


def checked(context: Context) -> Dict[str, Any]:
    """Return the settings that the family's probe checks against the sources."""
    return {
        "train": context.train,
        "maxBroken": context.settings.dataset.max_broken,
        "run": {
            "backend": context.settings.run.backend,
            "replicas": context.settings.replicas,
            "processes": context.settings.run.processes,
        },
        # In a search, parameters that are not settings of the family must be ones of its trainer.
        "hyperparameters": sorted(set(context.settings.tune.space) - set(context.train)),
    }


def _requested(context: Context) -> Dict[str, Any]:
    """What the settings name as sources, whichever Secret they are fetched with, and however they are checked."""
    settings = context.settings
    requested = {
        name: {**asdict(replace(source, secret_name="")), "path": settings.source_path(name)}
        for name, source in settings.sources.items()
    }
    requested.get("dataset", {}).pop("max_broken", None)
    return requested


def depends_on(context: Context) -> Any:
    return {
        "checked": checked(context),
        "settings": _requested(context),
        "pinned": {name: asdict(pinned) for name, pinned in context.sources.items()},
        "train": context.train,  # the family's probe has checked the data against it
    }


def pin(context: Context, git: Git) -> Dict[str, Pinned]:
    """Return the commit of each source. Once recorded it stays, whatever happens to the branch, until the settings name
    other sources; that of a claim stays for this run only.
    """
    requested = _requested(context)
    pins: Dict[str, Pinned] = {}
    try:
        recorded = json.loads(context.workspace.read("sources.json") or "{}")
        if recorded.get("requested") == requested:
            pins = {name: Pinned(**recorded["pinned"][name]) for name in requested}
            # A claim's content may have changed since another run, and no setting names it.
            if recorded.get("uid") != context.uid:
                pins = {name: pinned for name, pinned in pins.items() if requested[name]["type"] != "claim"}
    except (ValueError, KeyError, TypeError):
        log.event("warning", reason="state/sources.json is incomplete; the revisions are resolved again")
    if set(pins) == set(requested):
        return pins
    for name, source in context.settings.sources.items():
        if name not in pins:
            pins[name] = look_up(context, git, name, source, context.folder)
            if source.type == "claim":
                pins[name] = replace(pins[name], commit=_digest(Path(context.settings.mount(name))))
    recorded = {
        "uid": context.uid,
        "requested": requested,
        "pinned": {name: asdict(pinned) for name, pinned in pins.items()},
    }
    context.workspace.write("sources.json", json.dumps(recorded, indent=1) + "\n")
    return pins


def _digest(folder: Path) -> str:
    """Return 40 hexadecimal digits that identify the content of a claim's folder, by names, sizes and times; no file is
    read. What the pod may not list, such as `lost+found`, is ignored.
    """
    digest = hashlib.sha256()
    for top, folders, names in os.walk(str(folder)):
        folders.sort()
        for name in sorted([*names, *(inner for inner in folders if Path(top, inner).is_symlink())]):
            path = Path(top, name)
            with contextlib.suppress(OSError):
                found = path.lstat()
                to = os.readlink(str(path)) if path.is_symlink() else ""
                row = [str(path.relative_to(folder)), found.st_size, found.st_mtime_ns, to]
                digest.update(f"{json.dumps(row)}\n".encode("ascii"))
    return digest.hexdigest()[:40]


def look_up(context: Context, git: Git, name: str, source: Source, cwd: Path) -> Pinned:
    """Return the current commit of a source, from where it lies. Nothing is fetched."""
    if source.type == "git":
        return git.resolve(Remote(name, source.repository), source.revision, cwd)
    if source.type == "s3":
        from features import s3

        return Pinned(source.location, "", s3.digest(s3.listing(s3.Store.of(context.settings, name))))
    _mounted(context, name, source)
    return Pinned(source.location, "", "")


def place(context: Context, git: Git, name: str, source: Source, family: Optional[Family] = None) -> int:
    """Put a source into the run's folder, unless it is there already, and return its bytes. One on a claim or in the
    cache is linked.
    """
    context.lease.check()
    target, pinned = context.source_path(name), context.sources[name]
    before = partial(_before_change, context)
    if source.type == "claim":
        return _link_or_view(context, family, name, _mounted(context, name, source))
    if source.cached and context.settings.cache_folder:
        return _link_or_view(context, family, name, keep(context, git, name, source))
    state = context.workspace.state
    return manifest.ensure(
        name,
        target,
        state / f"{name}.manifest",
        context.folder,
        _identity(source, pinned),
        partial(_fetch, context, git, name, source, target, state / f"{name}.s3", context.workspace.room),
        before,
    )


def keep(context: Context, git: Git, name: str, source: Source, user: Optional[str] = None) -> Path:
    """Return the folder of the cache that has a source, filled if need be; `user` as for `cache.entry`."""
    from features import cache

    fill = partial(_fetch, context, git, name, source)
    identity = _identity(source, context.sources[name])
    return cache.entry(context.settings, f"{name}.cached", identity, fill, user)


def _identity(source: Source, pinned: Pinned) -> manifest.Source:
    location = pinned.repository + (" with its submodules" if source.submodules else "")
    return {"type": source.type, "location": location, "commit": pinned.commit}


def _fetch(
    context: Context, git: Git, name: str, source: Source, tree: Path, state: Path, room: Room
) -> Tuple[int, Mapping[str, str]]:
    """Fetch what `tree`, an existing folder, lacks. `state` is a file beside it that later attempts read. Returns bytes
    and digests.
    """
    pinned = context.sources[name]
    if source.type == "git":
        return checkout.fetch(git, name, pinned, tree, room, source.submodules)
    from features import s3

    store = s3.Store.of(context.settings, name)
    items = s3.listing(store)
    if s3.digest(items) != pinned.commit:
        raise RunnerError(
            "prepare-failed",
            f"{name}: the objects below {source.location} are not the pinned ones: they have changed since",
            "do not change them while a run starts, and start a new run",
        )
    s3.fetch(store, items, tree, state, room)
    lfs.refuse_unusable(name, tree)
    return sum(item.size for item in items), {item.key: s3.content_digest(item) for item in items}


def _mounted(context: Context, name: str, source: Source) -> Path:
    """Return a claim's folder. Raises RunnerError if it is empty: the kubelet creates a missing subPath."""
    mount = Path(context.settings.mount(name))
    if not mount.is_dir() or not any(mount.iterdir()):
        raise RunnerError(
            "prepare-failed",
            f"{name}: claim {source.claim_name} is empty at {name}.subPath",
            f"correct {name}.claimName or {name}.subPath, or fill the volume",
        )
    return mount


def _link_or_view(context: Context, family: Optional[Family], name: str, where: Path) -> int:
    """Put a link, or a view, of a folder in the source's place. Returns its bytes."""
    copied = context.settings.run.family.writes_beside.get(name)
    if copied is None:
        return _link(context, name, where)

    def rewrites(path: Path) -> bool:
        return bool(family and family.has("rewrites") and family.call("rewrites", "prepare-failed", path))

    def fill() -> Tuple[int, Mapping[str, str]]:
        lfs.refuse_unusable(name, where)
        view.fill(context.source_path(name), where, copied or [], rewrites)
        return sum(path.stat().st_size for path in lfs.files(where)), {}

    # A claim's content may change at any time: each attempt makes a new view.
    commit = _attempt(context) if context.settings.sources[name].type == "claim" else context.sources[name].commit
    viewed = {"type": "view", "location": str(where), "commit": commit}
    record = context.workspace.state / f"{name}.manifest"
    return manifest.ensure(
        name, context.source_path(name), record, context.folder, viewed, fill, partial(_before_change, context)
    )


def _link(context: Context, name: str, where: Path) -> int:
    """Put a link in the source's place. Returns the bytes that it leads to."""
    target, record = context.source_path(name), context.workspace.state / f"{name}.manifest"
    linked = target.is_symlink() and os.readlink(str(target)) == str(where)
    if not linked or not context.workspace.is_marked("prepare", depends_on(context)):
        _before_change(context)
        if target.is_dir() and not target.is_symlink() and not record.exists():
            raise RunnerError(
                "prepare-failed",
                f"{target} is a folder in the workspace, and this run needs a link there",
                "use another workspace.directory, or remove the folder",
            )
        trees.remove(target, context.folder)
        trees.remove(record, context.folder)
        trees.make(target.parent, context.folder)
        target.symlink_to(where)
        lfs.refuse_unusable(name, where)
    return sum(path.stat().st_size for path in lfs.files(where))
