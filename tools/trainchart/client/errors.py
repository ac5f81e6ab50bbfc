"""The errors of the Python API, beside those of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainchart.errors import ExitCode, TrainchartError

if TYPE_CHECKING:
    from trainchart.checks.finding import Finding
    from trainchart.values.validate import Report


class InvalidValuesError(TrainchartError):
    """The values are not valid; `report` has a diagnostic for each of them."""

    exit_code = ExitCode.REFUSED

    def __init__(self, report: Report) -> None:
        super().__init__(f"the values are not valid:\n{report}")
        self.report = report


class ClusterError(TrainchartError):
    """Something in the cluster would keep the run from starting; `findings` say what."""

    exit_code = ExitCode.PROBLEM

    def __init__(self, name: str, findings: Sequence[Finding]) -> None:
        problems = [f"  {finding}" for finding in findings if finding.severity == "problem"]
        super().__init__("\n".join([f"{name} is not submitted; doctor=False submits it anyway:", *problems]))
        self.findings = findings


class RunFailedError(TrainchartError):
    """The run failed, or was stopped. `code` is its exit code: that of its runner, or of `trainchart wait`."""

    exit_code = ExitCode.RUN_FAILED

    def __init__(self, lines: Sequence[str], code: int) -> None:
        super().__init__("\n".join(lines))
        self.code = code


class WaitTimeoutError(TrainchartError, TimeoutError):
    """The run was not followed to its end, because that took too long; it continues."""

    exit_code = ExitCode.TIMED_OUT
