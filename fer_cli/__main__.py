"""``python -m fer_cli`` is ``fer``."""

from fer_cli.cli import main

if __name__ == "__main__":
    main()
