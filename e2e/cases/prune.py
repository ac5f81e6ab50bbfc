"""Two hundred finished releases. The tests install them themselves, in a namespace of their own."""

from __future__ import annotations

from e2e.cases import Case

CASE = Case(image="custom-minimal", family="custom")
