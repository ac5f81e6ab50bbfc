"""The page of a run: one file with everything in it, which asks no network and runs no script."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from trainchart import __version__
from trainchart.report.chart import chart, figure, scatter, text
from trainchart.report.scale import MAX_POINTS, drawable, groups
from trainchart.run.events import Failure, Progress, Trial
from trainchart.run.metrics import headline
from trainchart.run.record import Record
from trainchart.units import duration, size

MAX_ROWS = 100  # of the table of figures: what is longer is read in the log

# Nothing is loaded and nothing runs, whatever a log could smuggle in.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_TITLES = {"completed": "completed", "failed": "failed"}
_STAGES = ("verify", "prepare", "train", "export", "publish")

# Of the settings: what has a place of its own on the page, and what only wires the pods together.
_ELSEWHERE = {"version", "run.name", "image", "sources", "publish.repository", "publish.branch"}
_WIRING = {
    *("git", "family.features", "family.libraries", "topology.service", "topology.port", "workspace.path"),
    *("mlflow.credentials", "mlflow.tokenKey", "mlflow.userKey", "mlflow.passwordKey"),
    *("mlflow.secretName", "mlflow.allowPlainHttp", "accelerator.backend"),
}
_SECTIONS = {
    "train": "Training",
    "tune": "Search",
    "family": "Family",
    "accelerator": "Accelerator",
    "topology": "Topology",
    "publish": "Publishing",
    "mlflow": "Tracking",
    "workspace": "Workspace",
    "cache": "Cache",
}


def page(record: Record) -> str:
    """The whole page as text, to be written in UTF-8."""
    body = [
        _head(record),
        _failure(record),
        _curves(record.progress),
        _search(record),
        _stages(record),
        _sources(record),
        _artifacts(record),
        _settings(record.settings),
        _warnings(record.progress),
        _figures(record.progress),
    ]
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(record.name)}: {text(record.status)}</title>
<style>
{style}</style>
</head>
<body>
<main>
{chr(10).join(part for part in body if part)}
<footer>Made by trainchart {text(__version__)} from the run&rsquo;s log{" and its result" if record.result else ""}. Times are UTC.</footer>
</main>
</body>
</html>
"""


def _head(record: Record) -> str:
    progress = record.progress
    family = _map(record.settings, "family").get("name")
    about = [f"namespace {text(record.namespace)}" if record.namespace else "", text(family or ""), _when(record)]
    colour = _TITLES.get(record.status, "open")
    facts = "".join(f"<div><dt>{text(name)}</dt><dd>{value}</dd></div>" for name, value in _facts(record, progress))
    return f"""<header>
<div class="head"><h1>{text(record.name)}</h1><span class="status {colour}">{text(record.status)}</span></div>
<p class="about">{" · ".join(part for part in about if part)}</p>
{f'<dl class="facts">{facts}</dl>' if facts else ""}
</header>"""


def _facts(record: Record, progress: Progress) -> Iterator[tuple[str, str]]:
    """The few figures that somebody looks for first."""
    rows = progress.metrics
    if rows and (name := headline(rows[-1])):
        yield name, figure(rows[-1][name])
    elif name := headline(_numbers(_map(record.result, "metrics"))):
        yield name, figure(_numbers(_map(record.result, "metrics"))[name])
    if progress.epoch is not None:
        total = f" <small>of {progress.epochs}</small>" if progress.epochs and progress.epochs != progress.epoch else ""
        yield "epochs", f"{progress.epoch}{total}"
    if record.started and record.ended:
        yield "duration", text(duration(max(0.0, (record.ended - record.started).total_seconds())))
    attempt = max(progress.attempt, _whole(_map(record.result).get("attempt")))
    resumed = progress.resumed or _map(record.result, "resumed")
    if attempt or resumed:
        epoch = resumed.get("epoch")
        again = f" <small>resumed after epoch {text(epoch)}</small>" if epoch is not None else ""
        again = again or (" <small>resumed</small>" if resumed else "")
        yield "attempts", f"{attempt + 1}{again}"
    if progress.replicas > 1:
        yield "pods", str(progress.replicas)


def _when(record: Record) -> str:
    if not record.started:
        return ""
    start = _utc(record.started)
    shown = f"{start.day} {start:%B %Y, %H:%M}"
    if record.ended:
        end = _utc(record.ended)
        if end.date() != start.date():
            shown += f" &ndash; {end.day} {end:%B %Y, %H:%M}"
        elif f"{end:%H:%M}" != f"{start:%H:%M}":
            shown += f"&ndash;{end:%H:%M}"
    return f'<time datetime="{start.isoformat()}">{shown}</time>'


