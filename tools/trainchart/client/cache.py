"""The cache volume of runs as an object: what `trainchart cache` does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from trainchart.client.arguments import seconds, whole
from trainchart.client.errors import InvalidValuesError
from trainchart.client.progress import Silent, console
from trainchart.client.runs import Cluster, check_cluster
from trainchart.client.values import Values, as_files
from trainchart.terminal import print_message

if TYPE_CHECKING:
    from trainchart.follow.cache import Cache as CacheOfRun
    from trainchart.follow.cache import Entry
    from trainchart.follow.cache_fill import Filled


@dataclass(frozen=True)
class Cache:
    """The cache that the values of a run name. Each method runs a pod in the run's image, and deletes it.

    Every method raises InvalidValuesError, or TrainchartError, whose message says what to do.
    """

    values: Values
    """A mapping, the path of a values file, or several of both."""
    cluster: Cluster = field(default_factory=Cluster, repr=False)

    def __post_init__(self) -> None:
        """Raises UsageError."""
        check_cluster(self.cluster)

    def fill(self, *, progress: bool = True) -> list[Filled]:
        """Fetch the sources with `cached: true`, unless they are there, and return what is there then.

        Args:
            progress: print what is fetched.
        """
        return self._cache(progress, fills=True).fill(console() if progress else Silent())

    def entries(self) -> list[Entry]:
        """What the volume has, the last used first."""
        return list(self._cache(progress=False).entries().entries)

    def verify(self, *names: str) -> list[Entry]:
        """Read every file, and return the entries that are damaged.

        Args:
            names: only these entries: their `name`, or commit.
        """
        found: list[Entry] = []
        self._cache(progress=False).verify(names, lambda entry, begins: None if begins else found.append(entry))
        return [entry for entry in found if entry.state == "damaged"]

    def prune(
        self,
        *names: str,
        older_than: float | timedelta | None = None,
        keep: int | None = None,
        dry_run: bool = False,
    ) -> list[Entry]:
        """Remove entries that no run uses or needs, and return those that are removed.

        Args:
            names: only these, however old they are: their `name`, or commit. Without them, one of the next two is needed.
            older_than: seconds, or a timedelta, since the last use.
            keep: how many of each source stay, the last used ones.
            dry_run: remove nothing.
        """
        age, least = seconds("older_than", older_than), whole("keep", keep, 0)
        found: list[Entry] = []
        self._cache(progress=False).prune(names, found.append, unused_seconds=age, keep=least, dry_run=dry_run)
        return [entry for entry in found if not entry.stays]

    def _cache(self, progress: bool, *, fills: bool = False) -> CacheOfRun:
        from trainchart.checks.values import as_paths, run_spec_from, validated
        from trainchart.follow.cache import NAME, check_values, fetching_alone
        from trainchart.follow.cache import Cache as CacheOfRun
        from trainchart.values.overrides import NO_OVERRIDES
        from trainchart.values.validate import values_of

        api = self.cluster.api
        with as_files(self.values) as (files, called), as_paths(files, called) as paths:
            report = validated(paths, name=NAME, namespace=api.namespace)
            if not report.valid:
                raise InvalidValuesError(report)
            read = [path for path, _ in paths]
            spec = run_spec_from(read, name=NAME, namespace=api.namespace)
            check_values(spec, fills=fills)
            if fills:
                replaced = {key: (NAME, value) for key, value in fetching_alone(values_of(read)).items()}
                overrides = replace(NO_OVERRIDES, sections=replaced)
                spec = run_spec_from(read, overrides, name=NAME, namespace=api.namespace)
        return CacheOfRun(api, spec, print_message if progress else lambda _: None)
