"""The `asr-queue` command."""

import sys


def main() -> None:
    """Run the command line, or say what to install."""
    try:
        from asr_queue.cli.app import app
    except ImportError as error:
        sys.exit(f"asr-queue: {error.name} is not installed; run: pip install 'asr-queue[client]'")
    app(prog_name="asr-queue")


if __name__ == "__main__":
    main()
