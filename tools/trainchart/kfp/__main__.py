"""`python -m trainchart.kfp FOLDER`: compile the ready pipelines."""

from __future__ import annotations

import argparse
from pathlib import Path

from trainchart.kfp import IMAGE, compile_pipelines

parser = argparse.ArgumentParser(prog="python -m trainchart.kfp", description="Compile the pipelines of trainchart.")
parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to write the compiled pipelines")
parser.add_argument("--image", default=IMAGE, metavar="IMAGE", help="image of the tools (default: %(default)s)")
options = parser.parse_args()
for file in compile_pipelines(options.folder, options.image):
    print(file)
