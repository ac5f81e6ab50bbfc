"""The program inside the pod: it fetches, trains, exports and publishes one run. docs/runner.md is its contract."""

import sys

OLDEST_PYTHON = (3, 8)

# Must parse on Pythons that are too old for every other file of the runner.
if sys.version_info < OLDEST_PYTHON:
    sys.stdout.write(
        "trainchart event=failed stage=verify code=20 name=verify-failed"
        ' reason="python3 in the image is %d.%d, and the runner needs %d.%d or newer" fix="use an image with a newer python3"\n'
        % (sys.version_info[:2] + OLDEST_PYTHON)
    )
    sys.exit(20)
