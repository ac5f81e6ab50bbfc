"""What the pod that fills the cache is doing, by its log."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from trainchart.cluster.fields import Object, whole
from trainchart.run.events import parse
from trainchart.run.settings import location, sources
from trainchart.units import size

if TYPE_CHECKING:
    from trainchart.follow.narrator import Console

SHORT = 12
"""Digits of a commit that a person reads."""


@dataclass(frozen=True)
class Filled:
    """A source that is in the cache now."""

    source: str
    """Its section of the values: model or dataset."""
    location: str
    commit: str
    fetched: bool
    """False if it was there already."""
    bytes: int = 0


class FillReport:
    """Reports a line for each source, and in place what its programs print."""

    def __init__(self, console: Console, settings: Object) -> None:
        self._console = console
        self._locations = {name: location(source) for name, source in sources(settings).items()}
        self._said = ""
        self.filled: dict[str, Filled] = {}

    def take(self, line: str) -> None:
        """Take a line of the log."""
        event = parse(line)
        if event is None:
            self._console.live(line.rpartition("\r")[2])
            return
        name, fields = event.fields.get("source", ""), event.fields
        if event.name == "cache" and "hit" in fields:
            one = Filled(name, self._locations.get(name, ""), fields.get("commit", ""), fields["hit"] != "true")
            self.filled[name] = one
            what = f"{one.location} at {one.commit[:SHORT]}"
            self._console.line(f"{name}: fetching {what}" if one.fetched else f"{name}: {what} is in the cache already")
        elif event.name == "cache" and name in self.filled and "bytes" in fields:
            one = replace(self.filled[name], bytes=whole(fields.get("bytes")) or 0)
            self.filled[name] = one
            if one.fetched:
                self._console.line(f"{name}: {size(one.bytes)} fetched")
        elif event.name == "cache":
            here, total = whole(fields.get("cached")), whole(fields.get("total"))
            if here is not None and total is not None:
                self._console.live(f"{size(here)} of {size(total)} fetched")
        elif event.name in ("warning", "waiting", "retry", "changed") and "reason" in fields:
            said = f"{name}: {fields['reason']}" if name else fields["reason"]
            if said != self._said:  # a wait is logged every 10 seconds
                self._console.line(said)
            self._said = said
