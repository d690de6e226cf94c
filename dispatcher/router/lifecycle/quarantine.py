"""Quarantine of tasks that were lost together with one worker: they are released one after the other.

One of them may have killed the worker, and a task that loses two workers is rejected. Released one by one, the task
that kills again is alone when it does, and the others are answered. A task that runs for long is not waited for, so the
others lose `within_s` at most.
"""

from collections import deque

from dispatcher.router.state.timers import Timers
from dispatcher.router.state.workers import PoolTask


class _Group:
    """Tasks that were lost with one worker; `current` is the one that was released last."""

    __slots__ = ("current", "losses", "rest", "share_s", "until")

    def __init__(self, now: float, tasks: list[PoolTask], share_s: float) -> None:
        self.rest = deque(tasks)
        self.share_s = share_s
        self.release_next(now)

    def release_next(self, now: float) -> PoolTask:
        """Release and return the next task."""
        self.current = self.rest.popleft()
        self.losses = len(self.current.lost)
        self.until = now + self.share_s
        return self.current


class Quarantine:
    """Holds tasks back; those that its methods return may go on.

    `tasks` are the router's tasks without an answer, by id. Call `release_due` when its timer is due.
    """

    def __init__(self, tasks: dict[str, PoolTask], timers: Timers, *, within_s: float, check_every_s: float) -> None:
        self._tasks = tasks
        self._timers = timers
        self._within_s = within_s
        self._check_every_s = check_every_s
        self._groups: list[_Group] = []
        self.wake_at = 0.0

    def held(self) -> list[PoolTask]:
        """Return the tasks that are held back."""
        return [task for group in self._groups for task in group.rest if self._is_open(task)]

    def hold(self, now: float, tasks: list[PoolTask]) -> list[PoolTask]:
        """Quarantine the tasks lost with one worker; return the first, or all if that is one."""
        if len(tasks) < 2:
            return tasks
        group = _Group(now, tasks, self._within_s / len(tasks))
        self._groups.append(group)
        self._timers.wake(self, now + self._check_every_s)
        return [group.current]

    def release_due(self, now: float) -> list[PoolTask]:
        """Release and return the next task of each group whose last one has ended, was lost again, or takes long."""
        released = []
        for group in self._groups:
            while group.rest and (now >= group.until or not self._is_suspect(group)):
                if self._is_open(task := group.release_next(now)):
                    released.append(task)
        self._groups = [group for group in self._groups if group.rest]
        if self._groups:
            self._timers.wake(self, now + self._check_every_s)
        else:
            self._timers.clear(self)
        return released

    def _is_suspect(self, group: _Group) -> bool:
        return self._is_open(group.current) and len(group.current.lost) == group.losses

    def _is_open(self, task: PoolTask) -> bool:
        return self._tasks.get(task.spec.task_id) is task
