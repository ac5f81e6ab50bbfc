"""Charts that were pushed to a registry: their tests install them from there, so that nothing here is installed by its folder."""

from __future__ import annotations

from e2e.cases import Case, custom

CASE = Case(image=custom.CASE.image, sources=custom.CASE.sources, results=(custom.RESULTS,), family="custom")
