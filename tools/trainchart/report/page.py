"""The page of a run: one HTML file with everything in it, which needs no network and runs no script.

This module says what is on the page, and page.html.j2 how it is written: docs/decisions/0023-jinja2-writes-the-page.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any

from trainchart.report.chart import HEIGHT, WIDTH, Chart, curves, format_figure, scatter
from trainchart.report.scale import MAX_POINTS, drawable, groups
from trainchart.run.events import Progress, Trial, failure_of
from trainchart.run.metrics import headline
from trainchart.run.record import Record
from trainchart.run.settings import SOURCES, sources
from trainchart.units import duration, size
from trainchart.version import __version__

MAX_ROWS = 100  # of a table: the log has what is longer
MAX_WARNINGS = 50
MAX_PARAMETERS = 12

_STAGES = ("verify", "prepare", "train", "export", "publish")

# Settings that the page shows elsewhere, and those that only connect the pods.
_ELSEWHERE = {"run.version", "run.name", "image", *SOURCES, "publish.repository", "publish.branch"}
_WIRING = {
    *("git", "caBundle", "proxy", "imagePullPolicy", "imagePullSecrets", "securityContext", "serviceAccount"),
    *("accelerator.profiles", "accelerator.resourceNames"),
    *("run.namespace", "run.service", "run.backend", "run.credentials"),
    *("run.family.features", "run.family.libraries", "run.family.modelPath", "run.family.writesBeside"),
    *("publish.accessKeyKey", "publish.secretKeyKey", "publish.region"),
    *("mlflow.tokenKey", "mlflow.userKey", "mlflow.passwordKey", "mlflow.secretName", "mlflow.allowPlainHttp"),
}
_SECTIONS = {
    "train": "Training",
    "tune": "Search",
    "accelerator": "Accelerator",
    "publish": "Publishing",
    "mlflow": "Tracking",
    "workspace": "Workspace",
    "cache": "Cache",
}


def page(record: Record) -> str:
    """Return the whole page, to be written in UTF-8."""
    resumed = _resumed_epoch(record.progress)
    charts = [curves(group, f"chart-{i}", resumed=resumed) for i, group in enumerate(groups(record.progress.metrics))]
    content = {
        "family": family if isinstance(family := record.settings.get("family"), str) else "",
        "when": _when(record),
        "facts": list(_facts(record)),
        "failure": record.progress.failed or failure_of(record.result),
        "charts": charts,
        "chart_notes": list(_chart_notes(charts, len(record.progress.metrics), resumed)),
        "search": _search(record),
        "stages": _stages(record),
        "origins": list(_origins(record)),
        "artifacts": _artifacts(record),
        "settings": _settings(record.settings),
        "warnings": list(dict.fromkeys(record.progress.warnings))[:MAX_WARNINGS],
        "figures": _figures(record.progress),
    }
    return str(_template().render(record=record, version=__version__, width=WIDTH, height=HEIGHT, **content))


@cache
def _template() -> Any:
    """Compile the template. The library is imported by those who write a page only."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = FileSystemLoader(Path(__file__).parent, encoding="utf-8")
    environment = Environment(
        autoescape=True, finalize=_finalize, loader=folder, trim_blocks=True, undefined=StrictUndefined
    )
    return environment.get_template("page.html.j2")


def _finalize(value: Any) -> Any:
    """Replace control characters and lone surrogates, which HTML cannot have, in what is not markup of the template."""
    if hasattr(value, "__html__"):
        return value
    return "".join(c if c.isprintable() or c in " \u00a0" else "\ufffd" for c in str(value))


# -- the head


def _when(record: Record) -> tuple[str, str] | None:
    """Return when the run started, for programs, and from when to when it lasted, for people."""
    if not record.started:
        return None
    start = _utc(record.started)
    text = f"{start.day} {start:%B %Y, %H:%M}"
    if record.ended:
        end = _utc(record.ended)
        if end.date() != start.date():
            text += f" – {end.day} {end:%B %Y, %H:%M}"  # noqa: RUF001
        elif f"{end:%H:%M}" != f"{start:%H:%M}":
            text += f"–{end:%H:%M}"  # noqa: RUF001
    return start.isoformat(), text


def _utc(time: datetime) -> datetime:
    return time.astimezone(timezone.utc) if time.tzinfo else time


def _facts(record: Record) -> Iterator[tuple[str, str, str]]:
    """Yield the name, the value and a note of the few figures that people look for first."""
    progress, rows, numbers = record.progress, record.progress.metrics, _numbers(_map(record.result, "metrics"))
    if rows and (name := headline(rows[-1])):
        yield name, format_figure(rows[-1][name]), ""
    elif name := headline(numbers):
        yield name, format_figure(numbers[name]), ""
    if progress.epoch is not None:
        is_part = progress.epochs and progress.epochs != progress.epoch
        yield "epochs", str(progress.epoch), f"of {progress.epochs}" if is_part else ""
    if record.started and record.ended:
        yield "duration", duration(max(0.0, (record.ended - record.started).total_seconds())), ""
    attempt = max(progress.attempt, _whole(_map(record.result).get("attempt")))
    resumed = progress.resumed or _map(record.result, "resumed")
    if attempt or resumed:
        epoch = resumed.get("epoch")
        note = "" if not resumed else "resumed" if epoch is None else f"resumed after epoch {epoch}"
        yield "attempts", str(attempt + 1), note
    if progress.replicas > 1:
        yield "pods", str(progress.replicas), ""


