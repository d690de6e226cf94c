"""The router: which worker runs which task, and when. Pure: events and the time in, commands out.

messages     what goes in and out: tasks, views of workers, outcomes, commands
policy       the knobs
estimates    rates, load times and run times, learnt from what happens
labels       a label: its queue, its holders, what is known of it
workers      a worker: what it holds and runs
pool         all workers, and an index of the free ones
candidates   the waiting labels that may be worth a load, best first
timers       when to look again
books        all of these, and what is assigned to whom
affinity     the prices: what a load gains, what it costs, what to give up for it
hits         tasks for workers that hold their label
loads        labels for workers that do not hold them
age          the limit to how long a label waits for its load while hits go first
restricted   tasks of a type that only some workers know
matching     late binding: hits, loads and queues, put together
spread       the other way of dispatching: one queue, the queue group chooses
tasks        what becomes of tasks that wait, or come back
learning     what an answer teaches
views        what a worker's description of itself changes
sharing      workers shared with other dispatchers: turns, and whom to believe busy
fleet        workers that come, speak, rest and go
router       the events, put together
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
    "WorkerUse",
    "WorkerView",
]
