"""Runs the program of a pod on this machine: in a container (Docker, Podman), or in this Python."""
