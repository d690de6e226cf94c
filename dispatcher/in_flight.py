"""Requests in flight: admission against the limits, the memory that they hold, and the timers of their deadlines."""

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


class InFlightRequest(msgspec.Struct):
    """One request that has no answer yet. `began` and `deadline` are seconds of the event loop's clock."""

    request: TaskRequest
    future: asyncio.Future[TaskAnswer]
    began: float
    deadline: float
    expiry: asyncio.TimerHandle | None = None
    assignment: "Assign[InFlightRequest] | None" = None
    """The last assignment of the task, if there was one."""

    @property
    def is_over(self) -> bool:
        """True if the request has its answer, or if its client went away."""
        return self.future.done()

    def answer(self, answer: TaskAnswer) -> None:
        """Hand the answer to the waiting request, unless the request is over."""
        if not self.future.done():
            self.future.set_result(answer)

    def fail(self, now: float, error: LabelbusError, *, worker_id: str = "") -> None:
        """Answer the request with an error that is not a worker's."""
        self.answer(
            TaskAnswer(
                task_id=self.request.task_id,
                error=error,
                worker_id=worker_id,
                queue_ms=(now - self.began) * 1000,
                attempt=self.assignment.attempt if self.assignment else 0,
            )
        )


class InFlightRequests:
    """The requests in flight, by task id. `on_deadline` is called with each request whose deadline passes."""

    def __init__(
        self, bus: Bus, settings: DispatcherSettings, *, on_deadline: Callable[[InFlightRequest], None]
    ) -> None:
        self._bus = bus
        self._settings = settings
        self._on_deadline = on_deadline
        self._loop = asyncio.get_running_loop()
        self._requests: dict[str, InFlightRequest] = {}
        self._held_bytes = 0

    def __len__(self) -> int:
        return len(self._requests)

    def __contains__(self, task_id: object) -> bool:
        return task_id in self._requests

    @property
    def held_bytes(self) -> int:
        """Size of the parameters of all requests in flight."""
        return self._held_bytes

    def begin(self, request: TaskRequest) -> InFlightRequest:
        """Admit a request; `end` must follow.

        Raises `ConflictError` (a task with this id is in flight), `TooLargeError`, `OverloadedError` (too much memory
        held) and `DeadlineError` (the deadline has passed already).
        """
        self._check(request)
        now = self._loop.time()
        in_flight = InFlightRequest(request, self._loop.create_future(), now, now + self._timeout_s(request))
        in_flight.expiry = self._loop.call_at(in_flight.deadline, self._on_deadline, in_flight)
        self._requests[request.task_id] = in_flight
        self._held_bytes += len(request.parameters)
        return in_flight

    def end(self, in_flight: InFlightRequest) -> None:
        """Release what the request holds."""
        if in_flight.expiry is not None:
            in_flight.expiry.cancel()
        in_flight.assignment = None  # a reference cycle, which would wait for the garbage collector
        del self._requests[in_flight.request.task_id]
        self._held_bytes -= len(in_flight.request.parameters)

    def cancel(self, task_id: str) -> None:
        """Cancel the request if it is in flight: whoever awaits its answer gets a `CancelledError`."""
        in_flight = self._requests.get(task_id)
        if in_flight is not None:
            in_flight.future.cancel()

    def _check(self, request: TaskRequest) -> None:
        if request.task_id in self._requests:
            raise ConflictError(f"a task with the id {request.task_id} is running; wait for it or choose another id")
        limit = self._bus.max_payload_bytes - TASK_OVERHEAD_BYTES
        if len(request.parameters) > limit:
            raise TooLargeError(
                f"the parameters have {len(request.parameters):,} bytes, and NATS takes {limit:,}; send less at once, "
                "or raise max_payload on the NATS server"
            )
        if self._held_bytes + len(request.parameters) > self._settings.max_held_mb * 2**20:
            raise OverloadedError(
                f"the parameters of the {len(self._requests):,} tasks in flight have {self._held_bytes:,} bytes, which "
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
