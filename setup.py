"""The one step of the build that pyproject.toml cannot say: the wheel holds the chart, the schema that editors read, and the
documentation that messages name."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

BUNDLED = (
    "charts/train",
    "values/schema.json",
    *map(str, Path("docs").glob("*.md")),
    *map(str, Path("deploy").glob("*.yaml")),
)
"""What goes below trainchart/bundle/, where trainchart.chart.paths finds it; MANIFEST.in puts the same into the sdist."""
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*_cache", "*.swp")


class BuildWithChart(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:  # runs from the checkout, and finds the chart there
            return
        bundle = Path(self.build_lib, "trainchart", "bundle")
        # What an earlier build left there may have been deleted since.
        shutil.rmtree(bundle, ignore_errors=True)
        for name in BUNDLED:
            target = bundle / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if Path(name).is_dir():
                shutil.copytree(name, target, ignore=IGNORED)
            else:
                shutil.copyfile(name, target)


setup(cmdclass={"build_py": BuildWithChart})
