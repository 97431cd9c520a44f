"""The command line. What a user got wrong is one line on stderr and exit status 2."""

from tailrace.cli.commands import main, run

__all__ = ["main", "run"]
