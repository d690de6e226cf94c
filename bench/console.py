"""The console that the benchmarks print to."""

from typing import Final

from rich.console import Console

WIDTH: Final = 120
"""Columns where the output is a file or a pipe; rich's default of 80 cuts words of the tables."""


def wide_console() -> Console:
    """Return a console as wide as the terminal, or of `WIDTH` columns if the output is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH)