def _utc(time: datetime) -> datetime:
    return time.astimezone(timezone.utc) if time.tzinfo else time


def _failure(record: Record) -> str:
    failure = record.progress.failed or _told_failure(record.result)
    if not failure:
        return ""
    where = f" in stage {text(failure.stage)}" if failure.stage else ""
    code = f" (exit code {failure.code})" if failure.code is not None else ""
    fix = f"<p><strong>What to do:</strong> {text(failure.fix)}</p>" if failure.fix else ""
    return f"""<section class="failure" aria-label="failure">
<p class="what">{text(failure.name)}{where}{code}</p><p>{text(failure.reason)}</p>{fix}
</section>"""


def _told_failure(result: Mapping[str, Any] | None) -> Failure | None:
    told = _map(result, "failure")
    if not told:
        return None
    texts = {name: str(told.get(name) or "") for name in ("stage", "name", "reason", "fix")}
    code = told.get("code")
    return Failure(code=code if isinstance(code, int) else None, **texts)


def _curves(progress: Progress) -> str:
    rows = progress.metrics
    found = groups(rows)
    if not found:
        return ""
    epoch = progress.resumed.get("epoch", "")
    resumed = int(epoch) if epoch.isascii() and epoch.isdigit() and len(epoch) < 10 else None
    charts = "".join(chart(group, f"chart-{place}", resumed=resumed) for place, group in enumerate(found))
    of = f" of trial {progress.best.number}, the best" if progress.best else ""
    notes = []
    if len(rows) > MAX_POINTS:
        notes.append(
            f"Of {len(rows):,} epochs each curve shows at most {MAX_POINTS} points: of every stretch the lowest and the highest, so that no peak is lost."
        )
    if resumed is not None:
        notes.append(f"The dotted line is where the training was resumed, after epoch {resumed}.")
    if ' dashed"' in charts:
        notes.append("Dashed: the same on held-out data.")
    note = f'<p class="note">{" ".join(notes)}</p>' if notes else ""
    return f'<section><h2>Curves{of}, by epoch</h2><div class="charts">{charts}</div>{note}</section>'


def _search(record: Record) -> str:
    trials = record.progress.trials
    told = _map(record.result, "search")
    best = record.progress.best.number if record.progress.best else None
    if not trials and not told:
        return ""
    metric = str(_map(record.settings, "tune").get("metric") or "value")
    values = [(trial.number, trial.value) for trial in trials if trial.value is not None and drawable(trial.value)]
    plot = (
        f'<div class="charts">{scatter(values, best, "trials", f"{metric}, by trial")}</div>' if len(values) > 1 else ""
    )
    names = list(dict.fromkeys(name for trial in trials for name in trial.parameters))[:12]
    head = "".join(f'<th class="n" scope="col">{text(name)}</th>' for name in names)
    rows = "".join(_trial(trial, names, best) for trial in _chosen(trials, best))
    table = f"""<div class="wide"><table><thead><tr><th scope="col">trial</th><th scope="col">state</th><th class="n" scope="col">{text(metric)}</th>{head}</tr></thead>
<tbody>{rows}</tbody></table></div>"""
    notes = []
    if told:
        chosen = f"Best of {text(told.get('trials', '?'))} trials, {text(told.get('failed', 0))} of them failed: trial {text(told.get('trial', '?'))}."
        notes.append(chosen)
    total = _whole(told.get("trials"))
    if total > len(trials):
        notes.append(f"This log tells {len(trials)} of them; the others ran in other pods, and are in trials.csv.")
    if len(trials) > MAX_ROWS:
        notes.append(f"The table has the best {MAX_ROWS}.")
    note = f'<p class="note">{" ".join(notes)}</p>' if notes else ""
    return f"<section><h2>Search</h2>{plot}{table if trials else ''}{note}</section>"


def _chosen(trials: Sequence[Trial], best: int | None) -> list[Trial]:
    """All, or the ones that matter: those near the best by their value."""
    if len(trials) <= MAX_ROWS:
        return list(trials)
    top = next((trial.value for trial in trials if trial.number == best), None)
    valued = [trial for trial in trials if trial.value is not None and math.isfinite(trial.value)]
    return sorted(valued, key=lambda trial: abs((trial.value or 0.0) - (top or 0.0)))[:MAX_ROWS]


