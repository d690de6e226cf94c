"""`labelbus doctor`: the requirements of labelbus that this machine meets or lacks."""

import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from labelbus.checks import Check, all_checks

MARKS = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "missing": "[red]✗[/]"}


@click.command("doctor")
@click.option(
    "--nats-url",
    default="nats://127.0.0.1:4222",
    envvar="LABELBUS_NATS_URL",
    show_envvar=True,
    show_default=True,
    help="NATS server to check.",
)
@click.option(
    "--model-repository",
    type=click.Path(path_type=Path),
    default=Path(".labelbus/models"),
    envvar="LABELBUS_MODEL_REPOSITORY",
    show_envvar=True,
    show_default=True,
    help="Model repository to check.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(nats_url: str, model_repository: Path, as_json: bool) -> None:
    """Show what is missing on this machine and what to do about it; exit with 1 if something required is missing."""
    checks = list(all_checks(nats_url=nats_url, model_repository=model_repository))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(checks), indent=2).decode())
    else:
        Console().print(_table(checks))
    sys.exit(1 if any(check.status == "missing" for check in checks) else 0)


def _table(checks: list[Check]) -> Table:
    table = Table("", "what", "found", "what to do", title="labelbus doctor")
    for check in checks:
        table.add_row(MARKS[check.status], check.name, check.found, check.next_step)
    return table
