"""Tasks at a steady rate over several gateways, each followed to its end."""

import asyncio
import itertools
import time
from collections.abc import Sequence

import msgspec

from bench.chaos.gateway import Answer, Gateway


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one task.

    `began` is seconds since the load began; `tries` counts the gateways that were asked; `status` is 0 if no gateway
    answered; `right` is false if the result is that of another label.
    """

    began: float
    took_s: float
    status: int
    code: str
    right: bool
    tries: int
    attempt: int
    worker: str

    @property
    def answered(self) -> bool:
        """True if the task has a result."""
        return self.status == 200


class Load:
    """A load of `rate` tasks a second over the labels in turn, to each gateway in turn, until `stop`.

    If a gateway cannot be reached or closes the connection, the task goes to the next one, as behind a load balancer.
    """

    def __init__(
        self,
        gateways: Sequence[Gateway],
        labels: Sequence[str],
        *,
        rate: float,
        sleep_ms: float = 20.0,
        deadline_s: float = 30.0,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self.sent = 0
        self._gateways = itertools.cycle(gateways)
        self._count = len(gateways)
        self._labels = itertools.cycle(labels)
        self._rate = rate
        self._sleep_ms = sleep_ms
        self._deadline_s = deadline_s
        self._stopping = asyncio.Event()
        self._began = time.monotonic()

    @property
    def now_s(self) -> float:
        """Seconds since the load began."""
        return time.monotonic() - self._began

    def stop(self) -> None:
        """Send no more tasks; `run` returns once each task that was sent has ended."""
        self._stopping.set()

    async def run(self) -> list[Outcome]:
        """Send tasks until `stop` is called; return all outcomes once each task has ended."""
        async with asyncio.TaskGroup() as tasks:
            due = time.monotonic()
            while not self._stopping.is_set():
                self.sent += 1
                tasks.create_task(self._one(next(self._labels)))
                due = max(due + 1 / self._rate, time.monotonic() - 1.0)
                try:
                    async with asyncio.timeout(max(0.0, due - time.monotonic())):
                        await self._stopping.wait()
                except TimeoutError:
                    continue
        return self.outcomes

    async def _one(self, label: str) -> None:
        began = self.now_s
        end = time.monotonic() + self._deadline_s
        tries = 0
        answer: Answer | None = None
        while answer is None and time.monotonic() < end:
            tries += 1
            gateway = next(self._gateways)
            try:
                answer = await gateway.run_task(
                    label, deadline_s=end - time.monotonic(), parameters={"sleep_ms": self._sleep_ms}
                )
            except (OSError, EOFError):
                await asyncio.sleep(0.02 if tries % self._count else 0.1)
            except TimeoutError:
                break
        headers = {} if answer is None else answer.headers
        self.outcomes.append(
            Outcome(
                began=began,
                took_s=self.now_s - began,
                status=0 if answer is None else answer.status,
                code="no_answer" if answer is None else answer.code,
                right=answer is None or answer.status != 200 or answer.json()["label"] == label,
                tries=tries,
                attempt=int(headers.get("labelbus-attempt") or 0),
                worker=headers.get("labelbus-worker", ""),
            )
        )
