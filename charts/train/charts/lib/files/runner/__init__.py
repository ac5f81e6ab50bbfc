"""The program inside the pod: it stages, trains, exports and publishes one run. See docs/runner.md for the contract."""
