"""`python -m hack.generate`: write the files that are made from the typed values; `--check` fails where one differs."""

from __future__ import annotations

import argparse
import sys

from hack.generate.outputs import generated
from trainchart.chart.families import family_names
from trainchart.values.models.families import FAMILIES


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m hack.generate", description="Write the generated files.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not up to date")
    options = parser.parse_args()
    stale = 0
    for path, text in generated().items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if options.check:
            print(f"{path} is not up to date; run: make generate", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path}")
    without_model = [name for name in family_names() if name not in FAMILIES]
    for name in without_model:
        model = f"tools/trainchart/values/models/families/{name.replace('-', '_')}.py"
        print(f"family {name} has no typed model; write {model} (docs/adding-a-family.md)", file=sys.stderr)
    return 1 if without_model or (options.check and stale) else 0


if __name__ == "__main__":
    sys.exit(main())
