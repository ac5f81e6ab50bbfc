"""A real object store (MinIO) and a real MLflow in the test cluster, for the runs that use them; only on demand."""
