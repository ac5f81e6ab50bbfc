"""The command line: `main`, and a module per command with its options and output. What a command does is imported when it runs."""
