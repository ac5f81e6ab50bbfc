"""Install a run by Helm, with the cluster and values that were checked; clean up after a failure; remove runs."""
