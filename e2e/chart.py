"""A copy of the chart with the test family added as any family is added: a folder, a typed section, a generated schema."""

from __future__ import annotations

import shutil
from pathlib import Path

from e2e.families.allreduce.section import Allreduce
from hack.generate.schema import schema_text
from trainchart.chart.paths import CHART
from trainchart.values.models.families import FAMILIES

FAMILY = Path(__file__).resolve().parent / "families" / "allreduce"


def with_test_family(folder: Path) -> Path:
    copy = folder / CHART.name
    shutil.copytree(CHART, copy, ignore=shutil.ignore_patterns("__pycache__"))
    target = copy / "charts" / "lib" / "files" / "families" / FAMILY.name
    target.mkdir()
    for path in [FAMILY / "family.yaml", FAMILY / "hooks.py", *FAMILY.glob("probe_*.py")]:
        shutil.copyfile(path, target / path.name)
    (copy / "values.schema.json").write_text(schema_text({**FAMILIES, FAMILY.name: Allreduce}))
    return copy
