"""The command line: `main`, and a module per command with its options and output. The rest is imported when it runs."""
