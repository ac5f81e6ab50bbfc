"""Builds one commit from the artifacts. A clone of it, with git-lfs, has the same bytes: it is built with git's
plumbing commands, which ignore any ignore file, attribute, filter or line ending setting of the image or of the
artifacts, and compared with the artifacts before it is pushed.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Set, Tuple

from runner import manifest, trees
from runner.artifacts import FILE, LINK, Entry
from runner.errors import RunnerError
from runner.git import Git
from runner.remote import Remote

# Files of this size go to LFS, whatever their name: the Hugging Face Hub accepts at most 10 MB in git itself, GitHub
# warns from 50 MB on, and every clone would carry them forever.
LARGE_BYTES = 5 * 2**20
ATTRIBUTES = b".gitattributes"
_PLAIN = re.compile(rb"[-A-Za-z0-9._/*?]+")
_GLOB = re.compile(rb"([\\*?\[])")
# The attributes by which git converts a file when it checks it out, and the values with which it does not.
_CONVERSIONS = {
    "text": "unset",
    "ident": "unspecified",
    "working-tree-encoding": "unspecified",
    "filter": "unspecified",
}


class Builder:
    """Builds commits in `repository`, a bare one beside the artifacts; only small files are copied."""

    def __init__(self, git: Git, remote: Remote, repository: Path) -> None:
        self._git, self._remote, self._repository = git, remote, repository

    def commit(self, entries: List[Entry], patterns: Iterable[str], message: str) -> str:
        """Return the hash of an orphan commit of these entries.

        Raises:
            RunnerError: publish-refused, if a clone would differ from the artifacts.
        """
        trees.empty(self._repository, self._repository.parent)
        (self._repository / "texts").mkdir()
        # No template: the image's may have hooks and attributes.
        self._run("init", "--quiet", "--bare", "--template=")
        self._run("config", "remote.origin.url", self._remote.url)
        attributes = self._attributes(entries, patterns)
        self._index([(FILE, next(self._hashed([attributes.source])), ATTRIBUTES)])
        stored = self._to_lfs(entries)
        texts = {entry: self._text(entry, stored) for entry in entries if entry in stored or entry.mode == LINK}
        blobs = self._hashed([texts.get(entry, entry.source) for entry in entries])
        self._index([(entry.mode, next(blobs), entry.path) for entry in entries])
        commit = self._run("commit-tree", self._run("write-tree"), "-m", message)
        self._compare(commit, sorted([attributes, *entries], key=lambda entry: entry.path), texts, stored)
        return commit

    def _attributes(self, entries: List[Entry], patterns: Iterable[str]) -> Entry:
        """Return the .gitattributes of the commit; later lines override earlier ones. No line ending is ever converted;
        LFS stores the files that match the patterns, and others one by one.
        """
        lines = [b"* -text"]
        lines += [_lfs_line(pattern.encode()) for pattern in patterns]
        lines += [_lfs_line(b"/" + _GLOB.sub(rb"\\\1", entry.path)) for entry in entries if _belongs_to_lfs(entry)]
        file = self._repository / "texts" / "attributes"
        file.write_bytes(b"".join(line + b"\n" for line in lines))
        return Entry(ATTRIBUTES, FILE, file, file.stat().st_size)

    def _to_lfs(self, entries: List[Entry]) -> Set[Entry]:
        """Return the entries that LFS stores, as git itself reads the attributes. An empty file has no object."""
        files = [entry for entry in entries if entry.mode != LINK and entry.size]
        return {entry for entry, seen in self._seen(files, "filter").items() if seen["filter"] == "lfs"}

    def _seen(self, entries: List[Entry], *attributes: str) -> Dict[Entry, Dict[str, str]]:
        """Return the attributes that git reads from the index for each entry."""
        paths = b"".join(entry.path + b"\0" for entry in entries)
        fields = self._run("check-attr", "--cached", "-z", "--stdin", *attributes, stdin=paths).split("\0")
        values = iter(fields[2::3])  # of path, attribute, value
        return {entry: {attribute: next(values) for attribute in attributes} for entry in entries}

    def _text(self, entry: Entry, stored: Set[Entry]) -> Path:
        """Write and return the file that git stores instead of the entry: the pointer to its LFS object, or a link's
        target.
        """
        content = self._store(entry) if entry in stored else os.fsencode(os.readlink(entry.source))
        file = self._repository / "texts" / hashlib.sha256(content).hexdigest()
        file.write_bytes(content)
        return file

    def _store(self, entry: Entry) -> bytes:
        """Store an entry as an LFS object, by a hard link if the file system has them, and return the pointer to it."""
        oid, size = manifest.file_digest(entry.source, "sha256"), entry.source.stat().st_size
        target = self._repository / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(entry.source, target)
            except OSError:
                scratch = target.with_name(f"{oid}.part")
                shutil.copyfile(entry.source, scratch)
                scratch.replace(target)
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()

    def _hashed(self, files: List[Path]) -> Iterator[str]:
        """Write the files to git unchanged, and return their blobs."""
        paths = b"".join(_quoted(os.fsencode(path)) + b"\n" for path in files)
        return iter(self._run("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=paths).split())

    def _index(self, rows: List[Tuple[str, str, bytes]]) -> None:
        index = b"".join(f"{mode} {blob}\t".encode() + path + b"\0" for mode, blob, path in rows)
        self._run("update-index", "-z", "--index-info", stdin=index)

    def _compare(self, commit: str, entries: List[Entry], texts: Dict[Entry, Path], stored: Set[Entry]) -> None:
        """Compare the artifacts with what a fresh clone with git-lfs would get, without making one: the commit's blobs
        are those of the artifacts (hashed again) or the pointers to their objects, and no attribute makes git convert
        them at checkout.

        Raises:
            RunnerError: publish-refused, if they differ.
        """
        self._run("read-tree", commit)
        committed = self._run("ls-tree", "-r", "-z", "--full-tree", commit).split("\0")[:-1]
        if len(committed) != len(entries):
            raise _differs(entries[-1], f"git has {len(committed)} of {len(entries)} files", _BUG)
        for row, entry in enumerate(entries):
            name = entry.path.decode("utf-8", "replace")
            blob = manifest.file_digest(texts.get(entry, entry.source), "git")
            if committed[row] != f"{entry.mode} blob {blob}\t{name}":
                raise _differs(
                    entry,
                    "it has changed since it was exported",
                    "let no process write to the artifacts after the export",
                )
        for entry, seen in self._seen([entry for entry in entries if entry.mode != LINK], *_CONVERSIONS).items():
            through_lfs = entry in stored or (not entry.size and seen["filter"] == "lfs")
            wanted = {**_CONVERSIONS, "filter": "lfs"} if through_lfs else _CONVERSIONS
            for attribute, value in wanted.items():
                if seen[attribute] != value:
                    raise _differs(entry, f"git would check it out with {attribute} {seen[attribute]}", _BUG)

    def _run(self, *arguments: str, stdin: bytes = b"") -> str:
        return self._git.run(self._remote, self._repository, *arguments, capture=True, stdin=stdin).strip("\n")


_BUG = "rename the file; and report this as a bug in trainchart"


def _differs(entry: Entry, reason: str, fix: str) -> RunnerError:
    return RunnerError(
        "publish-refused", f"artifacts: {entry.name} would not be the same in a clone of the result: {reason}", fix
    )


def _belongs_to_lfs(entry: Entry) -> bool:
    """Whether LFS must store an entry that matches no pattern: a large file; a binary one, which the Hugging Face Hub
    refuses in git itself; or one of two kinds that git would not check out unchanged. Git applies a .gitattributes in
    any folder, but not its pointer; and a text file that is an LFS pointer already would be taken for an object that
    does not exist.
    """
    if entry.mode == LINK:
        return False
    if entry.size >= LARGE_BYTES or entry.path.rpartition(b"/")[2].lower() == ATTRIBUTES:
        return True
    with entry.source.open("rb") as file:
        head = file.read(8000)  # where git looks for a NUL too
    return b"\0" in head or (head.startswith(b"version ") and b"oid sha256:" in head[:1024])


def _lfs_line(pattern: bytes) -> bytes:
    quoted = pattern if _PLAIN.fullmatch(pattern) else _quoted(pattern)
    return quoted + b" filter=lfs diff=lfs merge=lfs -text"


def _quoted(path: bytes) -> bytes:
    """Quote a path as a C string, as git expects it wherever it reads one path per line."""
    return b'"' + b"".join(
        b"\\" + bytes([byte]) if byte in b'"\\' else bytes([byte]) if 32 <= byte < 127 else b"\\%03o" % byte
        for byte in path
    ) + b'"'  # fmt: skip