# -- curves, trials and stages


def _resumed_epoch(progress: Progress) -> int | None:
    epoch = progress.resumed.get("epoch", "")
    return int(epoch) if epoch.isascii() and epoch.isdigit() and len(epoch) < 10 else None


def _chart_notes(charts: Sequence[Chart], epochs: int, resumed: int | None) -> Iterator[str]:
    if epochs > MAX_POINTS:
        yield (
            f"Of {epochs:,} epochs each curve shows at most {MAX_POINTS} points: the lowest and the highest of every "
            "section, so that no peak is lost."
        )
    if resumed is not None:
        yield f"The dotted line is where the training was resumed, after epoch {resumed}."
    if any(" dashed" in path.style for chart in charts for path in chart.paths):
        yield "Dashed: the same metric on held-out data."


@dataclass(frozen=True)
class _TrialRow:
    number: int
    state: str
    reason: str
    value: str
    parameters: Sequence[str]
    is_best: bool


@dataclass(frozen=True)
class _Search:
    metric: str
    chart: Chart | None
    parameters: Sequence[str]
    trials: Sequence[_TrialRow]
    notes: Sequence[str]


def _search(record: Record) -> _Search | None:
    trials, known = record.progress.trials, _map(record.result, "search")
    if not trials and not known:
        return None
    best = record.progress.best.number if record.progress.best else None
    metric = str(_map(record.settings, "tune").get("metric") or "value")
    values = [(trial.number, trial.value) for trial in trials if trial.value is not None and drawable(trial.value)]
    parameters = list(dict.fromkeys(name for trial in trials for name in trial.parameters))[:MAX_PARAMETERS]
    return _Search(
        metric,
        scatter(values, best, "trials", f"{metric}, by trial") if len(values) > 1 else None,
        parameters,
        [_trial_row(trial, parameters, best) for trial in _best_trials(trials, best)],
        list(_search_notes(known, len(trials))),
    )


def _best_trials(trials: Sequence[Trial], best: int | None) -> Sequence[Trial]:
    """Return all trials, or the ones that matter: those whose value is near the best."""
    if len(trials) <= MAX_ROWS:
        return trials
    top = next((trial.value for trial in trials if trial.number == best), None)
    valued = [trial for trial in trials if trial.value is not None and math.isfinite(trial.value)]
    return sorted(valued, key=lambda trial: abs((trial.value or 0.0) - (top or 0.0)))[:MAX_ROWS]


def _trial_row(trial: Trial, parameters: Sequence[str], best: int | None) -> _TrialRow:
    return _TrialRow(
        trial.number,
        "unfinished" if trial.state == "begins" else trial.state,
        trial.reason if trial.state == "failed" else "",
        "" if trial.value is None else format_figure(trial.value),
        [_plain(trial.parameters.get(name, "")) for name in parameters],
        trial.number == best,
    )


def _search_notes(known: Mapping[str, Any], logged: int) -> Iterator[str]:
    if known:
        count, failed, best = known.get("trials", "?"), known.get("failed", 0), known.get("trial", "?")
        yield f"Best of {count} trials, {failed} of which failed: trial {best}."
    if _whole(known.get("trials")) > logged:
        yield f"This log has {logged} of them; the others ran in other pods, and are in trials.csv."
    if logged > MAX_ROWS:
        yield f"The table has the best {MAX_ROWS}."


@dataclass(frozen=True)
class _Stage:
    name: str
    style: str = ""
    part: str = ""
    """Of the bar, from 0 to 1."""
    time: str = ""
    """Empty for a stage that has not finished."""
    share: str = ""
    note: str = ""


def _stages(record: Record) -> list[_Stage]:
    """Return the stages that have finished, then those that were skipped, and the one that failed."""
    stages = {**_numbers(_map(record.result, "stages")), **record.progress.stages}
    stages = {name: seconds for name, seconds in stages.items() if math.isfinite(seconds) and seconds >= 0}
    names = [*(name for name in _STAGES if name in stages), *(name for name in stages if name not in _STAGES)]
    total = sum(stages.values()) or 1
    rows = [
        _Stage(
            name,
            f"s{_STAGES.index(name) if name in _STAGES else len(_STAGES)}",
            f"{stages[name] / total:.4f}",
            duration(stages[name]),
            "< 1%" if 0 < stages[name] / total < 0.01 else f"{stages[name] / total:.0%}",
        )
        for name in names
    ]
    rows += [_Stage(name, note="skipped: done before") for name in record.progress.skipped if name not in stages]
    failed = record.progress.failed.stage if record.progress.failed else ""
    return [*rows, _Stage(failed, note="failed")] if failed and failed not in stages else rows


