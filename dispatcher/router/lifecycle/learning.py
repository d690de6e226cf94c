"""Learning from results: run and load times, and what the worker holds where a result brings no view."""

from dispatcher.router.messages import Outcome
from dispatcher.router.state.state import RouterState
from dispatcher.router.state.workers import Assignment, PoolLabel, Worker

_TASK_STEPS = 2
"""Steps that one task moves its worker's revision by: taken and answered …"""
_LOAD_STEPS = 4
"""… with a load: its begin and its end beside them …"""
_EVICTION_STEPS = 5
"""… and with an eviction before it."""


def learn(state: RouterState, assignment: Assignment, outcome: Outcome) -> None:
    """Take in the times of a task that went well, and the steps that it moved its worker's revision by."""
    estimates = state.policy.estimates
    if outcome.label_hit:  # the first run after a load takes several times as long as the others
        run_s = max(outcome.run_ms, 0.0) / 1e3
        state.task_runs.observe(run_s / max(outcome.pass_size, 1))
        worker = assignment.worker
        if assignment.shares and worker is not None:
            law = state.law(assignment.label, worker)
            law.observe(min(max(outcome.pass_size, 1), worker.pass_tasks), run_s, worker.pass_tasks)
            run_s = law.single_s
            assignment.label.passes_pay = law.limit > 1
        assignment.label.observe_run(run_s, estimates.run_alpha)
        state.runs.observe(run_s)
    if not assignment.is_load or outcome.label_hit:
        state.share.observe_own(_TASK_STEPS)
        return
    state.share.observe_own(_EVICTION_STEPS if outcome.evicted_label else _LOAD_STEPS)
    if outcome.load_ms > 0:  # a task that joins a load under way sees only the rest of it
        assignment.label.observe_load(outcome.load_ms / 1e3, estimates.load_alpha)
        state.loads.observe(outcome.load_ms / 1e3)


def infer_labels(state: RouterState, worker: Worker, assignment: Assignment, outcome: Outcome) -> list[PoolLabel]:
    """Apply what a result without a view says of the worker's labels; return those that it holds no longer."""
    lost: list[PoolLabel] = []
    if not outcome.ok and assignment.is_load and not outcome.label_hit:
        lost.append(assignment.label)
    evicted = state.labels.find(outcome.evicted_label)
    if evicted is not None and evicted in worker.labels:
        lost.append(evicted)
    for label in lost:
        state.drop(worker, label)
    kept = assignment.evicted
    if kept is not None and kept.name != outcome.evicted_label and len(worker.labels) < worker.capacity:
        state.hold(worker, kept)
    return lost
