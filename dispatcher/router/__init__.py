"""The router: which worker runs which task, and when. Pure: events and the time in, commands out.

router       the events, each handled by the parts below
messages     what goes in and out: tasks, views of workers, outcomes, commands
policy       settings, in groups
state/       labels, workers, assignments, timers, estimates: what everything else reads
scheduling/  which waiting task runs where, which label is loaded for it: late binding, or random
lifecycle/   what arrivals, answers, losses and disconnects mean for workers and tasks

Imports go one way: state < scheduling < lifecycle < router (import-linter holds that). Import from this package only.
"""

from dispatcher.router.messages import (
    Assign,
    Command,
    Finished,
    Outcome,
    Reason,
    Reject,
    Route,
    TaskSpec,
    WorkerUse,
    WorkerView,
)
from dispatcher.router.policy import Aging, Health, Limits, Retries, RouterPolicy
from dispatcher.router.router import Router

__all__ = [
    "Aging",
    "Assign",
    "Command",
    "Finished",
    "Health",
    "Limits",
    "Outcome",
    "Reason",
    "Reject",
    "Retries",
    "Route",
    "Router",
    "RouterPolicy",
    "TaskSpec",
    "WorkerUse",
    "WorkerView",
]
