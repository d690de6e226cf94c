"""Log records as lines for people."""

from collections.abc import Callable
from typing import Final

import click
import msgspec

from logsink.reader import Line

_COLOURS: Final = {
    "TRACE": "bright_black",
    "DEBUG": "bright_black",
    "INFO": "green",
    "SUCCESS": "green",
    "WARNING": "yellow",
    "ERROR": "red",
    "CRITICAL": "red",
}

Style = Callable[..., str]


def to_text(line: Line, *, colour: bool) -> str:
    """Return a line such as `2026-11-03 12:00:01.123 INFO worker/gpu-1 task done task_id=a1 run_ms=3.2`, in UTC.

    There is no newline at the end. An exception follows on lines of its own. Control characters are escaped, since
    anybody may write records. A line that is no log record is returned as it is, after a `?`.
    """
    style: Style = click.style if colour else _plain
    who = style(f"{line.source.component}/{line.source.id}", fg="cyan")
    record = line.record
    if record is None:
        return f"{style('?', fg='yellow')} {who} {_visible(line.raw.decode(errors='backslashreplace'))}"
    time = _visible(record.time[:23].replace("T", " "))
    level = style(f"{_visible(record.level):<7}", fg=_COLOURS.get(record.level, "magenta"))
    fields = " ".join(
        style(f"{_visible(key)}=", fg="bright_black") + _value(value) for key, value in record.fields.items()
    )
    text = f"{style(time, fg='bright_black')} {level} {who} {_visible(record.event)}"
    if fields:
        text = f"{text} {fields}"
    for part in record.error.splitlines():
        text += f"\n    {_visible(part)}"
    return text


def _plain(text: str, **_style: str) -> str:
    return text


def _value(value: object) -> str:
    if isinstance(value, str) and value and not any(c in value for c in ' "=') and value.isprintable():
        return value
    return _visible(msgspec.json.encode(value).decode())


def _visible(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
