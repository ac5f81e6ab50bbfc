"""The chart as data: where it lies, its families, profiles and exit codes, and how it is rendered."""
