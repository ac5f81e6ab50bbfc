"""Stage prepare: every source on disk as it was pinned, and a dataset the trainer can read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from . import checkout, inside, lfs, log, manifest, trees, view
from .context import Context, Pinned
from .errors import RunnerError
from .family import Family
from .git import Git
from .remote import Remote
from .settings import Source
from .workspace import Room

LOOKED_AT = "looked-at"  # the attempt that compared the sources with their manifests last


def prepare(context: Context, family: Family, may_push: Callable[[], None]) -> Optional[int]:
    """The bytes of the sources, or None where an earlier attempt or another pod has done it all.

    `may_push` is asked by rank 0 before anything that takes long: it raises where the result could not be pushed.
    """
    settings = context.settings
    git = Git(context)
    apart = settings.topology.replicas > 1 and not settings.workspace.shared and bool(settings.sources)
    if apart and context.rank > 0:
        from features import gang

        context.sources = gang.ask(context, "commits", gang.parse_pins)
    with context.workspace.lock():
        context.lease.check()  # the lock may have come late
        if not apart or context.rank == 0:
            context.sources = pin(context, git)
        if apart and context.rank == 0:
            from features import gang

            gang.tell(context, "commits", {name: asdict(pinned) for name, pinned in context.sources.items()})
        if context.rank == 0:
            may_push()
        marked = context.workspace.is_marked("prepare", depends_on(context))
        if marked and context.rank > 0 and context.workspace.read(LOOKED_AT) == _attempt(context):
            return None  # another rank of this attempt has just looked
        total = sum(place(context, git, name, source, family) for name, source in settings.sources.items())
        if context.settings.workspace.shared:
            context.lease.check()
            context.workspace.write(LOOKED_AT, _attempt(context))
        if marked and context.workspace.is_marked("prepare", depends_on(context)):
            return None  # and nothing had to be placed again, which takes the mark away
        refuse_strays(context)
        folders = {"model": str(context.model), "dataset": str(context.dataset)}
        family.probe("dataset", {**folders, **checked(context)}, "prepare-failed")
        context.lease.check()
        context.workspace.mark("prepare", depends_on(context))
        return total


def refuse_strays(context: Context) -> None:
    """A link of a source to a file outside would be read as data, and perhaps shown: the Secrets are mounted here too."""
    places = {name: context.source_path(name) for name in context.settings.sources}
    sources = inside.Sources(*places.values(), *context.views_lead_to)
    for name, tree in places.items():
        link = next(sources.strays(tree), None)
        if link is not None:
            raise RunnerError(
                "prepare-failed",
                f"{name}: {link.relative_to(tree.resolve())} is a link to {link.resolve()}, outside of the run's sources",
                "put the file itself in its place, or remove the link",
            )


def _attempt(context: Context) -> str:
    return f"{context.uid}/{context.attempt}"


def _changing(context: Context) -> None:
    """Before anything of a source is changed: what a failure leaves is marked by nobody."""
    context.lease.check()
    context.workspace.unmark("prepare")


def checked(context: Context) -> Dict[str, Any]:
    """The settings that the family's probe holds against the sources."""
    return {
        "train": context.train,
        # Of a search: what is no setting of the family's must be one of its trainer's.
        "hyperparameters": sorted(set(context.settings.tune.space) - set(context.train)),
    }


def depends_on(context: Context) -> Any:
    return {
        "checked": checked(context),
        "settings": asdict(context.settings)["sources"],
        "pinned": {name: asdict(pinned) for name, pinned in context.sources.items()},
        "train": context.train,  # which the family's probe has held the data against
    }


def pin(context: Context, git: Git) -> Dict[str, Pinned]:
    """What each source is now. Once recorded it stays, whatever happens to the branch, until the settings name other sources; what
    is on a claim, for this run.
    """
    asked = asdict(context.settings)["sources"]
    pins: Dict[str, Pinned] = {}
    try:
        recorded = json.loads(context.workspace.read("sources.json") or "{}")
        if recorded.get("asked") == asked:
            pins = {name: Pinned(**recorded["pinned"][name]) for name in asked}
            if recorded.get("uid") != context.uid:  # another run saw another claim: no setting names what lies on it
                pins = {name: pinned for name, pinned in pins.items() if asked[name]["type"] != "claim"}
    except (ValueError, KeyError, TypeError):
        log.event("warning", reason="state/sources.json is not whole; the revisions are looked up again")
    if set(pins) == set(asked):
        return pins
    for name, source in context.settings.sources.items():
        if name not in pins:
            pins[name] = look_up(context, git, name, source, context.folder)
            if source.type == "claim":
                pins[name] = replace(pins[name], commit=_digest(Path(source.mount)))
    recorded = {"uid": context.uid, "asked": asked, "pinned": {name: asdict(pinned) for name, pinned in pins.items()}}
    context.workspace.write("sources.json", json.dumps(recorded, indent=1) + "\n")
    return pins


def _digest(folder: Path) -> str:
    """40 hexadecimal digits that stand for what lies in a claim's folder, by name, size and time: nothing is read. What may not be
    looked at, such as `lost+found`, is no data either.
    """
    digest = hashlib.sha256()
    for top, folders, names in os.walk(str(folder)):
        folders.sort()
        for name in sorted([*names, *(inner for inner in folders if Path(top, inner).is_symlink())]):
            path = Path(top, name)
            with contextlib.suppress(OSError):
                found = path.lstat()
                to = os.readlink(str(path)) if path.is_symlink() else ""  # noqa: PTH115 (Path's is newer than 3.8)
                row = [str(path.relative_to(folder)), found.st_size, found.st_mtime_ns, to]
                digest.update(f"{json.dumps(row)}\n".encode("ascii"))
    return digest.hexdigest()[:40]


