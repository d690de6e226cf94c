"""Labels and the tasks that wait for them.

`Holder` is the type of what holds a label: the router's worker, which this module does not know.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Any, Final, Generic, TypeVar

from dispatcher.router.messages import TaskSpec
from dispatcher.router.state.passes import Gathering, PassLaw

Holder = TypeVar("Holder")

UNKNOWN_WORKER: Final = "?"
"""Stands in `Pending.lost` for a worker that the queue group chose and that is not known."""


class Pending(Generic[Holder]):
    """A task that has no answer yet: in a queue (`queued`), in quarantine, or assigned.

    `arrived` is when it was submitted. `attempt` counts its runs from 1, `bounces` its BUSY answers, `lost` names the
    workers that it was lost with (or `UNKNOWN_WORKER`). Until `others_until` a lost task should go to other workers
    than those; `avoids` names them while it waits for one.
    """

    __slots__ = (
        "arrived",
        "attempt",
        "avoids",
        "bounces",
        "cancelled",
        "label",
        "lost",
        "others_until",
        "queued",
        "spec",
    )

    def __init__(self, spec: TaskSpec[Any], label: "Label[Holder]", arrived: float) -> None:
        self.spec = spec
        self.label = label
        self.arrived = arrived
        self.attempt = 1
        self.bounces = 0
        self.lost: tuple[str, ...] = ()
        self.avoids: tuple[str, ...] = ()
        self.others_until = 0.0
        self.cancelled = False
        self.queued = False

    def is_late(self, now: float) -> bool:
        """Return True if the task's deadline has passed."""
        deadline = self.spec.deadline
        return deadline is not None and deadline <= now


class Label(Generic[Holder]):
    """One label: its queue, its holders, and what was measured of it.

    `queue_length` counts the tasks that wait; `arrival_sum` is the sum of their arrival times, `oldest` the arrival
    time of the first of them (infinite while none waits). `arrival_weight` is the decayed count of all arrivals
    (`DecayClock`), `arrived_at` the time of the last one. `load_s` and `run_s` are moving averages in seconds, None
    before the first measurement; `run_s` is the run of a task alone. `laws` are the run times of passes by kind of
    worker, and `passes_pay` says that by the last of them sharing a run pays; `gathering` are the workers that have
    tasks of the label which share runs.
    """

    __slots__ = (
        "aging_entry",
        "arrival_sum",
        "arrival_weight",
        "arrived_at",
        "counted",
        "free_holders",
        "gathering",
        "holders",
        "laws",
        "load_s",
        "name",
        "oldest",
        "passes_pay",
        "queue",
        "queue_length",
        "run_s",
        "version",
        "wake_at",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.queue: deque[Pending[Holder]] = deque()
        self.queue_length = 0
        self.arrival_sum = 0.0
        # Whether RouterState counts it among the labels that tasks wait for.
        self.counted = False
        self.oldest = math.inf
        self.holders: dict[Holder, None] = {}
        # Holders that had a free slot when last seen: the search for one checks them, and drops those that are busy.
        self.free_holders: dict[Holder, None] = {}
        self.gathering: dict[Holder, Gathering] = {}
        self.laws: dict[str, PassLaw] = {}
        self.passes_pay = False
        self.arrival_weight = 0.0
        self.arrived_at = 0.0
        self.load_s: float | None = None
        self.run_s: float | None = None
        # The time of the timer that counts, 0 for none. Written by `Timers`.
        self.wake_at = 0.0
        # Grows when the queue or the holders change: load candidates of an older version are void.
        self.version = 0
        # The arrival time with which it stands in the load candidates' order of age.
        self.aging_entry = math.nan

    def push(self, task: Pending[Holder]) -> None:
        """Put a new task at the end of the queue."""
        task.queued = True
        self.queue.append(task)
        self.queue_length += 1
        self.arrival_sum += task.arrived
        if self.queue_length == 1:
            self.oldest = task.arrived

    def push_front(self, task: Pending[Holder]) -> None:
        """Put a task back before those that arrived after it."""
        task.queued = True
        self.queue_length += 1
        self.arrival_sum += task.arrived
        queue = self.queue
        if not queue or task.arrived <= queue[0].arrived:
            queue.appendleft(task)
            self.oldest = task.arrived
            return
        index = next((i for i, other in enumerate(queue) if other.arrived > task.arrived), len(queue))
        queue.insert(index, task)

    def pop(self) -> Pending[Holder]:
        """Take out and return the task that waits longest."""
        task = self.queue.popleft()
        self.remove(task)
        return task

    def remove(self, task: Pending[Holder]) -> None:
        """Take a task out wherever it stands; its place in the deque is cleared when it comes to the front."""
        task.queued = False
        self.queue_length -= 1
        queue = self.queue
        if not self.queue_length:
            queue.clear()
            self.arrival_sum = 0.0
            self.oldest = math.inf
            return
        self.arrival_sum -= task.arrived
        while not queue[0].queued:
            queue.popleft()
        self.oldest = queue[0].arrived

    def observe_load(self, seconds: float, alpha: float) -> None:
        """Take one measured load time in."""
        self.load_s = seconds if self.load_s is None else self.load_s + alpha * (seconds - self.load_s)

    def observe_run(self, seconds: float, alpha: float) -> None:
        """Take one measured run time in."""
        self.run_s = seconds if self.run_s is None else self.run_s + alpha * (seconds - self.run_s)


class Labels(Generic[Holder]):
    """All labels that were used recently, by name. At most `max_labels`, those in use not counted."""

    def __init__(self, max_labels: int) -> None:
        self._known: OrderedDict[str, Label[Holder]] = OrderedDict()
        self._max = max_labels

    def get(self, name: str) -> Label[Holder]:
        """Return the label, made if it is new."""
        label = self._known.get(name)
        if label is None:
            label = self._known[name] = Label(name)
            if len(self._known) > self._max:
                self._forget()
        return label

    def use(self, name: str) -> Label[Holder]:
        """Return the label, made if it is new, and mark it as the most recently used."""
        label = self._known.get(name)
        if label is None:
            return self.get(name)
        self._known.move_to_end(name)
        return label

    def find(self, name: str) -> Label[Holder] | None:
        """Return the label if it is known."""
        return self._known.get(name)

    def _forget(self) -> None:
        # Held and awaited labels go to the other end; a few tries bound the work, and a later call does the rest.
        for _ in range(8):
            name, label = next(iter(self._known.items()))
            if label.queue_length or label.holders or label.gathering:
                self._known.move_to_end(name)
            else:
                del self._known[name]
                return

    def __iter__(self) -> Iterator[Label[Holder]]:
        return iter(self._known.values())

    def __len__(self) -> int:
        return len(self._known)
