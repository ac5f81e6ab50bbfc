"""Runs that were submitted: what state they are in, why, and what they have said."""
