"""A client for Kubernetes API servers, and generic knowledge of Kubernetes objects, but not of training runs."""
