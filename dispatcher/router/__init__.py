"""The router: which worker runs which task, and when. Pure: events and the time in, commands out.

model        what goes in and out: tasks, views of workers, outcomes, commands
policy       the knobs
estimates    rates, load times and run times, learnt from what happens
labels       a label: its queue, its holders, what is known of it
workers      a worker: what it holds and runs; the pool, and an index of the free ones
candidates   the waiting labels that may be worth a load, best first
timers       when to look again
affinity     the prices: what a load gains, what it costs, what to give up for it
restricted   tasks of a type that only some workers know
router       the events, put together
"""

from dispatcher.router.model import (
    Assign,
    Command,
    Finished,
    Outcome,
    Reason,
    Reject,
    Route,
    TaskSpec,
    WorkerView,
)
from dispatcher.router.policy import RouterPolicy
from dispatcher.router.router import Router

__all__ = [
    "Assign",
    "Command",
    "Finished",
    "Outcome",
    "Reason",
    "Reject",
    "Route",
    "Router",
    "RouterPolicy",
    "TaskSpec",
    "WorkerView",
]
