"""Follows a run: its status, its logs, its end."""
