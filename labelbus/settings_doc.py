"""`docs/settings.md`, made from the settings themselves: `just docs`."""

from typing import Final

import click
import msgspec

from bus.command import options
from converter.settings import ConverterSettings
from dispatcher.settings import DispatcherSettings
from labelbus.stack.settings import StackSettings
from logsink.settings import LogsinkSettings
from worker.settings import WorkerSettings

COMPONENTS: Final[dict[str, type[msgspec.Struct]]] = {
    "dispatcher": DispatcherSettings,
    "worker": WorkerSettings,
    "logsink": LogsinkSettings,
    "converter": ConverterSettings,
    "up": StackSettings,
}

HEAD: Final = """\
# Settings

Each component reads its settings once, from variables and flags; a flag wins. This page is made from the code by
`just docs`, and a test fails when it is stale.
"""


def settings_markdown() -> str:
    """Return the page as Markdown."""
    parts = [HEAD]
    for name, struct in COMPONENTS.items():
        parts.append(f"## labelbus {name}\n\n| flag | variable | default | |\n|---|---|---|---|\n{_rows(struct)}\n")
    return "\n".join(parts)


def _rows(struct: type[msgspec.Struct]) -> str:
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    return "\n".join(_row(option, fields[str(option.name)]) for option in options(struct))


def _row(option: click.Option, field: msgspec.structs.FieldInfo) -> str:
    flags = " ".join(f"`{flag}`" for flag in (*option.opts, *option.secondary_opts))
    default = "" if field.default in (msgspec.NODEFAULT, None, "", ()) else f"`{field.default}`"
    text = (option.help or "").partition(" [default:")[0]
    return f"| {flags} | `{option.envvar}` | {'required' if field.required else default} | {text} |"


if __name__ == "__main__":
    click.echo(settings_markdown(), nl=False)
