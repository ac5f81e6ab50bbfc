"""Prints how many folders were tried with each trainer."""

from __future__ import annotations

import pytest

from .trainer import COUNTS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, (tried, agreed) in sorted(COUNTS.items()):
        terminalreporter.write_line(f"differential: {name}: {tried} folders tried, on {agreed} both agree")
