"""`labelbus labels`: the registry, one row a label."""

import click
import msgspec
from rich.console import Console
from rich.table import Table

from bus.command import settings_command
from bus.messages import WorkerEntry
from labelbus.registry_view import RegistrySettings, read_registry


def run(settings: RegistrySettings) -> int:
    """Print the labels and return the exit status."""
    holders = holders_of(read_registry(settings))
    if settings.json:
        click.echo(msgspec.json.format(msgspec.json.encode(holders), indent=2).decode())
    else:
        Console().print(labels_table(holders))
    return 0


def holders_of(entries: list[WorkerEntry]) -> dict[str, list[str]]:
    """Return the workers that hold each label."""
    holders: dict[str, list[str]] = {}
    for entry in entries:
        for label in entry.labels:
            holders.setdefault(label, []).append(entry.worker_id)
    return dict(sorted(holders.items()))


def labels_table(holders: dict[str, list[str]]) -> Table:
    """Return a table with one row a label."""
    table = Table("label", "held by", title="labels")
    for label, workers in holders.items():
        table.add_row(label, ", ".join(workers))
    return table


command = settings_command(
    RegistrySettings, run, name="labels", help_text="Show which workers hold which label, from the registry."
)
