"""Install a run by Helm, with the cluster and values that were checked, and clean up after a failure."""
