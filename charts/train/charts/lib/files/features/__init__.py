"""Parts of the runner that only some runs have: each folder is mounted for the runs that use it."""
