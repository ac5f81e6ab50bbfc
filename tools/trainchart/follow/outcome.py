"""How a run finished: the exit code for a script, and a block of text for a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trainchart.chart.exit_codes import runner_codes
from trainchart.cluster.fields import items, mapping, parsed, text
from trainchart.errors import ExitCode
from trainchart.run.events import failure_of, format_used
from trainchart.run.metrics import format_number, headline
from trainchart.run.state import STOPPED, Pod, Snapshot, State
from trainchart.units import duration, size

if TYPE_CHECKING:
    from trainchart.checks.finding import Finding

RESULT_ANNOTATION = "trainchart.dev/result"
"""On the Job of a run that was stopped: the result that its rank 0 reported, for its pods are gone."""


@dataclass(frozen=True)
class Outcome:
    code: int
    lines: Sequence[str]
    run: Snapshot | None = None
    """As it was last seen, with those of its pods that are gone; None where it was not found."""


def outcome(snapshot: Snapshot, seen: Iterable[Pod] = (), findings: Iterable[Finding] = (), place: str = "") -> Outcome:
    """Return the outcome of a run that has finished.

    `seen` are its pods as they were last seen, for Volcano removes some; `place` is where its artifacts are when they
    are not published.
    """
    snapshot = with_pods(snapshot, seen)
    took = ""
    if snapshot.created and snapshot.ended_at:
        took = f" after {duration((snapshot.ended_at - snapshot.created).total_seconds())}"
    if snapshot.state is State.COMPLETED:
        return Outcome(
            ExitCode.OK, [f"{snapshot.name} completed{took}", *format_result(result_of(snapshot), place)], snapshot
        )
    if snapshot.state is State.STOPPED:
        return Outcome(STOPPED, list(_stopped(snapshot, took)), snapshot)
    if snapshot.state is State.NO_JOB:
        return Outcome(ExitCode.NOT_FOUND, [_format_no_job(snapshot)], snapshot)
    return Outcome(code_of(snapshot), list(_failed(snapshot, took, findings)), snapshot)


def with_pods(snapshot: Snapshot, seen: Iterable[Pod]) -> Snapshot:
    """Return the snapshot with those pods of its last attempt that are gone, and what is known of the others."""
    ranks: dict[int, Pod] = {}
    for pod in [*seen, *snapshot.pods]:
        known = ranks.get(pod.rank)
        if (pod.attempt or 0) == snapshot.attempt and (known is None or pod.has_finished or not known.has_finished):
            ranks[pod.rank] = pod
    return replace(snapshot, pods=tuple(ranks[rank] for rank in sorted(ranks)))


def code_of(snapshot: Snapshot) -> int:
    """Return the exit code of the runner that caused the failure, or RUN_FAILED where no runner reported one."""
    culprit = snapshot.culprit
    if culprit is None:
        return ExitCode.RUN_FAILED
    if culprit.failure and culprit.failure.code in runner_codes():
        return culprit.failure.code
    code = culprit.exit_code
    if code and code in runner_codes() and culprit.exit_reason == "Error":
        return code
    return ExitCode.RUN_FAILED


def result_of(snapshot: Snapshot) -> Mapping[str, Any]:
    """Return the result that rank 0 reported; empty where that is not known."""
    rank_0 = snapshot.rank_0
    if rank_0 and rank_0.result:
        return rank_0.result
    return parsed(text(snapshot.job, "metadata", "annotations", RESULT_ANNOTATION))


def format_result(result: Mapping[str, Any], place: str = "", *, whole: bool = False) -> list[str]:
    """Return a result as a table of two columns; `whole`: with all metrics and files."""
    return [f"  {key:<12} {value}" for key, value in _rows(result, place, whole=whole)]


def format_failure(result: Mapping[str, Any]) -> list[str]:
    """Return why the run failed, as its runner reported it; empty where it did not."""
    failure = failure_of(result)
    if failure is None:
        return []
    rows = [("failed in", failure.stage), ("what", f"{failure.name}: {failure.reason}")]
    if failure.name != "stopped":  # the advice is for a run that was not stopped on purpose
        rows.append(("what to do", failure.fix))
    return [f"  {key:<12} {value}" for key, value in rows if value]


def _format_no_job(snapshot: Snapshot) -> str:
    return (
        f"the Job of {snapshot.name} does not exist: it was removed when it had finished (ttlAfterFinished), or by hand; "
        f"`{snapshot.command('result {}')}` names where it publishes to; "
        f"`{snapshot.command('result {} --whole')}` reads its result from its workspace, if that is on a claim"
    )


def _rows(result: Mapping[str, Any], place: str, *, whole: bool) -> Iterator[tuple[str, str]]:
    for key in ("repository", "branch", "commit"):
        if value := text(result, key):
            yield key, value
    for name in sorted(mapping(result, "sources")):
        source = mapping(result, "sources", name)
        where = " ".join(filter(None, (text(source, "repository"), text(source, "revision"))))
        yield "trained on", " ".join(filter(None, (f"{name}:", where, text(source, "commit"))))
    if used := format_used(items(result, "dataset", "parts")):
        yield "dataset", used
    metrics = {key: value for key, value in mapping(result, "metrics").items() if isinstance(value, int | float)}
    if "epochs" in metrics:
        yield "epochs", format_number(metrics.pop("epochs"))
    if main := headline(metrics):
        yield "metrics", f"{main} {format_number(metrics.pop(main))}"
        for name, measured in metrics.items() if whole else ():
            yield "", f"{name} {format_number(measured)}"
    files = items(result, "files")
    if files:
        omitted = result.get("filesOmitted")
        count = len(files) + (omitted if isinstance(omitted, int) else 0)
        known = sum(entry["bytes"] for entry in files if isinstance(entry.get("bytes"), int | float))
        yield "files", f"{count}, {'more than ' if omitted else ''}{size(known)}"
        for entry in files if whole else ():
            yield "", f"{text(entry, 'path')} ({size(entry.get('bytes') or 0)})"
        if whole and omitted:
            yield "", f"and {omitted} more: --whole reads them from the workspace"
    if place and not text(result, "branch"):
        yield "artifacts", place
    if stages := {key: value for key, value in mapping(result, "stages").items() if isinstance(value, int | float)}:
        yield "stages", ", ".join(f"{name} {duration(float(seconds))}" for name, seconds in stages.items())


def _stopped(snapshot: Snapshot, took: str) -> Iterator[str]:
    yield f"{snapshot.name} was stopped{took}, by a command of a user (Volcano: Aborted)"
    failure = failure_of(result_of(snapshot))
    if failure and failure.stage:
        yield f"  {'it was in':<12} {failure.stage}"
    yield f"  {'to resume':<12} {snapshot.resume_hint}"


def _failed(snapshot: Snapshot, took: str, findings: Iterable[Finding]) -> Iterator[str]:
    culprit, attempts = snapshot.culprit, ""
    if snapshot.max_retry > 1:
        attempts = f", in attempt {snapshot.attempt + 1} of {snapshot.max_retry}"
    rank = f" on rank {culprit.rank}" if culprit and snapshot.replicas > 1 else ""
    failure = culprit.failure if culprit else None
    if failure:
        stage = f" in {failure.stage}" if failure.stage else ""
        yield f"{snapshot.name} failed{stage}{took}{attempts}: {failure.name} ({failure.code}){rank}"
        yield f"  what happened  {failure.reason}"
        yield f"  what to do     {failure.fix}"
        result = result_of(snapshot)
        for key in ("repository", "branch", "commit"):
            if value := text(result, key):
                yield f"  {key:<14} {value}"
    else:
        yield f"{snapshot.name} failed{took}{attempts}{rank}: its runner reported no reason"
        for finding in findings:
            yield f"  what happened  {finding.text}"
            if finding.fix:
                yield f"  what to do     {finding.fix}"
    of_rank = f" --rank {culprit.rank}" if rank and culprit else ""
    yield f"  its log        {snapshot.command(f'logs {{}}{of_rank}')}"
