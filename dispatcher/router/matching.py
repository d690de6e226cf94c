"""Late binding: brings waiting tasks and free workers together, hits first."""

from dispatcher.router.affinity import Prices
from dispatcher.router.books import Books
from dispatcher.router.hits import Hits
from dispatcher.router.labels import Label, Pending
from dispatcher.router.loads import Loads
from dispatcher.router.messages import Route
from dispatcher.router.restricted import Restricted
from dispatcher.router.workers import Worker


class Matcher:
    """A task waits in its label's queue until a worker is free that holds the label, or that had best load it.

    While nothing else happens this holds: no worker with a free slot holds a label that a task waits for.
    """

    def __init__(self, books: Books) -> None:
        self._books = books
        self._prices = Prices(books)
        self._restricted = Restricted(books, self._prices)
        self._loads = Loads(books, self._prices, self._restricted)
        self._hits = Hits(books, self._loads, self._restricted)

    def submit(self, now: float, task: Pending) -> bool:
        """Run the task at once if that is best; False if it has to wait, which `wait` then does."""
        label = task.label
        if not label.free or label.count or not self._books.pool.all_run(task.spec.task_type):
            return False
        worker = self._hits.free_holder(now, label)
        if worker is None:
            return False
        self._books.send(now, task, worker, Route.HIT)
        return True

    def wait(self, now: float, task: Pending) -> None:
        """Put a task into its queue: a new one at the end, one that came back at its place by age."""
        books = self._books
        books.waiting += 1
        if task.spec.deadline is not None:
            books.timers.set(task.spec.deadline, task)
        if not books.pool.all_run(task.spec.task_type):
            self._restricted.push(task)
            self._restricted.offer(now, task)
            return
        label = task.label
        if label.count and task.arrived < label.queue[-1].arrived:
            label.push_front(task)
        else:
            label.push(task)
        self.offer(now, label)

    def drop(self, now: float, task: Pending) -> None:
        """A waiting task is not wanted any more."""
        self._books.waiting -= 1
        if not self._restricted.count or not self._restricted.drop(task):
            task.label.drop(task)
            self._loads.enter(now, task.label)

    def empty(self) -> list[Pending]:
        """Take out everything that waits, by age."""
        tasks = self._restricted.empty()
        for label in self._books.labels:
            while label.count:
                tasks.append(label.pop())
            label.version += 1
        self._books.waiting = 0
        tasks.sort(key=lambda task: task.arrived)
        return tasks

    def offer(self, now: float, label: Label) -> None:
        """Something about the label is new: give its tasks to free holders, or have a free worker load it."""
        self._hits.offer(now, label)
        self._loads.enter(now, label)
        self._loads.offer(now, label)

    def serve(self, now: float, worker: Worker) -> None:
        """Give the worker as much as it can take; what remains of it is free."""
        books = self._books
        loads = self._loads
        while worker.room > 0 or worker.load_room > 0:
            if books.waiting:
                may_load = self._prices.may_load(worker, now)
                if may_load and loads.serve_aged(now, worker):
                    continue
                if (worker.room > 0 or self._is_ahead(worker)) and self._hits.serve(now, worker):
                    continue
                if may_load and loads.serve(now, worker):
                    continue
            if worker.load_room > 0:
                books.pool.set_idle(worker)
            if worker.room > 0:
                for label in worker.labels:
                    label.free[worker] = None
            return

    def look(self, now: float, subject: Label | Pending) -> None:
        """The time to look again at a label, or at a waiting task, has come."""
        if isinstance(subject, Label):
            subject.look_at = 0.0
            self.offer(now, subject)
        elif subject.spec.deadline is not None and subject.spec.deadline <= now:
            self.drop(now, subject)
            self._books.expired(now, subject)
        elif not self._books.pool.all_run(subject.spec.task_type):
            self._restricted.offer(now, subject)

    def _is_ahead(self, worker: Worker) -> bool:
        """True if a hit may follow the one that runs, so that a worker with short tasks never waits for a message."""
        books = self._books
        return worker.window > 0 and worker.load_room > 0 and books.runs.mean < books.policy.ahead_below_s
