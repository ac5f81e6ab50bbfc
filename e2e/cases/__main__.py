"""`python3 -m e2e.cases [CASE...]`: the images that the cases run in, as `python3 -m e2e.cluster images` takes them."""

from __future__ import annotations

import sys

from e2e.cases import load

try:
    print(*dict.fromkeys(case.image for case in load(sys.argv[1:]).values()))
except LookupError as error:
    sys.exit(f"error: {error.args[0]}")
