"""Install a run by the helm program, for the cluster and the values that were checked, and leave nothing of a failure behind."""