def _trial(trial: Trial, names: Sequence[str], best: int | None) -> str:
    cells = "".join(f'<td class="n">{text(_plain(trial.parameters.get(name, "")))}</td>' for name in names)
    value = "" if trial.value is None else figure(trial.value)
    state = {"begins": "unfinished"}.get(trial.state, trial.state)
    why = f" <small>{text(trial.reason)}</small>" if trial.reason and trial.state == "failed" else ""
    mark = ' class="best"' if trial.number == best else ""
    return f'<tr{mark}><th scope="row">{trial.number}</th><td>{text(state)}{why}</td><td class="n">{value}</td>{cells}</tr>'


def _stages(record: Record) -> str:
    stages = {**_numbers(_map(record.result, "stages")), **record.progress.stages}
    stages = {name: seconds for name, seconds in stages.items() if math.isfinite(seconds) and seconds >= 0}
    known = [*(name for name in _STAGES if name in stages), *(name for name in stages if name not in _STAGES)]
    skipped = [name for name in record.progress.skipped if name not in stages]
    failed = record.progress.failed.stage if record.progress.failed else ""
    broken = [failed] if failed and failed not in stages else []
    if not known and not skipped and not broken:
        return ""
    total = sum(stages.values())
    styles = {name: f"s{(_STAGES.index(name) if name in _STAGES else len(_STAGES))}" for name in known}
    bar = "".join(
        f'<span class="{styles[name]}" style="flex:{stages[name] / (total or 1):.4f}" title="{text(name)}: {text(duration(stages[name]))}"></span>'
        for name in known
    )
    rows = "".join(
        f'<tr><th scope="row"><span class="swatch {styles[name]}"></span>{text(name)}</th><td class="n">{text(duration(stages[name]))}</td>'
        f'<td class="n"><small>{_share(stages[name], total)}</small></td></tr>'
        for name in known
    )
    ends = [*((name, "skipped: done before") for name in skipped), *((name, "failed") for name in broken)]
    rows += "".join(
        f'<tr><th scope="row"><span class="swatch"></span>{text(name)}</th><td class="n"><small>{end}</small></td><td></td></tr>'
        for name, end in ends
    )
    of = f" of attempt {record.progress.attempt + 1}" if record.progress.attempt else ""
    head = '<thead class="sr"><tr><th scope="col">stage</th><th scope="col">time</th><th scope="col">share</th></tr></thead>'
    return f"""<section><h2>Stages{of}</h2>{f'<div class="bar" aria-hidden="true">{bar}</div>' if known else ""}
<table class="short">{head}<tbody>{rows}</tbody></table></section>"""


def _share(part: float, total: float) -> str:
    share = part / (total or 1)
    return "&lt; 1%" if 0 < share < 0.01 else f"{share:.0%}"


def _sources(record: Record) -> str:
    """What went in, and what came out: repositories with their commits, the image, and the branch."""
    pinned, wanted = _map(record.result, "sources"), _map(record.settings, "sources")
    rows = []
    for name in dict.fromkeys([*wanted, *pinned]):
        source = {**_map(wanted, name), **_map(pinned, name)}
        rows.append((name, _place(source), str(source.get("revision") or ""), str(source.get("commit") or "")))
    if image := record.settings.get("image"):
        rows.append(("image", str(image), "", ""))
    out = {**_map(record.result), **record.progress.published}
    if out.get("repository") and (out.get("branch") or out.get("commit")):
        rows.append(("result", str(out["repository"]), str(out.get("branch") or ""), str(out.get("commit") or "")))
    if not rows:
        return ""
    pinned_any = any(revision or commit for _, _, revision, commit in rows)
    more = '<th scope="col">revision</th><th scope="col">commit</th>' if pinned_any else ""
    body = "".join(_origin(*row, pinned=pinned_any) for row in rows)
    return f"""<section><h2>Sources and result</h2><div class="wide"><table class="origins"><thead><tr><th scope="col"><span class="sr">what</span></th><th scope="col">where</th>{more}</tr></thead>
<tbody>{body}</tbody></table></div></section>"""


def _origin(name: str, place: str, revision: str, commit: str, *, pinned: bool) -> str:
    shown = text(place)
    if place.startswith(("https://", "http://")):
        shown = f'<a href="{shown}" rel="noreferrer">{shown}</a>'
    short = f'<code title="{text(commit)}">{text(commit[:12])}</code>' if commit else ""
    more = f"<td>{text(revision)}</td><td>{short}</td>" if pinned else ""
    return f'<tr><th scope="row">{text(name)}</th><td>{shown}</td>{more}</tr>'


