"""Runs that were submitted: their state, and what they have logged and left."""
