"""Every file of the repository that is made from code: its path, and the text that it should have."""

from __future__ import annotations

from pathlib import Path

from hack.generate.decisions import decisions_index
from hack.generate.defaults import defaults_text, sections_text
from hack.generate.deploy import deployed
from hack.generate.platform import platform
from hack.generate.readme import readme_texts
from hack.generate.reference import reference_text
from hack.generate.schema import editor_schema_text, schema_text
from hack.generate.values_yaml import values_yaml_text
from hack.generate.versions import chart_text
from trainchart.chart.families import family_names, profile_names
from trainchart.chart.paths import CHART, EDITOR_SCHEMA, LIB, ROOT
from trainchart.values.models.families import FAMILIES
from trainchart.values.preset import accelerator_text, family_text, schema_path


def generated() -> dict[Path, str]:
    """The text of every generated file, by its path."""
    values = ROOT / "values"
    accelerators = values / "accelerators"
    return {
        CHART / "Chart.yaml": chart_text(CHART / "Chart.yaml"),
        LIB / "Chart.yaml": chart_text(LIB / "Chart.yaml"),
        CHART / "values.yaml": values_yaml_text(),
        CHART / "values.schema.json": schema_text(),
        EDITOR_SCHEMA: editor_schema_text(),
        LIB / "files/defaults.yaml": defaults_text(),
        LIB / "files/sections.yaml": sections_text(),
        ROOT / "docs/values.md": reference_text(),
        ROOT / "docs/decisions/README.md": decisions_index(ROOT / "docs/decisions"),
        **readme_texts(),
        **platform(),
        **deployed(),
        **{
            values / f"{name}.yaml": family_text(name, schema=schema_path(values))
            for name in family_names()
            if name in FAMILIES
        },
        **{
            accelerators / f"{name}.yaml": accelerator_text(name, schema=schema_path(accelerators))
            for name in profile_names()
        },
    }
