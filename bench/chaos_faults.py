"""The faults of a chaos run: which part, what happens to it, and for how long. The choice is pure, the doing is not."""

import asyncio
import os
import random
import re
import signal
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from bench.chaos_load import Gateway
from bench.chaos_relay import Relay
from labelbus.stack.process import StackProcess
from labelbus.stack.settings import StackSettings
from labelbus.stack.stack import Stack

Kind = Literal["kill", "stop", "hang", "partition"]

READY_S: Final = 60.0
AWAY_S: Final = (0.3, 3.0)
HANG_S: Final = (1.0, 8.0)
LISTENING: Final = re.compile(r"gateway listening.*http://127\.0\.0\.1:(\d+)")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """`kill` is SIGKILL, `stop` SIGTERM, each with a start after `length_s`; `hang` is SIGSTOP for so long.

    `partition`: the connection to NATS stands and carries nothing for so long.
    """

    kind: Kind
    part: str
    length_s: float


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """A fault as it was; seconds since the load began."""

    kind: Kind
    part: str
    began: float
    ended: float


def choose(rng: random.Random, parts: Sequence[str]) -> Fault:
    """The next fault: a part, then something that can happen to it."""
    part = rng.choice(parts)
    kinds: tuple[Kind, ...] = ("kill", "hang") if part == "nats" else ("kill", "stop", "hang", "partition")
    kind = rng.choice(kinds)
    least, most = HANG_S if kind in ("hang", "partition") else AWAY_S
    return Fault(kind=kind, part=part, length_s=round(rng.uniform(least, most), 1))


class ChaosStack(Stack):
    """A local stack in which each component reaches NATS through a relay of its own."""

    def __init__(self, settings: StackSettings, http_port: int, nats_port: int) -> None:
        super().__init__(settings, http_port, nats_port)
        dispatchers = [f"dispatcher-{number}" for number in range(1, settings.dispatchers + 1)]
        names = [*self.worker_ids, *dispatchers, "logsink"]
        self.relays: Final = {name: Relay(nats_port) for name in names}
        self.gateways: Final = {name: Gateway(0) for name in dispatchers}

    def nats_url_of(self, name: str) -> str:
        """The part's relay."""
        return f"nats://127.0.0.1:{self.relays[name].port}" if name in self.relays else self.nats_url

    async def open(self) -> None:
        """Have the relays listen; before `start`."""
        await asyncio.gather(*(relay.start() for relay in self.relays.values()))

    async def close(self) -> None:
        """Stop everything, relays and gateways' connections included."""
        for name in self.processes:
            self._send(name, signal.SIGCONT)
        for relay in self.relays.values():
            relay.heal()
        await self.stop()
        for gateway in self.gateways.values():
            gateway.close()
        await asyncio.gather(*(relay.close() for relay in self.relays.values()))

    def find_gateways(self) -> None:
        """Where each dispatcher listens, by what it said last."""
        for name, gateway in self.gateways.items():
            if said := LISTENING.findall(self.processes[name].output.read_text()):
                gateway.moved(int(said[-1]))

    async def cause(self, fault: Fault) -> None:
        """Do it, and return when the part is there again."""
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
                await self._again(process, fault)
            case "stop":
                self._send(fault.part, signal.SIGTERM)
                await self._again(process, fault)

    async def _again(self, process: StackProcess, fault: Fault) -> None:
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
