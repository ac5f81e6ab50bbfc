"""End-to-end: a real cluster, a real git server, real training. `python3 -m e2e.cluster`, `python -m e2e.run`, `pytest e2e`."""
