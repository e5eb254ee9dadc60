"""``fer``, also as ``python -m fer_cli``: the command line, and one line for a Ctrl-C while it is still being imported."""

import sys


def main() -> None:
    """Import and run the command line."""
    try:
        from fer_cli.cli import main as call

        call()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
