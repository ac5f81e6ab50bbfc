"""Every family's typed model, memory estimate and example: one module a family, named like its folder in the chart."""

from importlib import import_module
from pkgutil import iter_modules

from trainchart.values.models.base import Section
from trainchart.values.models.family import Family


def _modules() -> dict[str, Family]:
    """A module is the family of its own name, with - for _, and says as FAMILY what the tools know of it."""
    names = sorted(module.name for module in iter_modules(__path__))
    return {name.replace("_", "-"): import_module(f"{__name__}.{name}").FAMILY for name in names}


REGISTRY: dict[str, Family] = _modules()

FAMILIES: dict[str, type[Section]] = {name: family.model for name, family in REGISTRY.items()}
"""The typed model of every family's `train` section."""
