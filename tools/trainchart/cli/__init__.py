"""One module per command: its options, and what it prints. What it does lies in the modules that it calls, imported when it runs."""
