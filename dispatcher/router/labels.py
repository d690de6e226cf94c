"""A label as the router knows it: the tasks that wait for it, who holds it, and what it costs."""

import math
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dispatcher.router.messages import TaskSpec

if TYPE_CHECKING:
    from dispatcher.router.workers import Worker


class Pending:
    """A task that has no answer yet: in a queue, or assigned."""

    __slots__ = ("arrived", "attempt", "bounces", "cancelled", "label", "lost", "spec", "version", "waiting")

    def __init__(self, spec: TaskSpec[Any], label: "Label", arrived: float) -> None:
        self.spec = spec
        self.label = label
        self.arrived = arrived
        self.attempt = 1
        self.bounces = 0
        self.lost: tuple[str, ...] = ()
        self.cancelled = False
        self.waiting = False


class Label:
    """One label. `count` is the length of its queue, `arrivals` the sum of the arrival times of those in it.

    `oldest` is the arrival time of the first of them, infinite while nobody waits.
    """

    __slots__ = (
        "aged_entry",
        "arrivals",
        "count",
        "counter",
        "free",
        "holders",
        "load_s",
        "look_at",
        "name",
        "oldest",
        "queue",
        "run_s",
        "version",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.queue: deque[Pending] = deque()
        self.count = 0
        self.arrivals = 0.0
        self.oldest = math.inf
        self.holders: dict[Worker, None] = {}
        # Holders that had a free slot when they were last looked at: checked, and dropped if not, when one is wanted.
        self.free: dict[Worker, None] = {}
        self.counter = 0.0
        self.load_s: float | None = None
        self.run_s: float | None = None
        self.look_at = 0.0
        # Grows when the queue or the holders change: entries made for an older version are void.
        self.version = 0
        # The arrival time with which it stands in the candidates' order of age.
        self.aged_entry = math.nan

    def push(self, task: Pending) -> None:
        """Put a new task at the end."""
        task.waiting = True
        self.queue.append(task)
        self.count += 1
        self.arrivals += task.arrived
        if self.count == 1:
            self.oldest = task.arrived

    def push_front(self, task: Pending) -> None:
        """Put a task back; the queue stays in the order of arrival among its first ones."""
        task.waiting = True
        self.count += 1
        self.arrivals += task.arrived
        queue = self.queue
        if not queue or task.arrived <= queue[0].arrived:
            queue.appendleft(task)
            self.oldest = task.arrived
            return
        index = next((i for i, other in enumerate(queue) if other.arrived > task.arrived), len(queue))
        queue.insert(index, task)

    def pop(self) -> Pending:
        """The task that waits longest."""
        task = self.queue.popleft()
        self._leave(task)
        return task

    def drop(self, task: Pending) -> None:
        """Take a task out wherever it stands; its place is cleared when it comes to the front."""
        self._leave(task)

    def _leave(self, task: Pending) -> None:
        task.waiting = False
        self.count -= 1
        queue = self.queue
        if not self.count:
            queue.clear()
            self.arrivals = 0.0
            self.oldest = math.inf
            return
        self.arrivals -= task.arrived
        while not queue[0].waiting:
            queue.popleft()
        self.oldest = queue[0].arrived

    def observe_load(self, seconds: float, alpha: float) -> None:
        """Take one measured load in."""
        self.load_s = seconds if self.load_s is None else self.load_s + alpha * (seconds - self.load_s)

    def observe_run(self, seconds: float, alpha: float) -> None:
        """Take one measured run in."""
        self.run_s = seconds if self.run_s is None else self.run_s + alpha * (seconds - self.run_s)


class Labels:
    """All labels that were heard of lately, by name."""

    def __init__(self, max_labels: int) -> None:
        self._known: OrderedDict[str, Label] = OrderedDict()
        self._max = max_labels

    def get(self, name: str) -> Label:
        """The label, made if it is new."""
        label = self._known.get(name)
        if label is None:
            label = self._known[name] = Label(name)
            if len(self._known) > self._max:
                self._forget()
        return label

    def use(self, name: str) -> Label:
        """The label, made if it is new, and counted among those used lately."""
        label = self._known.get(name)
        if label is None:
            return self.get(name)
        self._known.move_to_end(name)
        return label

    def find(self, name: str) -> Label | None:
        """The label, if it is known."""
        return self._known.get(name)

    def _forget(self) -> None:
        # Held and awaited labels go to the other end; a few tries bound the work, and a later call does the rest.
        for _ in range(8):
            name, label = next(iter(self._known.items()))
            if label.count or label.holders:
                self._known.move_to_end(name)
            else:
                del self._known[name]
                return

    def __iter__(self) -> Iterator[Label]:
        return iter(self._known.values())

    def __len__(self) -> int:
        return len(self._known)
