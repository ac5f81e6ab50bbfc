"""`trainchart cache`: fill the cache volume of runs, and see what it has, whether it is whole, and what may go."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trainchart.cli import signals
from trainchart.cli.options import (
    add_connection_options,
    add_format_option,
    add_values_options,
    check_values,
    connect,
    overrides_of,
    parse_duration,
    parse_name,
)
from trainchart.cli.output import coloured
from trainchart.cli.parser import Commands, Parser, exit_codes
from trainchart.errors import ExitCode, UsageError
from trainchart.terminal import print_message, print_text, printable

if TYPE_CHECKING:
    from datetime import datetime

    from trainchart.follow.cache import Cache, Entry, Volume
    from trainchart.values.overrides import Overrides

_CODES = (ExitCode.NOT_FOUND, ExitCode.UNREACHABLE, ExitCode.FORBIDDEN, ExitCode.RUN_FAILED)
_ALSO = "8 the claim cannot be used, or an entry is damaged; a pod that fails has the exit code of its runner"
_ENTRY = "entry, as `cache list -o name` prints it, or its commit, of which the first 7 digits are enough"
_SHORT = 12


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "cache",
        help="fill, list, verify and prune the cache volume of runs",
        description="Work on the volume of `cache.claimName`, which keeps sources with `cached: true` for all runs that mount it. Each "
        "command runs a small pod in the image of the run, without its devices, and deletes it.",
        epilog=exit_codes(*_CODES, also=_ALSO),
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    fill = _add_action(
        actions,
        "fill",
        "fetch the cached sources of a run, before it is submitted",
        "Fetch the sources with `cached: true` into the cache, so that the run finds them there and holds no devices "
        "while they are fetched. What is there already is not fetched again; what an interrupted call has fetched stays.",
    )
    add_values_options(fill, "values files of the run; - is the standard input")
    add_format_option(fill)
    listed = _add_action(
        actions,
        "list",
        "list what the cache has",
        "List the entries, one per source and commit, the last used first: size, age, last use, and what is in use, incomplete or damaged.",
    )
    _add_claim_options(listed)
    add_format_option(listed, "name")
    verify = _add_action(
        actions,
        "verify",
        "read every file, and compare it with its digest",
        "Read every file of the complete entries and compare it with what was fetched: git's and LFS's own digests, and those of "
        "buckets that have any. Runs compare sizes and times alone.",
        ok="nothing is damaged",
    )
    verify.add_argument("entries", nargs="*", metavar="ENTRY", help=f"only this {_ENTRY}")
    _add_claim_options(verify)
    add_format_option(verify)
    prune = _add_action(
        actions,
        "prune",
        "remove what no run has used for a while",
        "Remove the entries that are named, or that --older-than and --keep choose. What a run uses, and what runs of the "
        "namespace that have not finished need, stays. A run that needs a removed entry fetches it again.",
        ok="all that is due is removed, or stays for a run",
    )
    prune.add_argument("entries", nargs="*", metavar="ENTRY", help=f"remove this {_ENTRY}, however old it is")
    prune.add_argument(
        "--older-than",
        type=parse_duration,
        metavar="DURATION",
        help="remove what no run has begun to use for so long, such as 30d; 0s: all that is not in use",
    )
    prune.add_argument(
        "--keep",
        type=_parse_count,
        metavar="N",
        help="keep the N last used commits of every source, and remove others, with --older-than only if they are old enough",
    )
    prune.add_argument("--dry-run", action="store_true", help="show what would be removed, and remove nothing")
    _add_claim_options(prune)
    add_format_option(prune)
    for action in (fill, listed, verify, prune):
        action.add_argument(
            "--start-timeout",
            type=parse_duration,
            default=300.0,
            metavar="DURATION",
            help="give up if the pod does not run by this time (default: 5m)",
        )
        add_connection_options(action)


def _add_action(actions: Commands, name: str, help_: str, description: str, ok: str = "success") -> Parser:
    codes = exit_codes(*_CODES, ok=ok, also=_ALSO)
    return actions.add_parser(name, help=help_, description=description, epilog=codes)


def _add_claim_options(parser: Parser) -> None:
    add_values_options(parser, "values files of a run that uses the cache; - is the standard input")
    parser.add_argument(
        "--claim", type=parse_name, metavar="NAME", help="the cache's claim, instead of cache.claimName"
    )
    parser.add_argument(
        "--image",
        default="",
        metavar="IMAGE",
        help="image of the pod, which needs python3, instead of the values' image",
    )


def _parse_count(value: str) -> int:
    if not value.isdecimal() or not value.isascii():
        raise argparse.ArgumentTypeError(f"{value!r} is not a number of commits; write 0, 1, 2, ...")
    return int(value)


def run(options: argparse.Namespace) -> int:
    signals.interrupt_once()
    action = {"fill": _fill, "list": _list, "verify": _verify, "prune": _prune}[options.action]
    try:
        return action(options)
    except KeyboardInterrupt:
        left = "; what it has fetched stays for the next one" if options.action == "fill" else ""
        print_message(f"interrupted; the pod is removed{left}")
        return ExitCode.INTERRUPTED


# -- fill


def _fill(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from trainchart.cli.console import Console

    check_values("cache fill", options.files, overrides_of(options))
    cache = _cache(options, fills=True)
    if cache is None:
        return ExitCode.REFUSED
    console = Console(quiet=options.format == "json")
    try:
        filled = cache.fill(console)
    finally:
        console.live("")
    if options.format == "json":
        print_text(json.dumps({"claim": cache.claim, "sources": [asdict(one) for one in filled]}, indent=2))
    return ExitCode.OK


# -- list


def _list(options: argparse.Namespace) -> int:
    cache = _cache(options)
    if cache is None:
        return ExitCode.REFUSED
    volume = cache.entries()
    if options.format == "json":
        entries = [_as_object(entry) for entry in volume.entries]
        answer = {"claim": cache.claim, "size": volume.size, "free": volume.free, "unreadable": volume.unreadable}
        print_text(json.dumps({**answer, "entries": entries}, indent=2))
    elif options.format == "name":
        print_text("\n".join(entry.name for entry in volume.entries))
    else:
        print_text("\n".join(_table(volume, cache.claim, cache.api.now())))
    return ExitCode.OK


def _table(volume: Volume, claim: str, now: datetime) -> list[str]:
    from trainchart.run.listing import aligned, short
    from trainchart.units import between, size

    room = f"{size(volume.free)} of {size(volume.size)} free on claim {claim}"
    lines: list[str] = []
    if volume.entries:
        cells = [["SOURCE", "COMMIT", "SIZE", "AGE", "USED", "BY", "STATE"]]
        cells += [
            [
                printable(entry.location) or entry.name,
                entry.commit[:_SHORT],
                size(entry.bytes),
                short(between(entry.filled, now)) or "-",
                "now" if entry.in_use else short(between(entry.used, now)) if entry.user else "never",
                printable(entry.user) or "-",
                state_of(entry),
            ]
            for entry in volume.entries
        ]
        lines += aligned(cells)
        lines += [f"{entry.name} is damaged: {printable(entry.problem)}" for entry in volume.entries if entry.problem]
    count = len(volume.entries)
    lines.append(
        f"{count or 'no'} {'entry' if count == 1 else 'entries'}, {size(sum(e.bytes for e in volume.entries))}; {room}"
    )
    if volume.leftover:
        lines.append(f"{size(volume.leftover)} are left of an interrupted prune; `trainchart cache prune` removes them")
    if volume.unreadable:
        folders = "1 folder" if volume.unreadable == 1 else f"{volume.unreadable} folders"
        lines.append(
            f"{folders} cannot be read by this user and may have more entries; use the securityContext of the runs that filled them"
        )
    return lines


def state_of(entry: Entry) -> str:
    """What a table says of an entry."""
    if entry.in_use and entry.state == "incomplete":
        return "being filled"
    return "in use" if entry.in_use and entry.state == "complete" else entry.state


def _as_object(entry: Entry) -> dict[str, Any]:
    from trainchart.units import stamp

    return {
        "name": entry.name,
        "type": entry.type,
        "location": entry.location,
        "commit": entry.commit,
        "state": entry.state,
        "bytes": entry.bytes,
        "filled": stamp(entry.filled),
        "used": stamp(entry.used),
        "usedBy": entry.user,
        "inUse": entry.in_use,
        "problem": entry.problem,
        "unread": entry.unread,
    }


# -- verify


def _verify(options: argparse.Namespace) -> int:
    from trainchart.checks.finding import count
    from trainchart.cli.console import Console
    from trainchart.units import size

    cache = _cache(options)
    if cache is None:
        return ExitCode.REFUSED
    console = Console(quiet=options.format == "json")
    found: list[Entry] = []

    def show(entry: Entry, begins: bool) -> None:
        what = f"{entry.location or entry.name} at {entry.commit[:_SHORT]}"
        if begins:
            console.live(f"reading {what}, {size(entry.bytes)}")
            return
        found.append(entry)
        console.live("")
        if entry.state == "damaged":
            said = f"{coloured('problem')}: {printable(what)} is damaged: {printable(entry.problem)}"
        elif entry.state == "complete":
            by_size = f", of which {count(entry.unread, 'file')} by size and time alone" if entry.unread else ""
            said = f"{coloured('ok')}: {printable(what)}, {size(entry.bytes)}{by_size}"
        else:
            said = f"{coloured('not-checked')}: {printable(what)} is {entry.state}"
        if options.format != "json":
            print_text(said, styled=True)

    cache.verify(options.entries, show)
    damaged = [entry.name for entry in found if entry.state == "damaged"]
    if options.format == "json":
        print_text(json.dumps({"ok": not damaged, "entries": [_as_object(entry) for entry in found]}, indent=2))
    if damaged:
        print_message(
            f"{len(damaged)} of {len(found)} damaged; `trainchart cache prune {' '.join(damaged)}`, with the same -f or --claim, removes "
            "what no run uses, and the next run fetches it again"
        )
        return ExitCode.PROBLEM
    return ExitCode.OK


# -- prune


def _prune(options: argparse.Namespace) -> int:
    from trainchart.units import size

    cache = _cache(options)
    if cache is None:
        return ExitCode.REFUSED
    removed: list[Entry] = []
    stay: list[Entry] = []
    as_json, verb = options.format == "json", "would be removed" if options.dry_run else "is removed"

    def show(entry: Entry) -> None:
        (stay if entry.stays else removed).append(entry)
        if not as_json:
            what = f"{printable(entry.location or entry.name)} at {entry.commit[:_SHORT]}, {size(entry.bytes)},"
            print_text(f"{what} stays: {printable(entry.stays)}" if entry.stays else f"{what} {verb}")

    free = cache.prune(
        options.entries, show, unused_seconds=options.older_than, keep=options.keep, dry_run=options.dry_run
    )
    failed = [entry for entry in stay if "cannot be removed" in entry.stays]
    if as_json:
        answer: Mapping[str, Any] = {
            "dryRun": options.dry_run,
            "removed": [_as_object(entry) for entry in removed],
            "stay": [{**_as_object(entry), "reason": entry.stays} for entry in stay],
            "free": free,
        }
        print_text(json.dumps(answer, indent=2))
    elif not removed and not stay:
        print_text(f"no entry on claim {cache.claim} is due; {size(free)} free")
    else:
        total = size(sum(entry.bytes for entry in removed))
        print_text(f"{len(removed)} {'would be ' if options.dry_run else ''}removed, {total}; {size(free)} free")
    return ExitCode.PROBLEM if failed else ExitCode.OK


# -- the values


def _cache(options: argparse.Namespace, *, fills: bool = False) -> Cache | None:
    """The cache that the values name; None if they are not valid, which has been printed.

    Raises:
        UsageError: they name none, or have no source to keep in it.
    """
    from trainchart.checks.values import as_paths, run_spec_from
    from trainchart.cli.doctor import valid_run_spec
    from trainchart.follow import cache
    from trainchart.values.validate import values_of

    overrides = overrides_of(options) if fills else _looking(options)
    api = connect(options)
    with as_paths(options.files) as files:
        spec = valid_run_spec(files, overrides, name=cache.NAME, namespace=api.namespace)
        if spec is None:
            return None
        cache.check_values(spec, fills=fills)
        if fills:
            paths = [path for path, _ in files]
            replaced = cache.fetching_alone(values_of(paths, overrides))
            alone = replace(overrides, sections={key: ("cache fill", value) for key, value in replaced.items()})
            spec = run_spec_from(paths, alone, name=cache.NAME, namespace=api.namespace)
    return cache.Cache(api, spec, _notify(options), options.start_timeout)


def _looking(options: argparse.Namespace) -> Overrides:
    """The values of the command line for a pod that only looks at a claim: those of any run will do.

    Raises:
        UsageError: they do not say at which claim, or in which image.
    """
    from trainchart.follow.cache import ANY_RUN

    overrides = overrides_of(options)
    if not options.files and not overrides and not (options.claim and options.image):
        raise UsageError(
            f"cache {options.action}: name a values file by -f, or the claim and an image with python3 by --claim and --image"
        )
    sections: dict[str, tuple[str, Any]] = {"image": ("--image", options.image)} if options.image else {}
    if options.claim:
        sections["cache"] = ("--claim", {"claimName": options.claim})
    has_run = options.files or overrides.family
    return replace(overrides, sections=sections, defaults={} if has_run else ANY_RUN)


def _notify(options: argparse.Namespace) -> Callable[[str], None]:
    """Where the words about the pod go: nowhere if a program reads the output, and nobody the standard error."""
    return print_message if sys.stderr.isatty() or options.format == "text" else lambda _: None
