"""The fixtures of tests/run hold here too."""

from tests.run.conftest import at_once, cluster

__all__ = ["at_once", "cluster"]
