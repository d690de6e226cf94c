"""`labelbus up`: the whole stack until Ctrl-C."""

import asyncio
import signal

import click
from rich.console import Console

from bus.command import settings_command
from labelbus.stack.settings import StackSettings
from labelbus.stack.stack import Stack, running_stack

HINTS = """\
  curl {http}/workers                                 the workers
  curl {http}/labels                                  the holders of each label
  curl {http}/schema                                  the API, to read and to try
  labelbus run embed_texts --url {http} --label sentence-transformers/all-MiniLM-L6-v2 --texts "a sentence"
  labelbus logs --folder {logs} --follow
  nats --server {nats} sub 'lb.>'                     everything on the bus
  nats --server {nats} kv get labels worker.worker-1  a registry entry"""


def run(settings: StackSettings) -> int:
    """Run the stack until SIGINT or SIGTERM and return the exit status."""
    console = Console(stderr=True, highlight=False)

    async def main() -> None:
        stop, up = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        serving = asyncio.create_task(_serve(settings, console, stop, up))
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _stop, stop, up, serving)
        await serving

    try:
        asyncio.run(main())
    except asyncio.CancelledError:  # a signal while it was starting
        return 130
    return 0


async def _serve(settings: StackSettings, console: Console, stop: asyncio.Event, up: asyncio.Event) -> None:
    with console.status("starting …") as status:

        def told(name: str) -> None:
            console.print(f"  [green]✓[/] {name}")

        async with running_stack(settings, told) as stack:
            up.set()
            status.stop()
            console.print(
                f"labelbus is up at [bold]{stack.http_url}[/]; Ctrl-C stops it\n{_hints(stack)}\n", soft_wrap=True
            )
            keeping = asyncio.create_task(
                stack.keep(lambda line: console.print(f"  [yellow]![/] {line}", soft_wrap=True))
            )
            await stop.wait()
            console.print("stopping …")
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)


def _hints(stack: Stack) -> str:
    return HINTS.format(http=stack.http_url, nats=stack.nats_url, logs=stack.log_folder)


def _stop(stop: asyncio.Event, up: asyncio.Event, serving: asyncio.Task[None]) -> None:
    if stop.is_set() or not up.is_set():  # a second Ctrl-C does not wait, nor one during the start
        serving.cancel()
    stop.set()


command: click.Command = settings_command(
    StackSettings, run, name="up", help_text="Run NATS and every component on this machine until Ctrl-C."
)
