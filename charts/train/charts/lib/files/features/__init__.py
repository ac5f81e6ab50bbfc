"""Parts of the runner that only some runs need: each folder is mounted only for the runs that use it."""
