"""Tasks between their request and their answer: which may begin, what they hold, when their time is over."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec

from bus.connection import Bus
from bus.errors import ConflictError, DeadlineError, LabelbusError, OverloadedError, TooLargeError
from dispatcher.answers import TaskAnswer, TaskRequest
from dispatcher.router import Assign
from dispatcher.settings import DispatcherSettings

TASK_OVERHEAD_BYTES: Final = 4096
"""Room in a message for everything in a Task but its parameters."""


class Flight(msgspec.Struct):
    """One task under way. `began` and `deadline` are seconds of the event loop's clock."""

    request: TaskRequest
    future: asyncio.Future[TaskAnswer]
    began: float
    deadline: float
    expiry: asyncio.TimerHandle | None = None
    last: "Assign[Flight] | None" = None

    def answer(self, answer: TaskAnswer) -> None:
        """Say what became of it, unless that has been said."""
        if not self.future.done():
            self.future.set_result(answer)

    def fail(self, now: float, error: LabelbusError, *, worker_id: str = "") -> None:
        """Say that nothing became of it."""
        self.answer(
            TaskAnswer(
                task_id=self.request.task_id,
                error=error,
                worker_id=worker_id,
                queue_ms=(now - self.began) * 1000,
                attempt=self.last.attempt if self.last else 0,
            )
        )


class Flights:
    """The tasks under way, by id. `on_due` is called with one whose deadline passes."""

    def __init__(self, bus: Bus, settings: DispatcherSettings, *, on_due: Callable[[Flight], None]) -> None:
        self._bus = bus
        self._settings = settings
        self._on_due = on_due
        self._loop = asyncio.get_running_loop()
        self._flights: dict[str, Flight] = {}
        self.held_bytes = 0

    def __len__(self) -> int:
        return len(self._flights)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._flights

    def begin(self, request: TaskRequest) -> Flight:
        """Take a task on; `end` must follow.

        Raises `ConflictError` (its id is in flight), `TooLargeError`, `OverloadedError` (memory) and `DeadlineError`
        (passed already).
        """
        self._check(request)
        now = self._loop.time()
        flight = Flight(request, self._loop.create_future(), now, now + self._timeout_s(request))
        flight.expiry = self._loop.call_at(flight.deadline, self._on_due, flight)
        self._flights[request.task_id] = flight
        self.held_bytes += len(request.parameters)
        return flight

    def end(self, flight: Flight) -> None:
        """Let a task go."""
        if flight.expiry is not None:
            flight.expiry.cancel()
        flight.last = None  # it leads back to the flight: a circle, which only the garbage collector would undo
        del self._flights[flight.request.task_id]
        self.held_bytes -= len(flight.request.parameters)

    def give_up(self, task_id: str) -> None:
        """Nobody wants the answer any more: who waits for it gets a `CancelledError`."""
        flight = self._flights.get(task_id)
        if flight is not None:
            flight.future.cancel()

    def _check(self, request: TaskRequest) -> None:
        if request.task_id in self._flights:
            raise ConflictError(f"a task with the id {request.task_id} is running; wait for it or choose another id")
        limit = self._bus.max_payload_bytes - TASK_OVERHEAD_BYTES
        if len(request.parameters) > limit:
            raise TooLargeError(
                f"the parameters have {len(request.parameters):,} bytes, and NATS takes {limit:,}; send less at once, "
                "or raise max_payload on the NATS server"
            )
        if self.held_bytes + len(request.parameters) > self._settings.max_held_mb * 2**20:
            raise OverloadedError(
                f"the parameters of the {len(self._flights):,} tasks under way have {self.held_bytes:,} bytes, which "
                "is the limit: try again later",
                retry_after_s=1.0,
            )
        if request.deadline_ms and request.deadline_ms <= _unix_ms():
            raise DeadlineError(
                "deadline_ms lies in the past: give a later one, in milliseconds since 1970; are clocks right?"
            )

    def _timeout_s(self, request: TaskRequest) -> float:
        if not request.deadline_ms:
            return self._settings.task_timeout_s
        return min((request.deadline_ms - _unix_ms()) / 1000, self._settings.max_timeout_s)


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000
