"""A local stack whose parts can be killed, stopped, hung and cut off."""

import asyncio
import os
import re
import signal
from typing import Final

from bench.chaos.faults import Fault
from bench.chaos.gateway import Gateway
from bench.chaos.relay import Relay
from labelbus.stack.process import StackProcess
from labelbus.stack.settings import StackSettings
from labelbus.stack.stack import Stack

READY_S: Final = 60.0
LISTENING: Final = re.compile(r"gateway listening.*http://127\.0\.0\.1:(\d+)")


class ChaosStack(Stack):
    """A local stack in which each component reaches NATS through a relay of its own."""

    def __init__(self, settings: StackSettings, http_port: int, nats_port: int) -> None:
        super().__init__(settings, http_port, nats_port)
        dispatchers = [f"dispatcher-{number}" for number in range(1, settings.dispatchers + 1)]
        names = [*self.worker_ids, *dispatchers, "logsink"]
        self.relays: Final = {name: Relay(nats_port) for name in names}
        self.gateways: Final = {name: Gateway(0) for name in dispatchers}

    def nats_url_of(self, name: str) -> str:
        """Return the URL of the part's relay, or of NATS itself for a part without one."""
        return f"nats://127.0.0.1:{self.relays[name].port}" if name in self.relays else self.nats_url

    async def open(self) -> None:
        """Let the relays listen; call this before `start`."""
        await asyncio.gather(*(relay.start() for relay in self.relays.values()))

    async def close(self) -> None:
        """Stop all parts, relays and connections to gateways."""
        for name in self.processes:
            self._send(name, signal.SIGCONT)
        for relay in self.relays.values():
            relay.heal()
        await self.stop()
        for gateway in self.gateways.values():
            gateway.close()
        await asyncio.gather(*(relay.close() for relay in self.relays.values()))

    def find_gateways(self) -> None:
        """Read from each dispatcher's last start in its log on which port it listens."""
        for name, gateway in self.gateways.items():
            if ports := LISTENING.findall(self.processes[name].output.read_text()):
                gateway.move(int(ports[-1]))

    async def cause(self, fault: Fault) -> None:
        """Cause the fault, and return when the part is back."""
        process = self.processes[fault.part]
        match fault.kind:
            case "partition":
                self.relays[fault.part].cut()
                await asyncio.sleep(fault.length_s)
                self.relays[fault.part].heal()
            case "hang":
                self._send(fault.part, signal.SIGSTOP)
                await asyncio.sleep(fault.length_s)
                self._send(fault.part, signal.SIGCONT)
            case "kill":
                self._send(fault.part, signal.SIGKILL)
                await self._restart(process, fault)
            case "stop":
                self._send(fault.part, signal.SIGTERM)
                await self._restart(process, fault)

    async def _restart(self, process: StackProcess, fault: Fault) -> None:
        await process.ended()
        await asyncio.sleep(fault.length_s)
        await process.start()
        if fault.part != "nats":
            await process.ready(READY_S)
        self.find_gateways()

    def _send(self, name: str, number: signal.Signals) -> None:
        pid = self.processes[name].pid
        if pid is not None:
            os.kill(pid, number)
