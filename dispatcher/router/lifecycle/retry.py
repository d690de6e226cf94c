"""Decisions about tasks that came back without an answer: run again, or not."""

import msgspec

from dispatcher.router.messages import Outcome
from dispatcher.router.policy import Retries
from dispatcher.router.state.refusals import BouncedTooOften, LostTooOften
from dispatcher.router.state.workers import PoolTask


class RunAgain(msgspec.Struct, frozen=True):
    """The task waits again. `attempt` is the number of its next run."""

    attempt: int


class GiveUp(msgspec.Struct, frozen=True):
    """The task is rejected for this reason."""

    refusal: LostTooOften | BouncedTooOften


class PassOn(msgspec.Struct, frozen=True):
    """The failure is the task's answer."""


PASS_ON = PassOn()


def after_failure(task: PoolTask, outcome: Outcome, policy: Retries) -> RunAgain | PassOn:
    """Decide about a task that a worker failed at."""
    again = outcome.retryable and task.spec.retry and not task.cancelled and task.attempt < policy.max_attempts
    return RunAgain(task.attempt + 1) if again else PASS_ON


def after_loss(task: PoolTask, worker_id: str, policy: Retries) -> RunAgain | GiveUp:
    """Decide about a task that was lost with a worker, or on the way to or from it."""
    lost = (*task.lost, worker_id)
    if task.spec.retry and len(lost) < policy.max_worker_losses:
        return RunAgain(task.attempt + 1)
    return GiveUp(LostTooOften(lost, task.spec.retry))


def after_bounce(now: float, task: PoolTask, policy: Retries) -> RunAgain | GiveUp:
    """Decide about a task whose worker was busy. A bounce is no attempt."""
    if task.bounces >= policy.max_bounces and now - task.arrived >= policy.max_bounced_s:
        return GiveUp(BouncedTooOften(task.bounces))
    return RunAgain(task.attempt)
