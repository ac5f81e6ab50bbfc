"""End-to-end tests: a real cluster, a real git server, real training.

`python3 -m e2e.cluster` sets up the cluster, `python -m e2e.run` trains once, `pytest e2e` runs the tests.
"""