# -- sources, artifacts and settings


@dataclass(frozen=True)
class _Origin:
    name: str
    place: str
    revision: str = ""
    commit: str = ""

    @property
    def is_pinned(self) -> bool:
        return bool(self.revision or self.commit)

    @property
    def is_link(self) -> bool:
        return self.place.startswith(("https://", "http://"))


def _origins(record: Record) -> Iterator[_Origin]:
    """Yield what went in and what came out: the sources with their commits, the image, and the branch."""
    resolved, requested = _map(record.result, "sources"), sources(record.settings)
    for name in dict.fromkeys([*requested, *resolved]):
        source = {**_map(requested, name), **_map(resolved, name)}
        yield _Origin(name, _place(source), str(source.get("revision") or ""), str(source.get("commit") or ""))
    if image := record.settings.get("image"):
        yield _Origin("image", str(image))
    out = {**_map(record.result), **record.progress.published}
    if out.get("repository") and (out.get("branch") or out.get("commit")):
        yield _Origin("result", str(out["repository"]), str(out.get("branch") or ""), str(out.get("commit") or ""))


def _place(source: Mapping[str, Any]) -> str:
    if source.get("repository"):
        return str(source["repository"])
    if source.get("bucket"):
        endpoint = source.get("endpoint") or "the default endpoint"
        return f"s3://{source['bucket']}/{source.get('prefix') or ''} at {endpoint}"
    if source.get("claimName"):
        return f"claim {source['claimName']}, {source.get('subPath') or ''}".rstrip(", ")
    return str(source.get("type") or "")


@dataclass(frozen=True)
class _Artifacts:
    summary: str
    files: Sequence[tuple[str, str]]
    notes: Sequence[str]


def _artifacts(record: Record) -> _Artifacts | None:
    files = _map(record.result).get("files")
    found = [entry for entry in files if isinstance(entry, dict)] if isinstance(files, list) else []
    if not found:
        return None
    sizes = [_whole(entry.get("bytes")) for entry in found]
    omitted = _whole(_map(record.result).get("filesOmitted"))
    return _Artifacts(
        f"{len(found) + omitted} files" + ("" if omitted else f", {size(sum(sizes))}"),
        [(str(entry.get("path", "")), size(count)) for entry, count in zip(found, sizes, strict=True)],
        [f"{omitted} more, whose names this record does not have."] if omitted else [],
    )


def _settings(settings: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Return the names and values of each section, in the order of the page."""
    pairs: dict[str, list[tuple[str, str]]] = {}
    for path, value in _flat(settings, ""):
        section, _, rest = path.partition(".")
        title = _SECTIONS.get(section, "Run") if rest else "Run"
        name = rest if section in (*_SECTIONS, "run") and rest else path
        pairs.setdefault(title, []).append((name, value))
    return {title: pairs[title] for title in (*_SECTIONS.values(), "Run") if title in pairs}


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield every setting that has a value, without those of a search or a tracking that the run does not use."""
    if path in _ELSEWHERE | _WIRING or (path == "tune" and not _map(value).get("trials")):
        return
    if path in ("mlflow", "cache") and not (_map(value).get("trackingUri") or _map(value).get("claimName")):
        return
    if isinstance(value, dict) and path != "tune.space":
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    elif value not in ("", None, [], {}):
        name = path
        if isinstance(value, (int, float)) and not isinstance(value, bool) and path.endswith("Seconds"):
            name, value = path.removesuffix("Seconds"), duration(value)
        yield name, _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and not any(isinstance(entry, (dict, list)) for entry in value):
        return " ".join(str(entry) for entry in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)


# -- the numbers behind the curves


@dataclass(frozen=True)
class _Figures:
    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    """The epoch, and the value of each metric."""
    notes: Sequence[str]


def _figures(progress: Progress) -> _Figures | None:
    rows = progress.metrics
    names = list(dict.fromkeys(name for row in rows for name in row if name != "epoch"))
    if not names:
        return None
    step = math.ceil(len(rows) / (MAX_ROWS - 1))
    chosen = [row for index, row in enumerate(rows) if index % step == 0 or index == len(rows) - 1]
    return _Figures(
        names,
        [[f"{row['epoch']:.0f}", *(f"{row[name]:.6g}" if name in row else "" for name in names)] for row in chosen],
        [f"Every {step}th epoch, and the last; the log has them all."] if step > 1 else [],
    )


# -- accessors: whatever a file holds, the page is made


def _map(value: Any, key: str = "") -> Mapping[str, Any]:
    """Return a map, or the one under the key; an empty one where there is none."""
    found = (value.get(key) if isinstance(value, dict) else None) if key else value
    return found if isinstance(found, dict) else {}


def _numbers(found: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in found.items() if isinstance(value, (int, float)) and name != "epochs"}


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and abs(value) < 1 << 63 else 0
