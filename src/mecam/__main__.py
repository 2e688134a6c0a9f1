"""`python -m mecam`: the command line."""

from mecam.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
