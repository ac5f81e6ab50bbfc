"""Families that exist for the tests only, added to a copy of the chart as any family is added."""
