"""What becomes of a task that cannot run at once, or comes back: it waits, goes to the queue group, or is given up."""

from dispatcher.router.books import Books
from dispatcher.router.labels import Label, Pending
from dispatcher.router.matching import Matcher
from dispatcher.router.messages import Reason
from dispatcher.router.spread import Spread


class Tasks:
    """Puts tasks into the queue of the router's mode, while that is of use to them."""

    def __init__(self, books: Books, queue: Matcher | Spread) -> None:
        self._books = books
        self._queue = queue
        self.registry = True
        """False while the registry is out of reach: then no task type is called unknown."""

    def submit(self, now: float, task: Pending) -> None:
        """A new task: to a worker, into a queue that is not full, or to the queue group."""
        if not self._queue.submit(now, task) and not self._none_knows(now, task) and not self._full(task):
            self._queue.wait(now, task)

    def wait(self, now: float, task: Pending) -> None:
        """A task that came back waits again, or goes to the queue group if no worker is left."""
        # The label may have been forgotten while the task ran.
        task.label = self._books.labels.get(task.spec.label)
        if not self._none_knows(now, task):
            self._queue.wait(now, task)

    def bounced(self, now: float, task: Pending) -> None:
        """A worker was busy: the task waits again, unless that has happened too often."""
        if not self._bounced_out(now, task):
            self.wait(now, task)
        else:
            self._books.reject(
                task,
                Reason.QUEUE_FULL,
                f"{task.bounces} times it met a busy worker: try again later",
                retry_after_s=1.0,
            )

    def bounced_by_all(self, now: float, task: Pending, *, no_responders: bool) -> None:
        """The queue group did not take the task: it is offered to it again in a while, if there is anybody in it."""
        books = self._books
        policy = books.policy
        if not books.pool.live and no_responders:
            books.reject(task, Reason.NO_WORKER, "no worker is connected: start one, then try again", retry_after_s=1.0)
        elif self._bounced_out(now, task):
            self.bounced(now, task)
        else:
            again_s = min(policy.look_again_s * 2 ** min(task.bounces - 1, 10), policy.look_again_max_s)
            task.label = books.labels.get(task.spec.label)
            if isinstance(self._queue, Spread):
                self._queue.wait(now, task, again_s=again_s)
            elif self._is_for_any(task):
                self._queue.wait(now, task)
                books.timers.set(now + again_s, task)
            else:
                self.wait(now, task)

    def lose(self, assignment_id: int, worker_id: str) -> Pending | None:
        """The task is lost with its worker, or on the way: returns it if it is to be run again."""
        assignment = self._books.take_back(assignment_id)
        assert assignment is not None
        task = assignment.task
        if task.cancelled:
            return None
        task.lost = (*task.lost, worker_id or "?")
        if task.spec.retry and len(task.lost) < self._books.policy.max_worker_losses:
            task.attempt += 1
            return task
        why = "" if task.spec.retry else " and may not be run twice"
        lost = f"it was lost with worker {', '.join(task.lost)}{why}: look into their logs before you send it again"
        self._books.reject(task, Reason.GAVE_UP, lost)
        return None

    def drop(self, now: float, task: Pending) -> None:
        """Nobody wants the answer."""
        if task.waiting:
            self._queue.drop(now, task)
        task.cancelled = True

    def look(self, now: float, subject: Label | Pending) -> None:
        """The time to look again at a label, or at a waiting task, has come."""
        if isinstance(subject, Pending) and self._is_for_any(subject) and not _late(subject, now):
            self._queue.drop(now, subject)
            self.wait(now, subject)
        else:
            self._queue.look(now, subject)

    def sort_anew(self, now: float) -> None:
        """The pool's mix of task types changed: each waiting task goes to the queue that it belongs to now."""
        for task in self._queue.empty():
            self.wait(now, task)

    def flush(self, now: float) -> None:
        """Nobody is known any more: the queue group takes what waits, or says that nobody is there."""
        for task in self._queue.empty():
            if not self._books.expired(now, task):
                self._books.send_any(now, task)

    def _full(self, task: Pending) -> bool:
        books = self._books
        policy = books.policy
        if books.waiting < policy.max_waiting and task.label.count < policy.max_waiting_per_label:
            return False
        queue = books.waiting if books.waiting >= policy.max_waiting else task.label.count
        drain_s = queue * books.run_s(task.label) / max(1, books.pool.live)
        books.reject(
            task,
            Reason.QUEUE_FULL,
            f"{books.waiting} tasks wait, {task.label.count} of them for {task.spec.label}: try again later",
            retry_after_s=min(max(drain_s * 0.1, 1.0), 30.0),
        )
        return True

    def _none_knows(self, now: float, task: Pending) -> bool:
        """Deal with a task that no known worker can run: the queue group may know one; a registry that is there not."""
        books = self._books
        if not self._is_for_any(task):
            return False
        if books.pool.live and self.registry:
            message = f"no worker runs tasks of type {task.spec.task_type}: GET /workers says which are there"
            books.reject(task, Reason.UNKNOWN_TASK_TYPE, message)
        else:
            books.send_any(now, task)
        return True

    def _is_for_any(self, task: Pending) -> bool:
        pool = self._books.pool
        return not pool.live or pool.none_runs(task.spec.task_type)

    def _bounced_out(self, now: float, task: Pending) -> bool:
        policy = self._books.policy
        return task.bounces >= policy.max_bounces and now - task.arrived >= policy.max_bounced_s


def _late(task: Pending, now: float) -> bool:
    return task.spec.deadline is not None and task.spec.deadline <= now
