"""A run as people look at it: one HTML page, and its curve in a terminal. docs/report.md says what is on it."""
