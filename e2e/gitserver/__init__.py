"""A real git server with LFS (Gitea) in the test cluster."""
