"""Every family's typed model, memory estimate and example: one module a family, named like its folder in the chart."""

from trainchart.families import Family
from trainchart.values.base import Section
from trainchart.values.families import llm_sft, yolov5

REGISTRY: dict[str, Family] = {
    "llm-sft": llm_sft.FAMILY,
    "yolov5": yolov5.FAMILY,
}

FAMILIES: dict[str, type[Section]] = {name: family.model for name, family in REGISTRY.items()}
"""The typed model of every family's `train` section."""
