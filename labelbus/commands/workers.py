"""`labelbus workers`: the registry, one row a worker."""

import click
import msgspec
from rich.console import Console
from rich.table import Table

from bus.command import settings_command
from bus.messages import WorkerEntry
from labelbus.registry_view import RegistrySettings, read_registry


def run(settings: RegistrySettings) -> int:
    """Print the workers and return the exit status."""
    entries = read_registry(settings)
    if settings.json:
        click.echo(msgspec.json.format(msgspec.json.encode(entries), indent=2).decode())
    else:
        Console().print(workers_table(entries))
    return 0


def workers_table(entries: list[WorkerEntry]) -> Table:
    """Return a table with one row a worker."""
    table = Table("worker", "state", "runtime", "slots", "capacity", "labels (load ms)", title="workers")
    for entry in entries:
        labels = "\n".join(f"{label} ({held.load_ms:.0f})" for label, held in sorted(entry.labels.items()))
        table.add_row(
            entry.worker_id,
            entry.state,
            entry.runtime,
            str(entry.slots),
            f"{len(entry.labels)}/{entry.capacity}",
            labels,
        )
    return table


command = settings_command(
    RegistrySettings, run, name="workers", help_text="Show the workers in the registry, and the labels that they hold."
)
