"""The ``warpgs`` command: one subcommand per verb, one file per verb. Parsing and printing only.

A verb imports what it needs when it runs, so that ``warpgs --help`` answers at once.
"""

from warpgs.cli.command import main

__all__ = ["main"]
