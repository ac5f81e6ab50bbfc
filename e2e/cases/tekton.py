"""Runs that Tekton's Pipelines submit: their tests create the PipelineRuns, so that nothing is installed by helm."""

from __future__ import annotations

from e2e.cases import Case, custom, yolov5

CASE = Case(
    family="custom",
    image="train-cpu-yolo",  # one image for both: a custom program needs no more than its python3
    sources={**custom.CASE.sources, **yolov5.CASE.sources},
    results=(custom.RESULTS, yolov5.RESULTS),
)
