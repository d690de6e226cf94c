"""`labelbus probe`: for liveness and readiness probes of components without HTTP."""

import sys
import time
from pathlib import Path

import click


@click.command("probe")
@click.option(
    "--file",
    "file",
    type=click.Path(path_type=Path),
    required=True,
    envvar="LABELBUS_HEALTH_FILE",
    show_envvar=True,
    help="The component's --health-file.",
)
@click.option(
    "--max-age-s",
    type=float,
    default=15.0,
    show_default=True,
    help="Age of the file above which the component is not live.",
)
def command(file: Path, max_age_s: float) -> None:
    """Exit with 0 if the component is ready and its event loop runs, else with 1 and the reason."""
    try:
        age_s = time.time() - file.stat().st_mtime
    except FileNotFoundError:
        click.echo(f"not ready: {file} does not exist", err=True)
        sys.exit(1)
    if age_s > max_age_s:
        click.echo(f"not live: {file} was last touched {age_s:.0f} s ago", err=True)
        sys.exit(1)
