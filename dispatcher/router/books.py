"""What the parts of the router share: who is known, what is assigned, what was learnt, and the commands so far."""

import random
from typing import Any

from dispatcher.router.candidates import Candidates
from dispatcher.router.estimates import DecayClock, Durations, Share
from dispatcher.router.labels import Label, Labels, Pending
from dispatcher.router.messages import Assign, Command, Reason, Reject, Route
from dispatcher.router.policy import RouterPolicy
from dispatcher.router.pool import Pool
from dispatcher.router.timers import Timers
from dispatcher.router.workers import Assignment, Worker


class Books:
    """The state of one router. `out` gathers commands until the event that caused them ends."""

    def __init__(self, policy: RouterPolicy, rng: random.Random, now: float) -> None:
        self.policy = policy
        self.rng = rng
        self.labels = Labels(policy.max_labels)
        self.pool = Pool(rng)
        self.timers = Timers()
        self.candidates = Candidates()
        self.clock = DecayClock(now, policy.rate_tau_s, policy.rate_floor_s)
        self.loads = Durations(policy.prior_load_s, policy.load_alpha)
        self.runs = Durations(policy.prior_run_s, policy.run_alpha)
        # How long labels waited for their loads, those that reached the age limit left aside.
        self.load_waits = Durations(0.0, policy.run_alpha)
        self.tasks: dict[str, Pending] = {}
        self.assigned: dict[int, Assignment] = {}
        self.out: list[Command[Any]] = []
        self.waiting = 0
        self.aged_loads = 0
        # Other dispatchers are thought to use the pool until then.
        self.others_until = now
        self.share = Share()
        self._last_id = 0

    def take_out(self) -> list[Command[Any]]:
        """The commands since the last call."""
        out, self.out = self.out, []
        return out

    def load_s(self, label: Label) -> float:
        """Expected time of a load."""
        return self.loads.mean if label.load_s is None else label.load_s

    def run_s(self, label: Label) -> float:
        """Expected time of a run on a holder."""
        return self.runs.mean if label.run_s is None else label.run_s

    def rate(self, label: Label, now: float) -> float:
        """Arrivals per second."""
        return label.counter * self.clock.scale(now)

    def others(self, now: float) -> float:
        """What the queues and rates of this dispatcher are multiplied by to be those of all, 1 where it is alone."""
        return self.share.others if now < self.others_until else 1.0

    def expired(self, now: float, task: Pending) -> bool:
        """True if the task's deadline has passed; it is rejected then."""
        deadline = task.spec.deadline
        if deadline is None or deadline > now:
            return False
        self.reject(task, Reason.DEADLINE, f"its deadline passed after it had waited {now - task.arrived:.3f} s")
        return True

    def reject(self, task: Pending, reason: Reason, message: str, retry_after_s: float = 0.0) -> None:
        """End the task without an answer. It must stand in no queue."""
        self.tasks.pop(task.spec.task_id, None)
        self.out.append(
            Reject(
                task=task.spec,
                reason=reason,
                message=message,
                retry_after_s=retry_after_s,
                worker_ids=task.lost,
            )
        )

    def send_any(self, now: float, task: Pending) -> None:
        """Leave the choice to the queue group."""
        self._send(now, task, None, Route.ANY, False, None, self.run_s(task.label))

    def send(self, now: float, task: Pending, worker: Worker, route: Route) -> None:
        """Assign the task to a worker that holds its label."""
        run_s = task.label.run_s
        self._send(now, task, worker, route, False, None, self.runs.mean if run_s is None else run_s)

    def send_load(self, now: float, task: Pending, worker: Worker, route: Route, evict: Label | None) -> Assignment:
        """Assign the task to a worker that has to load its label: what that changes there counts at once."""
        label = task.label
        load = self.load_s(label)
        if evict is not None:
            del worker.labels[evict]
            self._unhold(evict, worker)
        worker.labels[label] = None
        worker.loading[label] = now + load
        worker.synced = None
        label.holders[worker] = None
        label.free[worker] = None
        label.version += 1
        return self._send(now, task, worker, route, True, evict, self.run_s(label) + load)

    def _send(
        self,
        now: float,
        task: Pending,
        worker: Worker | None,
        route: Route,
        loads: bool,
        evict: Label | None,
        expected_s: float,
    ) -> Assignment:
        self._last_id = assignment_id = self._last_id + 1
        command = Assign(
            assignment_id=assignment_id,
            task=task.spec,
            attempt=task.attempt,
            worker_id=None if worker is None else worker.worker_id,
            route=route,
            evict_label="" if evict is None else evict.name,
            expected_ms=expected_s * 1e3,
            waited_ms=(now - task.arrived) * 1e3,
        )
        ends = now + expected_s
        assignment = Assignment(command, task, worker, loads, evict, ends)
        self.assigned[assignment_id] = assignment
        if worker is not None:
            worker.own[assignment_id] = assignment
            worker.own_loads += loads
            if worker.window:
                worker.recount()
            else:
                worker.room = worker.load_room = worker.room - 1
            if worker.load_room <= 0:
                self.pool.set_busy(worker)
            if worker.room <= 0:
                worker.free_at = ends if len(worker.own) == 1 else min([a.ends for a in worker.own.values()])
        self.out.append(command)
        return assignment

    def take_back(self, assignment_id: int) -> Assignment | None:
        """The assignment is over; its slot is free again. None if it was over before."""
        assignment = self.assigned.pop(assignment_id, None)
        if assignment is None:
            return None
        worker = assignment.worker
        if worker is not None:
            del worker.own[assignment_id]
            if assignment.loads:
                self.aged_loads -= assignment.aged
                worker.loading.pop(assignment.label, None)
                worker.synced = None
                worker.own_loads -= 1
            worker.recount()
        return assignment

    def hold(self, worker: Worker, label: Label) -> None:
        """The worker holds the label, or will."""
        worker.labels[label] = None
        if worker.usable:
            label.holders[worker] = None
            label.version += 1

    def drop(self, worker: Worker, label: Label) -> None:
        """The worker holds the label no more."""
        worker.labels.pop(label, None)
        worker.loading.pop(label, None)
        self._unhold(label, worker)

    def _unhold(self, label: Label, worker: Worker) -> None:
        label.holders.pop(worker, None)
        label.free.pop(worker, None)
        label.version += 1

    def attach(self, worker: Worker) -> None:
        """It may be used again: its labels count it among their holders."""
        worker.recount()
        for label in worker.labels:
            label.holders[worker] = None
            label.version += 1

    def detach(self, worker: Worker) -> None:
        """It may not be used: nobody waits for it."""
        worker.recount()
        self.pool.set_busy(worker)
        for label in worker.labels:
            self._unhold(label, worker)
