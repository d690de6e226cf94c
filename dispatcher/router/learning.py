"""What an answer teaches: run and load times, and what its worker holds where the answer brings no view."""

from dispatcher.router.books import Books
from dispatcher.router.labels import Label
from dispatcher.router.messages import Outcome
from dispatcher.router.workers import Assignment, Worker


def learn(books: Books, assignment: Assignment, outcome: Outcome) -> None:
    """Take in the times of a task that went well, and how far it moved its worker's revision."""
    policy = books.policy
    if outcome.label_hit:  # the first run after a load takes several times as long, and would pass for usual
        run_s = max(outcome.run_ms, 0.0) / 1e3
        assignment.label.observe_run(run_s, policy.run_alpha)
        books.runs.observe(run_s)
    if not assignment.loads or outcome.label_hit:
        books.share.own(2)
        return
    books.share.own(5 if outcome.evicted_label else 4)
    if outcome.load_ms > 0:  # who joins a load sees only its rest
        assignment.label.observe_load(outcome.load_ms / 1e3, policy.load_alpha)
        books.loads.observe(outcome.load_ms / 1e3)


def infer_labels(books: Books, worker: Worker, assignment: Assignment, outcome: Outcome) -> list[Label]:
    """What the answer alone says of the worker's labels; returns those that it holds no more."""
    lost: list[Label] = []
    if not outcome.ok and assignment.loads and not outcome.label_hit:
        lost.append(assignment.label)
    evicted = books.labels.find(outcome.evicted_label)
    if evicted is not None and evicted in worker.labels:
        lost.append(evicted)
    for label in lost:
        books.drop(worker, label)
    kept = assignment.evicted
    if kept is not None and kept.name != outcome.evicted_label and len(worker.labels) < worker.capacity:
        books.hold(worker, kept)
    return lost
