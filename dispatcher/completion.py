"""The ends of requests: each is counted, logged and answered here, once."""

from typing import Final

from loguru import logger

from bus.errors import DeadlineError, LabelbusError, reason
from bus.messages import Result, Status
from dispatcher.answers import TaskAnswer, error_of, error_of_reject
from dispatcher.counters import Counters, RouteDurations
from dispatcher.in_flight import InFlightRequest
from dispatcher.router import Assign, Reason, Reject


class Completion:
    """Answers requests in flight, and counts how they ended.

    A request that is over, since its deadline passed or its client went away in the same turn of the event loop, is
    left alone. `logs_answers` writes a line for each answer of a worker. `now` is the event loop's time.
    """

    def __init__(self, counters: Counters, durations: RouteDurations, *, logs_answers: bool) -> None:
        self._counters = counters
        self._durations = durations
        self._logs_answers: Final = logs_answers

    def answer(self, now: float, assign: Assign[InFlightRequest], result: Result) -> None:
        """Answer the request with the worker's result, be it an output or an error."""
        in_flight = assign.task.item
        if in_flight.is_over:
            return
        ok = result.status is Status.OK
        answer = TaskAnswer(
            task_id=result.task_id,
            output=result.output,
            error=None if ok else error_of(result.error_code, result.error_message),
            worker_id=result.worker_id,
            route=assign.route.value,
            queue_ms=assign.waited_ms + result.queue_ms,
            load_ms=result.load_ms,
            run_ms=result.run_ms,
            expected_ms=assign.expected_ms,
            evicted_label=result.evicted_label,
            attempt=assign.attempt,
            pass_size=result.pass_size,
        )
        if ok:
            self._counters.answered += 1
        elif result.error_code == DeadlineError.code:
            self._counters.expired += 1
        else:
            self._counters.failed += 1
        self._durations.observe(answer.route, now - in_flight.began)
        if self._logs_answers:
            _log_answer(assign.task.label, answer)
        in_flight.answer(answer)

    def reject(self, now: float, reject: Reject[InFlightRequest]) -> None:
        """Answer the request with the router's refusal."""
        in_flight = reject.task.item
        if in_flight.is_over:
            return
        if reject.reason is Reason.DEADLINE:
            self._counters.expired += 1
        else:
            self._counters.rejected += 1
        error = error_of_reject(reject)
        logger.bind(
            task_id=reject.task.task_id, label=reject.task.label, code=error.code, workers=list(reject.worker_ids)
        ).warning("task refused")
        in_flight.fail(now, error, worker_id=",".join(reject.worker_ids))

    def expire(self, now: float, in_flight: InFlightRequest) -> None:
        """Answer a request whose deadline has passed."""
        if in_flight.is_over:
            return
        self._counters.expired += 1
        assignment = in_flight.assignment
        worker_id = (assignment.worker_id or "") if assignment else ""
        where = f"at worker {worker_id or 'of the queue group'}" if assignment else "waiting for a worker"
        request = in_flight.request
        logger.bind(task_id=request.task_id, label=request.label, where=where).warning("deadline passed")
        error = DeadlineError(f"no answer before the deadline; the task was {where}. Give it more time, or add workers")
        in_flight.fail(now, error, worker_id=worker_id)

    def fail_unsent(self, now: float, in_flight: InFlightRequest, failure: LabelbusError) -> None:
        """Answer a request whose task could not be published, with an error of the failure's own kind."""
        if in_flight.is_over:
            return
        self._counters.rejected += 1
        why = reason(failure.__cause__ or failure)  # the cause: the failure names a subject, which clients do not know
        in_flight.fail(now, type(failure)(f"could not publish the task to NATS ({why}); try again"))


def _log_answer(label: str, answer: TaskAnswer) -> None:
    logger.bind(
        task_id=answer.task_id,
        label=label,
        worker=answer.worker_id,
        route=answer.route,
        code="ok" if answer.error is None else answer.error.code,
        queue_ms=answer.queue_ms,
        load_ms=answer.load_ms,
        run_ms=answer.run_ms,
        expected_ms=answer.expected_ms,
        pass_size=answer.pass_size,
    ).debug("task answered")
