"""The command ``nll-fast``."""

from nll_fast.cli.command import main

__all__ = ["main"]
