"""`labelbus`: one command for every part of it."""

import importlib
import sys
from typing import Final

import click
from loguru import logger

from bus.version import labelbus_version

COMMANDS: Final = {
    "up": ("labelbus.commands.up", "Run the whole stack on this machine until Ctrl-C."),
    "demo": ("labelbus.commands.demo", "Show labelbus working: upload a model, embed texts, read registry and logs."),
    "run": ("labelbus.commands.run", "Submit a task through the gateway."),
    "workers": ("labelbus.commands.workers", "Show the workers in the registry."),
    "labels": ("labelbus.commands.labels", "Show which workers hold which label."),
    "logs": ("logsink.command", "Read the log sink's files."),
    "convert": ("converter.command", "Convert a model into the model repository, without a converter service."),
    "doctor": ("labelbus.commands.doctor", "Show what is missing on this machine."),
    "dispatcher": ("dispatcher.__main__", "Run a dispatcher: the HTTP gateway and the router."),
    "worker": ("worker.__main__", "Run a worker, which holds labels and runs tasks."),
    "logsink": ("logsink.__main__", "Run the log sink."),
    "converter": ("converter.__main__", "Run the converter."),
    "probe": ("labelbus.commands.probe", "Tell whether a component on this machine is live (for probes)."),
}
"""Name, module and line of help. A module has its click command as `command`."""


class LazyGroup(click.Group):
    """A group that imports a subcommand's module when it is called: `labelbus run` needs no package of a worker."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the subcommands in the order of use, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the subcommand; fail with the extra to install if a package is missing."""
        if cmd_name not in COMMANDS:
            return None
        module_name, _ = COMMANDS[cmd_name]
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as exc:
            extra = module_name.partition(".")[0]
            ctx.fail(f"{cmd_name} needs {exc.name}, which is not installed: pip install 'labelbus[{extra}]'")
        found: click.Command = module.command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one line for each subcommand, without importing it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(labelbus_version(), prog_name="labelbus")
def main() -> None:
    """Run and use labelbus, the task bus that sends each task to a worker which already holds its label."""
    logger.remove()  # components set up their own; other commands print
    logger.add(sys.stderr, level="WARNING", format="<level>{level: <7}</level> {message} <dim>{extra}</dim>")


if __name__ == "__main__":
    sys.exit(main())
