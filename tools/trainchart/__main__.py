"""The command, installed or as `python -m trainchart`. It imports the rest where an interrupt prints no traceback."""

import sys


def main() -> int:
    """Run the command of this process, and return its exit code."""
    try:
        from trainchart.cli.main import main as command

        return command()
    except KeyboardInterrupt:  # until the command has its own handler
        return 130  # ExitCode.INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
