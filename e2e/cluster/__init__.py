"""A Kubernetes cluster with Volcano and a git server on this machine, for end-to-end tests.

`python3 -m e2e.cluster --help` lists the commands.
"""
