"""The command line. Only this package prints, configures logging and sets exit codes."""

from mecam.cli.main import app, main

__all__ = ["app", "main"]
