# ruff: noqa: N815 - values are written in camelCase
"""`train` of the test family allreduce, as tools/trainchart/values/models/families/ has it for the families of the
chart.
"""

from __future__ import annotations

from pydantic import Field

from trainchart.values.models.base import Section


class Allreduce(Section):
    failRank: int | None = Field(None, ge=-1, description="The process that fails; -1: none.")
    holdSeconds: int | None = Field(None, ge=0, description="How long the processes stay up, in seconds.")