def look_up(context: Context, git: Git, name: str, source: Source, cwd: Path) -> Pinned:
    """What a source is now, by asking where it lies; nothing is fetched."""
    if source.type == "git":
        return git.resolve(Remote(name, source.repository), source.revision, cwd)
    if source.type == "s3":
        from features import s3

        return Pinned(source.location, "", s3.digest(s3.listing(_store(context, name, source))))
    _mounted(name, source)
    return Pinned(source.location, "", "")


def place(context: Context, git: Git, name: str, source: Source, family: Optional[Family] = None) -> int:
    """Bring a source to its place in the run's folder, unless it is there; what lies elsewhere (claim, cache) is linked there.

    Returns its bytes.
    """
    context.lease.check()
    target, pinned = context.source_path(name), context.sources[name]
    before = partial(_changing, context)
    if source.type == "claim":
        return _lead_to(context, family, name, _mounted(name, source))
    if source.cached and context.settings.cache.path:
        from features import cache

        fill = partial(_fetch, context, git, name, source)
        kept = cache.entry(context.settings.cache, f"{name}.cached", _identity(source, pinned), fill)
        return _lead_to(context, family, name, kept)
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


def _identity(source: Source, pinned: Pinned) -> manifest.Source:
    return {"type": source.type, "location": pinned.repository, "commit": pinned.commit}


def _fetch(
    context: Context, git: Git, name: str, source: Source, tree: Path, state: Path, room: Room
) -> Tuple[int, Mapping[str, str]]:
    """What is missing in `tree`, which is there. `state` is a file beside it, for what outlives an attempt. Returns bytes and digests."""
    pinned = context.sources[name]
    if source.type == "git":
        return checkout.fetch(git, name, pinned, tree, room)
    from features import s3

    store = _store(context, name, source)
    items = s3.listing(store)
    if s3.digest(items) != pinned.commit:
        raise RunnerError(
            "prepare-failed",
            f"{name}: the objects below {source.location} are not those that the run has pinned; they have changed since",
            "let them be while a run starts, and start a new run",
        )
    s3.fetch(store, items, tree, state, room)
    lfs.refuse_pointers(name, tree)
    return sum(item.size for item in items), {item.key: s3.content_digest(item) for item in items}


def _store(context: Context, name: str, source: Source) -> Any:
    from features import s3

    return s3.Store(
        key=name,
        endpoint=source.endpoint,
        bucket=source.bucket,
        prefix=source.prefix,
        region=source.region,
        credentials=source.credentials,
        access_key_name=source.access_key_key,
        secret_key_name=source.secret_key_key,
        secret_name=source.secret_name,
        ca_bundle=context.settings.git.ca_bundle,
    )


def _mounted(name: str, source: Source) -> Path:
    """A claim's folder. The kubelet makes a subPath that is not there, so an empty one is a wrong one."""
    mount = Path(source.mount)
    if not mount.is_dir() or not any(mount.iterdir()):
        raise RunnerError(
            "prepare-failed",
            f"{name}: claim {source.claim} has nothing at {name}.subPath",
            f"correct {name}.claimName or {name}.subPath, or fill the volume",
        )
    return mount


def _lead_to(context: Context, family: Optional[Family], name: str, where: Path) -> int:
    """A link to what lies elsewhere, or a view of it. Returns its bytes."""
    copied = context.settings.family.writes_beside.get(name)
    if copied is None:
        return _link(context, name, where)

    def rewrites(path: Path) -> bool:
        return bool(family and family.has("rewrites") and family.call("rewrites", "prepare-failed", path))

    def fill() -> Tuple[int, Mapping[str, str]]:
        lfs.refuse_pointers(name, where)
        view.fill(context.source_path(name), where, copied or [], rewrites)
        return sum(path.stat().st_size for path in lfs.files(where)), {}

    # Nothing holds what is on a claim: each attempt looks anew.
    commit = _attempt(context) if context.settings.sources[name].type == "claim" else context.sources[name].commit
    of = {"type": "view", "location": str(where), "commit": commit}
    record = context.workspace.state / f"{name}.manifest"
    return manifest.ensure(
        name, context.source_path(name), record, context.folder, of, fill, partial(_changing, context)
    )


def _link(context: Context, name: str, where: Path) -> int:
    """A link at the source's place to where it lies. Returns the bytes behind it."""
    target, record = context.source_path(name), context.workspace.state / f"{name}.manifest"
    linked = target.is_symlink() and os.readlink(str(target)) == str(where)  # noqa: PTH115 (Path's is newer than 3.8)
    if not linked or not context.workspace.is_marked("prepare", depends_on(context)):
        _changing(context)
        if target.is_dir() and not target.is_symlink() and not record.exists():
            raise RunnerError(
                "prepare-failed",
                f"{target} is a folder in the workspace, and this run would put a link there",
                "use another workspace.directory, or remove the folder",
            )
        trees.remove(target, context.folder)
        trees.remove(record, context.folder)
        trees.make(target.parent, context.folder)
        target.symlink_to(where)
        lfs.refuse_pointers(name, where)
    return sum(path.stat().st_size for path in lfs.files(where))
