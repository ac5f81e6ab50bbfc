"""Runs that Argo's Workflows submit, as in the case of Tekton."""

from __future__ import annotations

from e2e.cases.tekton import CASE

__all__ = ["CASE"]
