"""Families that exist for the tests alone: they are laid into a copy of the chart, as anybody would add one."""
