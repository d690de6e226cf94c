"""What ran side by side on a worker that died goes on one after the other: one of them may have killed it.

Nobody knows which, and a task that loses two workers is given up. Kept apart, the one that kills again is alone when it
does so, and those that happened to run beside it are answered. That costs the others a moment, and only a moment: a
task that runs for long is not waited for.
"""

from collections import deque

from dispatcher.router.labels import Pending


class _Group:
    __slots__ = ("current", "losses", "rest", "share_s", "until")

    def __init__(self, now: float, tasks: list[Pending], share_s: float) -> None:
        self.rest = deque(tasks)
        self.share_s = share_s
        self.call(now)

    def call(self, now: float) -> Pending:
        """The next one's turn."""
        self.current = self.rest.popleft()
        self.losses = len(self.current.lost)
        self.until = now + self.share_s
        return self.current


class LineUp:
    """Holds tasks back; those that its methods return may go on. `tasks` are the router's open ones, by id.

    Have `due` called at `look_at`.
    """

    def __init__(self, tasks: dict[str, Pending], *, within_s: float, look_s: float) -> None:
        self._open = tasks
        self._within_s = within_s
        self._look_s = look_s
        self._groups: list[_Group] = []
        self.look_at = 0.0

    def held(self) -> list[Pending]:
        """Those that must wait."""
        return [task for group in self._groups for task in group.rest if self._is_open(task)]

    def hold(self, now: float, tasks: list[Pending]) -> list[Pending]:
        """These were lost together."""
        if len(tasks) < 2:
            return tasks
        group = _Group(now, tasks, self._within_s / len(tasks))
        self._groups.append(group)
        self.look_at = now + self._look_s
        return [group.current]

    def due(self, now: float) -> list[Pending]:
        """Whose turn has come: those before them have ended, were lost again, or take long."""
        called = []
        for group in self._groups:
            while group.rest and (now >= group.until or not self._is_suspect(group)):
                if self._is_open(task := group.call(now)):
                    called.append(task)
        self._groups = [group for group in self._groups if group.rest]
        self.look_at = now + self._look_s if self._groups else 0.0
        return called

    def _is_suspect(self, group: _Group) -> bool:
        return self._is_open(group.current) and len(group.current.lost) == group.losses

    def _is_open(self, task: Pending) -> bool:
        return self._open.get(task.spec.task_id) is task
