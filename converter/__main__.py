"""`python -m converter`: the converter service."""

import os
import socket

from bus.command import settings_command
from bus.component import Component, run_component
from bus.names import check_worker_id
from converter.service import ConverterService
from converter.settings import ConverterSettings


def run(settings: ConverterSettings) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""

    async def main(component: Component) -> None:
        await ConverterService(component.bus, settings).run(component.stopping, component.ready)

    return run_component(settings, component="converter", component_id=component_id(settings), main=main)


def component_id(settings: ConverterSettings) -> str:
    """Return the id from the settings, or one made of the host's name and the process id."""
    host = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in socket.gethostname())
    return check_worker_id(settings.converter_id or f"{host.strip('-')[:40] or 'converter'}-{os.getpid()}")


command = settings_command(
    ConverterSettings,
    run,
    name="converter",
    help_text="Serve lb.convert: turn SentenceTransformers into entries of the Triton model repository.",
)

if __name__ == "__main__":
    command()
