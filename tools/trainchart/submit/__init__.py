"""Install a run by the helm program, with the cluster and values that were checked, and clean up after a failure."""
