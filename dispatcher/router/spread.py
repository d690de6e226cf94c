"""The other way of dispatching, for comparison: one queue, and whichever free worker the queue group picks."""

from collections import deque

from dispatcher.router.books import Books
from dispatcher.router.labels import Label, Pending


class Spread:
    """Sends as many tasks as the known workers have slots; the others wait, since busy workers leave the group."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._queue: deque[Pending] = deque()

    def submit(self, now: float, task: Pending) -> bool:
        """Send the task at once if a worker should be free; False if it has to wait."""
        if self._queue or self._room() <= 0 or self._books.pool.none_runs(task.spec.task_type):
            return False
        self._books.send_any(now, task)
        return True

    def wait(self, now: float, task: Pending, *, again_s: float = 0.0) -> None:
        """Queue a task; one that came back goes to the front, and is sent again after `again_s` at the latest."""
        books = self._books
        books.waiting += 1
        task.waiting = True
        task.label.count += 1
        if self._queue and task.arrived < self._queue[0].arrived:
            self._queue.appendleft(task)
        else:
            self._queue.append(task)
        if task.spec.deadline is not None:
            books.timers.set(task.spec.deadline, task)
        if again_s or not books.assigned:
            books.timers.set(now + max(again_s, books.policy.look_again_s), task)

    def drop(self, now: float, task: Pending) -> None:
        """A waiting task is not wanted any more."""
        self._queue.remove(task)
        self._leave(task)
        self.guard(now)

    def empty(self) -> list[Pending]:
        """Take out everything that waits, by age."""
        tasks = list(self._queue)
        self._queue.clear()
        for task in tasks:
            self._leave(task)
        return tasks

    def serve(self, now: float) -> None:
        """Send what there is room for."""
        while self._queue and self._room() > 0:
            self._send(now)
        self.guard(now)

    def guard(self, now: float) -> None:
        """If only what the workers last said holds the queue back, do not believe it for ever."""
        if self._queue and not self._books.assigned:
            self._books.timers.set(now + self._books.policy.look_again_s, self._queue[0])

    def look(self, now: float, subject: Label | Pending) -> None:
        """A waiting task's deadline, or the time to send it whatever the workers last said."""
        if not isinstance(subject, Pending):
            return
        if subject.spec.deadline is not None and subject.spec.deadline <= now:
            self.drop(now, subject)
            self._books.expired(now, subject)
        elif not self._books.assigned:
            self._send(now)
        elif self._queue and self._queue[0] is subject:
            self._books.timers.set(now + self._books.policy.look_again_max_s, subject)
            self.serve(now)

    def _send(self, now: float) -> None:
        task = self._queue.popleft()
        self._leave(task)
        if not self._books.expired(now, task):
            self._books.send_any(now, task)

    def _leave(self, task: Pending) -> None:
        task.waiting = False
        task.label.count -= 1
        self._books.waiting -= 1

    def _room(self) -> int:
        pool = self._books.pool
        return pool.slots - max(len(self._books.assigned), pool.foreign)
