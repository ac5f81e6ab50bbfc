"""The version, which is written in `trainchart/version.py` alone, in the files that Helm reads it from."""

from __future__ import annotations

import re
from pathlib import Path

from trainchart.version import __version__


def chart_text(path: Path) -> str:
    """The text of a Chart.yaml with the version of the tools: its own, and that of the library it depends on."""
    return re.sub(
        r"^( *(?:version|appVersion): ).*$",
        rf"\g<1>{__version__}",
        path.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
