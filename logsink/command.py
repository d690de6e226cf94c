"""The command `logs`, which reads the log sink's files."""

import os
import re
import sys
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click

from bus.errors import InvalidInputError, LabelbusError
from bus.logs import LEVELS, rfc3339
from logsink.reader import Filter, Line, LogReader
from logsink.render import to_text
from logsink.settings import LogsinkSettings

FOLLOW_S: Final = 0.2
"""Pause between looks at the files while following."""

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@click.command("logs")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=LogsinkSettings().log_folder,
    show_default=True,
    envvar="LABELBUS_LOG_FOLDER",
    show_envvar=True,
    help="Folder that the log sink writes to.",
)
@click.option("--follow", "-f", is_flag=True, help="Show new records as they arrive, until Ctrl-C.")
@click.option("--worker", metavar="ID", default="", help="Only this worker.")
@click.option("--component", metavar="NAME", default="", help="Only this component: worker, dispatcher, converter, …")
@click.option(
    "--level",
    type=click.Choice(LEVELS, case_sensitive=False),
    help="Only records of this level and above.",
)
@click.option("--task", metavar="ID", default="", help="Only records of this task.")
@click.option(
    "--since", metavar="WHEN", default="", help="Only records since then: 30s, 10m, 2h, 1d, or a time in UTC."
)
@click.option("--tail", "-n", type=click.IntRange(min=0), metavar="N", help="Only the last N matching records.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines as they are in the files.")
def command(
    folder: Path,
    follow: bool,
    worker: str,
    component: str,
    level: str | None,
    task: str,
    since: str,
    tail: int | None,
    as_json: bool,
) -> None:
    """Show log records of all components, merged by time.

    Reads the log sink's files, so it works without NATS. Times are UTC. A line that is no log record is shown as it
    is, after a question mark.
    """
    try:
        if worker and component not in ("", "worker"):
            raise InvalidInputError(f"--worker goes with --component worker, not {component}")
        wanted = Filter(
            component="worker" if worker else component,
            id=worker,
            level=level or "",
            task_id=task,
            since=parse_since(since, now=datetime.now(UTC)) if since else "",
        )
        reader = LogReader(folder, wanted)
        show(reader.history(tail), as_json=as_json)
        while follow:
            time.sleep(FOLLOW_S)
            show(reader.news(), as_json=as_json)
    except LabelbusError as exc:
        click.echo(f"logs: {exc}", err=True)
        sys.exit(2 if isinstance(exc, InvalidInputError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)


def show(lines: Iterable[Line], *, as_json: bool) -> None:
    """Write lines to stdout, with colours on a terminal unless NO_COLOR is set."""
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for line in lines:
        click.echo(line.raw if as_json else to_text(line, colour=colour), color=colour)


def parse_since(text: str, *, now: datetime) -> str:
    """Convert `10m` (ago), `2026-11-03` or `2026-11-03T12:00` (UTC if it names no zone) to RFC 3339 in UTC."""
    try:
        if found := re.fullmatch(r"(\d{1,9})([smhdw])", text):
            when = now - timedelta(seconds=int(found[1]) * _UNITS[found[2]])
        else:
            when = datetime.fromisoformat(text)
        return rfc3339((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError) as exc:
        raise InvalidInputError(
            f"--since: {text!r} is neither 30s, 10m, 2h, 1d nor a time like 2026-11-03T12:00"
        ) from exc
