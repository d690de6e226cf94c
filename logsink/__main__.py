"""`python -m logsink`: write the log stream to files until told to stop."""

from typing import Final

from bus.command import settings_command
from bus.component import Component, run_component
from bus.names import check_worker_id
from logsink.service import LogSink
from logsink.settings import LogsinkSettings

HELP: Final = """Write the log records of all components to files, each record once.

Records come from a JetStream stream, which keeps them while the sink is away. `labelbus logs` reads the files.
"""


def run(settings: LogsinkSettings) -> int:
    """Run a log sink until SIGTERM or SIGINT and return the exit status."""

    async def main(component: Component) -> None:
        await LogSink(component.bus, settings, component.stopping, component.ready).run()

    return run_component(settings, component="logsink", component_id=check_worker_id(settings.logsink_id), main=main)


command = settings_command(LogsinkSettings, run, name="logsink", help_text=HELP)

if __name__ == "__main__":
    command()
