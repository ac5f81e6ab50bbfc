"""`python -m trainchart`: the command, from a checkout that is not installed."""

import sys

from trainchart.cli.main import main

sys.exit(main())
