"""Where a secret could have leaked to, and the search for it. Every place is read into (where, text) pairs and searched
alike.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import subprocess
import tarfile
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import kind
from e2e.kube import Kube, Object, terminated

Found = tuple[str, str]
"""A place in words, and what stands there."""


def forms(secret: str, user: str = "") -> set[str]:
    """The secret, and what programs make of it on the way: URL-encoded, and in Base64 as for HTTP's basic
    authentication.
    """
    plain = {secret, urllib.parse.quote(secret, safe="")}
    encoded = set()
    for text in [secret, *([f"{user}:{secret}"] if user else [])]:
        encoded |= {base64.b64encode(text.encode()).decode(), base64.b64encode(text.encode()).decode().rstrip("=")}
        # Inside a longer text the encoding depends on where it begins; its ends are mixed with the neighbours.
        encoded |= {base64.b64encode(b"\0" * shift + text.encode())[4:-4].decode() for shift in range(3)}
    return plain | encoded


def key_forms(private_key: str) -> set[str]:
    """The forms of every line of a private key in PEM: a program that prints it may break it elsewhere, or leave out its
    first and last lines.
    """
    lines = [line for line in private_key.splitlines() if line and not line.startswith("-----")]
    return set().union(*map(forms, lines))


def search(places: Iterable[Found], needles: set[str]) -> list[str]:
    """The places that hold one of the forms."""
    return sorted({where for where, text in places if any(needle in text for needle in needles)})


def logs(kube: Kube) -> Iterator[Found]:
    for pod in kube.objects("pods"):
        name = pod["metadata"]["name"]
        yield f"log of pod {name}", kube.call("kubectl", "-n", kube.namespace, "logs", name)[1]


def termination_messages(kube: Kube) -> Iterator[Found]:
    for pod in kube.objects("pods"):
        yield f"termination message of pod {pod['metadata']['name']}", (terminated(pod) or {}).get("message", "")


def objects(kube: Kube, kind_of_object: str) -> Iterator[Found]:
    """Whole objects: specifications, annotations and status."""
    for item in kube.objects(kind_of_object):
        yield f"{kind_of_object} {item['metadata']['name']}", json.dumps(item, ensure_ascii=False)


def releases(kube: Kube) -> Iterator[Found]:
    """Helm's records, unpacked: values, manifests, notes and the chart's files."""
    for secret in kube.objects("secrets", "owner=helm"):
        yield f"release {secret['metadata']['name']}", unpack_release(secret)


def unpack_release(secret: Object) -> str:
    packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    record = json.loads(gzip.decompress(packed))
    # The chart's files are in Base64 inside it.
    files = [base64.b64decode(file["data"]).decode(errors="replace") for file in record["chart"].get("files") or []]
    return json.dumps(record, ensure_ascii=False) + "\n".join(files)


def workspace_files(pattern: str) -> Iterator[Found]:
    """Every file of the shared volume's folders that match, .git and state included; git's loose objects unpacked."""
    command = ["docker", "exec", kind.NODE, "sh", "-c", f"cd {kind.SHARED} && exec tar -cf - {pattern}"]
    packed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=120).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            handle = archive.extractfile(member) if member.isfile() else None
            if handle is None:
                continue
            content = handle.read()
            with contextlib.suppress(zlib.error):
                content = zlib.decompress(content)
            yield f"file {member.name}", content.decode("latin-1")


# Prints what it has not seen yet of argv and environment of processes in pods, as `POD-UID KIND HEX`, until its
# standard input ends. In Perl, which every Debian has.
_WATCHER = r"""
use strict; $| = 1;
my (%seen, %pods, $input);
vec($input = '', fileno(STDIN), 1) = 1;
sub slurp { open(my $handle, '<', $_[0]) or return ''; local $/; my $text = <$handle>; return defined $text ? $text : '' }
do {
  opendir(my $folder, '/proc') or die; my @numbers = grep { /^\d+$/ } readdir $folder; closedir $folder;
  my %there = map { $_ => 1 } @numbers;
  delete @pods{grep { !$there{$_} } keys %pods};
  for my $number (@numbers) {
    my $pod = $pods{$number};
    if (!$pod) {
      ($pod) = slurp("/proc/$number/cgroup") =~ /pod([0-9a-f]{8}[-_][0-9a-f_-]{27})/ or next;
      $pod =~ tr/_/-/;
      $pods{$number} = $pod;
    }
    for my $kind ('cmdline', 'environ') {
      my $text = slurp("/proc/$number/$kind");
      print "$pod $kind ", unpack('H*', $text), "\n" if $text ne '' and !$seen{"$pod$kind$text"}++;
    }
  }
} until select(my $ready = $input, undef, undef, 0.02);
"""


@dataclass
class Processes:
    """argv and environment of every process that was seen in a pod: pod UID, `cmdline` or `environ`, text."""

    output: Path

    def seen(self) -> Iterator[tuple[str, str, str]]:
        for line in self.output.read_text().splitlines(keepends=True):
            words = line.split()
            if line.endswith("\n") and len(words) == 3:
                yield words[0], words[1], bytes.fromhex(words[2]).decode(errors="replace")

    def places(self, wanted: str) -> Iterator[Found]:
        """All that was seen of `cmdline` or `environ`."""
        for pod, part, text in self.seen():
            if part == wanted:
                yield f"{part} of a process in pod {pod}", text

    def commands(self, pod: str) -> list[str]:
        return [text.replace("\0", " ") for owner, part, text in self.seen() if part == "cmdline" and owner == pod]


@contextlib.contextmanager
def watching_processes(output: Path) -> Iterator[Processes]:
    """Reads /proc in the node some thirty times a second while the block lasts."""
    command = ["docker", "exec", "-i", kind.NODE, "perl", "-e", _WATCHER]
    with output.open("wb") as stream:
        watcher = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stream)
        try:
            yield Processes(output)
        finally:
            watcher.communicate(timeout=30)