def _place(source: Mapping[str, Any]) -> str:
    if source.get("repository"):
        return str(source["repository"])
    if source.get("bucket"):
        return f"s3://{source['bucket']}/{source.get('prefix') or ''} at {source.get('endpoint') or 'the default endpoint'}"
    if source.get("claim"):
        return f"claim {source['claim']}, {source.get('mount') or ''}".rstrip(", ")
    return str(source.get("type") or "")


def _artifacts(record: Record) -> str:
    files = _map(record.result).get("files")
    found = [entry for entry in files if isinstance(entry, dict)] if isinstance(files, list) else []
    if not found:
        return ""
    rows = "".join(
        f'<tr><th scope="row"><code>{text(entry.get("path", ""))}</code></th><td class="n">{text(size(_whole(entry.get("bytes"))))}</td></tr>'
        for entry in found
    )
    total = sum(_whole(entry.get("bytes")) for entry in found)
    omitted = _whole(_map(record.result).get("filesOmitted"))
    note = f'<p class="note">{omitted} more, which this record has no names of.</p>' if omitted else ""
    head = '<thead class="sr"><tr><th scope="col">file</th><th scope="col">size</th></tr></thead>'
    return f"""<section><h2>Artifacts <small>{len(found) + omitted} files{"" if omitted else f", {size(total)}"}</small></h2>
<table class="short">{head}<tbody>{rows}</tbody></table>{note}</section>"""


def _settings(settings: Mapping[str, Any]) -> str:
    pairs: dict[str, list[tuple[str, str]]] = {}
    for path, value in _flat(settings, ""):
        section, _, rest = path.partition(".")
        title = _SECTIONS.get(section, "Run") if rest else "Run"
        name = rest if section in (*_SECTIONS, "run") and rest else path
        pairs.setdefault(title, []).append((name, value))
    order = [*_SECTIONS.values(), "Run"]
    blocks = "".join(
        f'<div><h3>{text(title)}</h3><dl class="pairs">'
        + "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in pairs[title])
        + "</dl></div>"
        for title in sorted(pairs, key=order.index)
    )
    return f'<section><h2>Settings</h2><div class="columns">{blocks}</div></section>' if blocks else ""


def _flat(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every setting that says something; empty ones, and those of a search or tracking that there is not, do not."""
    if path in _ELSEWHERE | _WIRING or (path == "tune" and not _map(value).get("trials")):
        return
    if path in ("mlflow", "cache") and not (_map(value).get("trackingUri") or _map(value).get("path")):
        return
    if isinstance(value, dict) and path != "tune.space":
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    elif value not in ("", None, [], {}):
        name = path
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if path.endswith("Bytes"):
                name, value = path.removesuffix("Bytes"), size(value)
            elif path.endswith("Seconds"):
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


def _warnings(progress: Progress) -> str:
    told = list(dict.fromkeys(progress.warnings))[:50]
    if not told:
        return ""
    return f"<section><h2>Warnings</h2><ul>{''.join(f'<li>{text(reason)}</li>' for reason in told)}</ul></section>"


def _figures(progress: Progress) -> str:
    """The numbers behind the curves."""
    rows = progress.metrics
    names = list(dict.fromkeys(name for row in rows for name in row if name != "epoch"))
    if not names:
        return ""
    stretch = math.ceil(len(rows) / (MAX_ROWS - 1))
    shown = [row for place, row in enumerate(rows) if place % stretch == 0 or place == len(rows) - 1]
    head = "".join(f'<th class="n" scope="col">{text(name)}</th>' for name in names)
    body = "".join(
        f'<tr><th scope="row">{row["epoch"]:.0f}</th>'
        + "".join(f'<td class="n">{f"{row[name]:.6g}" if name in row else ""}</td>' for name in names)
        + "</tr>"
        for row in shown
    )
    note = f'<p class="note">Every {stretch}th epoch, and the last; the log has them all.</p>' if stretch > 1 else ""
    return f"""<section><h2>Figures</h2><details><summary>Table of {len(shown)} epochs and {len(names)} metrics</summary>
<div class="wide" tabindex="0" role="region" aria-label="figures"><table><thead><tr><th scope="col">epoch</th>{head}</tr></thead><tbody>{body}</tbody></table></div>{note}</details></section>"""


def _map(value: Any, key: str = "") -> Mapping[str, Any]:
    """A map, or the one under the key; an empty one where there is none. Whatever a file holds, the page is made."""
    found = (value.get(key) if isinstance(value, dict) else None) if key else value
    return found if isinstance(found, dict) else {}


def _numbers(found: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in found.items() if isinstance(value, (int, float)) and name != "epochs"}


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and abs(value) < 1 << 63 else 0
