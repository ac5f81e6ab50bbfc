"""What earlier attempts left in the run's workspace, read by a helper pod, for Volcano deletes the pods of a failed
attempt.

The helper pod mounts the claim read-only, and nothing else. A claim that only one node may mount at a time is read on
the node of the run's last pods, which is requested by affinity: a nodeName would bypass taints and quotas, and some
admission webhooks refuse it.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trainchart.cluster import kinds
from trainchart.cluster.errors import NotFoundError
from trainchart.cluster.fields import Object, mapping, parsed, text, texts
from trainchart.run import helper_pod, release, state
from trainchart.run.helper_pod import HelperPodError
from trainchart.run.settings import settings_of
from trainchart.run.state import Snapshot

if TYPE_CHECKING:
    from trainchart.cluster.api import Api

_MOUNT = "/workspace"

# Arguments: the run's folder, the Job's UID or "", the attempt from 0 or "" for the last, then the names of files. What
# it prints goes through the node's log, which keeps some 10 MiB: it is compressed, and its hash shows whether it is
# complete.
_SCRIPT = """
import base64, hashlib, json, os, sys, zlib
folder, uid, attempt, names = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
logs = os.path.join(folder, "logs")
def listed(path):
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []
if not uid:
    uid = max(listed(logs), key=lambda name: os.path.getmtime(os.path.join(logs, name)), default="")
attempts = [name for name in listed(os.path.join(logs, uid)) if name[:8] == "attempt-"]
kept = {name[8:]: listed(os.path.join(logs, uid, name)) for name in attempts}
print(json.dumps({"attempts": kept}))
attempt = attempt or max(kept, key=int, default="")
where = os.path.join(logs, uid, "attempt-" + attempt) if attempt else folder
for name in listed(where):
    if name not in names and not ("rank-*.log" in names and name[:5] == "rank-"):
        continue
    with open(os.path.join(where, name), "rb") as handle:
        packer, digest = zlib.compressobj(6), hashlib.sha256()
        print(json.dumps({"file": name}))
        rest = b""
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
            rest += packer.compress(block)
            whole = len(rest) // 3072 * 3072
            for start in range(0, whole, 3072):
                print(base64.b64encode(rest[start : start + 3072]).decode())
            rest = rest[whole:]
        print(base64.b64encode(rest + packer.flush()).decode())
    print(json.dumps({"sha256": digest.hexdigest()}))
"""


@dataclass(frozen=True)
class Kept:
    """What was found in the workspace."""

    attempts: Mapping[int, Sequence[str]]
    """The files of each attempt, from 0."""
    files: Mapping[str, bytes]


def kept_logs(
    api: Api, name: str, attempt: int, ranks: Iterable[int] | None, notify: Callable[[str], None]
) -> dict[int, bytes]:
    """Return the kept logs of an attempt, by rank.

    Raises:
        NotFoundError: nothing is kept of this attempt; the text says of which, or why.
        HelperPodError
        ForbiddenError: a right is missing, most likely `create pods`.
    """
    names = ["rank-*.log"] if ranks is None else [f"rank-{rank}.log" for rank in ranks]
    kept = read(api, name, names, notify, attempt=attempt)
    if attempt not in kept.attempts:
        raise NotFoundError(f"attempt {attempt + 1} of {name} was not kept; {_format_attempts(kept)}")
    if not kept.files:
        found = ", ".join(file for file in kept.attempts[attempt] if file.startswith("rank-")) or "no log"
        raise NotFoundError(f"the log of this rank was not kept; attempt {attempt + 1} of {name} has {found}")
    return {int(file[5:-4]): content for file, content in kept.files.items()}


def kept_result(api: Api, name: str, notify: Callable[[str], None]) -> tuple[Mapping[str, Any], bytes]:
    """Return the whole result of the last attempt, and the log of its rank 0.

    Raises:
        As kept_logs.
    """
    files = read(api, name, ["result.json", "rank-0.log"], notify).files
    result = parsed(files.get("result.json", b""))
    if not result:
        raise NotFoundError(f"the workspace of {name} has no result; a run that was killed leaves none")
    return result, files.get("rank-0.log", b"")


def read(
    api: Api, name: str, files: Sequence[str], notify: Callable[[str], None], *, attempt: int | None = None
) -> Kept:
    """Return files of an attempt (None: the last), read by a helper pod."""
    pod = _reader(api, state.load(api, name), files, attempt)
    return _parsed(helper_pod.run(api, pod, f"reads the workspace of {name}", notify))


def _reader(api: Api, snapshot: Snapshot, files: Sequence[str], attempt: int | None) -> Object:
    if snapshot.job is None and (installed := release.load(api, snapshot.name)):
        snapshot = replace(snapshot, job=installed.job)
    claim = snapshot.workspace_claim
    if not snapshot.job:
        raise NotFoundError(
            f"the Job of {snapshot.name} is gone, and Helm has no release of it that names its workspace"
        )
    if not claim:
        raise NotFoundError(
            f"{snapshot.name} keeps nothing: its workspace is deleted with each pod, its log "
            "included; with workspace.type newClaim or existingClaim the log of every attempt is kept"
        )
    directory = text(settings_of(api, snapshot.name), "workspace", "directory") or snapshot.name
    folder = f"{_MOUNT}/{directory}"
    arguments = [folder, snapshot.uid, "" if attempt is None else str(attempt), *files]
    pod = helper_pod.pod(snapshot, "reader", ["python3", "-c", _SCRIPT, *arguments])
    spec = pod["spec"]
    if affinity := _affinity(api, snapshot, claim):
        spec["affinity"] = affinity
    spec["containers"][0]["volumeMounts"] = [{"name": "workspace", "mountPath": _MOUNT, "readOnly": True}]
    spec["volumes"] = [{"name": "workspace", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}]
    return pod


def _affinity(api: Api, snapshot: Snapshot, claim: str) -> Object | None:
    """Return the affinity to the node of the run's pods, where the claim cannot be mounted on two."""
    modes = texts(api.get(kinds.CLAIMS, claim), "spec", "accessModes")
    node = next((pod.node for pod in snapshot.pods if pod.node), "")
    if not node or {"ReadWriteMany", "ReadOnlyMany"} & set(modes):
        return None
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def _parsed(lines: Iterable[bytes]) -> Kept:
    stream = iter(lines)
    head = parsed(next(stream, b""))
    files: dict[str, bytes] = {}
    name, packed = "", bytearray()
    for line in stream:
        if not line.startswith(b"{"):
            packed += base64.b64decode(line)
            continue
        note = parsed(line)
        if "file" in note:
            name, packed = text(note, "file"), bytearray()
            continue
        try:
            content = zlib.decompress(bytes(packed))
        except zlib.error:
            content = b""
        if hashlib.sha256(content).hexdigest() != note.get("sha256"):
            break
        files[name], name = content, ""
    if name or not head:
        raise HelperPodError(
            f"{name or 'the workspace'} was not read completely: it is larger than what a node keeps of a pod's log"
        )
    attempts = {int(number): found for number, found in mapping(head, "attempts").items() if number.isdigit()}
    return Kept(attempts, files)


def _format_attempts(kept: Kept) -> str:
    if not kept.attempts:
        return "its workspace has no logs (the runner keeps them from its first line on)"
    return "kept are " + ", ".join(str(attempt + 1) for attempt in sorted(kept.attempts))
