"""A client for Kubernetes API servers, and generic knowledge of Kubernetes objects. Nothing here knows training runs."""
