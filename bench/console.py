"""Where the benchmarks print."""

from typing import Final

from rich.console import Console

WIDTH: Final = 120
"""Of tables that go to a file or a pipe; rich would take 80, and cut words."""


def wide_console() -> Console:
    """As wide as the terminal, or `WIDTH` where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH)
