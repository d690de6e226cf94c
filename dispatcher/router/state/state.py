"""State of one router, shared by its parts, and the commands of the current event.

Only this module changes who holds which label and what is assigned to whom.
"""

import random
from typing import Any

from dispatcher.router.messages import Assign, Command, Reject, Route
from dispatcher.router.policy import RouterPolicy
from dispatcher.router.state.estimates import DecayClock, MeanDuration, TrafficShare
from dispatcher.router.state.labels import Labels
from dispatcher.router.state.load_candidates import LoadCandidates
from dispatcher.router.state.passes import Gathering, PassLaw, PassLaws
from dispatcher.router.state.pool import Pool
from dispatcher.router.state.refusals import DeadlinePassed, Refusal
from dispatcher.router.state.timers import Timers
from dispatcher.router.state.workers import Assignment, PoolLabel, PoolTask, Worker


class RouterState:
    """State of one router.

    `tasks` are those without an answer, by task id; `assigned` the assignments without one, by assignment id. `waiting`
    counts the queued tasks, `waiting_labels` the labels that they wait for, `aging_loads` the loads under way that went
    before hits. Other dispatchers are assumed to use the pool until `others_until`.
    """

    def __init__(self, policy: RouterPolicy, rng: random.Random, now: float) -> None:
        estimates = policy.estimates
        self.policy = policy
        self.rng = rng
        self.labels: Labels[Worker] = Labels(policy.limits.max_labels)
        self.pool = Pool(rng)
        self.timers = Timers()
        self.candidates = LoadCandidates()
        self.clock = DecayClock(now, estimates.rate_tau_s, estimates.rate_floor_s)
        self.loads = MeanDuration(estimates.prior_load_s, estimates.load_alpha)
        self.runs = MeanDuration(estimates.prior_run_s, estimates.run_alpha)
        # What a task takes of a slot: the time of its run over the number of tasks that shared it.
        self.task_runs = MeanDuration(estimates.prior_run_s, estimates.run_alpha)
        self.pass_laws = PassLaws()
        self.share = TrafficShare()
        self.tasks: dict[str, PoolTask] = {}
        self.assigned: dict[int, Assignment] = {}
        self.waiting = 0
        self.waiting_labels = 0
        self.aging_loads = 0
        self.others_until = now
        self._commands: list[Command[Any]] = []
        self._last_id = 0

    def take_commands(self) -> list[Command[Any]]:
        """Return the commands since the last call."""
        commands, self._commands = self._commands, []
        return commands

    def load_s(self, label: PoolLabel) -> float:
        """Return the expected time of a load."""
        return self.loads.mean if label.load_s is None else label.load_s

    def run_s(self, label: PoolLabel) -> float:
        """Return the expected time of a run on a holder."""
        return self.runs.mean if label.run_s is None else label.run_s

    def law(self, label: PoolLabel, worker: Worker) -> PassLaw:
        """Return the run time of the label's passes on workers like this one."""
        return self.pass_laws.of(label.laws, worker.kind, worker.pass_tasks)

    def others(self, now: float) -> float:
        """Return the factor from this dispatcher's queues and rates to those of all; 1 where it is alone."""
        return self.share.others if now < self.others_until else 1.0

    # ── tasks ──

    def reject(self, task: PoolTask, refusal: Refusal) -> None:
        """End the task without an answer. It must stand in no queue."""
        self.tasks.pop(task.spec.task_id, None)
        self._commands.append(
            Reject(
                task=task.spec,
                reason=refusal.reason,
                message=refusal.message,
                retry_after_s=refusal.retry_after_s,
                worker_ids=task.lost,
            )
        )

    def reject_late(self, task: PoolTask, now: float) -> None:
        """Reject a task whose deadline has passed."""
        self.reject(task, DeadlinePassed(now - task.arrived))

    def send_any(self, now: float, task: PoolTask) -> None:
        """Send the task to the queue group, which chooses the worker."""
        self._send(now, task, None, Route.ANY, False, None, self.run_s(task.label))

    def send(self, now: float, task: PoolTask, worker: Worker, route: Route) -> None:
        """Assign the task to a worker that holds its label."""
        run_s = task.label.run_s
        if run_s is None:
            run_s = self.runs.mean
        elif worker in task.label.gathering:
            run_s = self.law(task.label, worker).run_s(task.label.gathering[worker].count + 1)
            if worker.loading:
                run_s += max(0.0, worker.loading.get(task.label, 0.0) - now)
        self._send(now, task, worker, route, False, None, run_s)

    def send_load(
        self, now: float, task: PoolTask, worker: Worker, route: Route, evicted: PoolLabel | None
    ) -> Assignment:
        """Assign the task to a worker that has to load its label; it counts as a holder at once."""
        label = task.label
        load_s = self.load_s(label)
        if evicted is not None:
            del worker.labels[evicted]
            self._remove_holder(evicted, worker)
        worker.labels[label] = None
        worker.loading[label] = now + load_s
        worker.synced_labels = None
        label.holders[worker] = None
        label.free_holders[worker] = None
        label.version += 1
        return self._send(now, task, worker, route, True, evicted, self.run_s(label) + load_s)

    def _send(
        self,
        now: float,
        task: PoolTask,
        worker: Worker | None,
        route: Route,
        is_load: bool,
        evicted: PoolLabel | None,
        expected_s: float,
    ) -> Assignment:
        self._last_id = assignment_id = self._last_id + 1
        command = Assign(
            assignment_id=assignment_id,
            task=task.spec,
            attempt=task.attempt,
            worker_id=None if worker is None else worker.worker_id,
            route=route,
            evict_label="" if evicted is None else evicted.name,
            expected_ms=expected_s * 1e3,
            waited_ms=(now - task.arrived) * 1e3,
        )
        ends_at = now + expected_s
        assignment = Assignment(command, task, worker, is_load, evicted, ends_at)
        self.assigned[assignment_id] = assignment
        if worker is not None:
            worker.assignments[assignment_id] = assignment
            worker.assigned_loads += is_load
            places = self._gather(now, worker, assignment) if worker.pass_tasks > 1 and worker.shares(task) else 1
            if places or is_load:
                worker.places += places
                worker.count_places(places)
                if worker.load_room <= 0:
                    self.pool.set_busy(worker)
                if worker.room <= 0:
                    under_way = worker.assignments
                    worker.free_at = ends_at if len(under_way) == 1 else min([a.ends_at for a in under_way.values()])
        self._commands.append(command)
        return assignment

    def _gather(self, now: float, worker: Worker, assignment: Assignment) -> int:
        """Count a task that may share runs with others of its label there; return how many more places it takes."""
        label = assignment.label
        assignment.shares = True
        gathering = label.gathering.get(worker)
        if gathering is None:
            has_slot = worker.places + worker.foreign < worker.slots
            gathering = label.gathering[worker] = Gathering(now, -1 if has_slot else worker.ends)
        was_open = gathering.is_open
        places = gathering.change(1, self.law(label, worker).per_place)
        worker.open_passes += gathering.is_open - was_open
        return places

    def _ungather(self, worker: Worker, label: PoolLabel) -> int:
        """Count a task that shared runs out; return how many more places its label takes, mostly none or less."""
        gathering = label.gathering[worker]
        was_open = gathering.is_open
        places = gathering.change(-1, self.law(label, worker).per_place)
        worker.open_passes += gathering.is_open - was_open
        if not gathering.count:
            del label.gathering[worker]
        return places

    def take_back(self, assignment_id: int) -> Assignment | None:
        """End an assignment and free its slot. Return it, or None if it had ended before."""
        assignment = self.assigned.pop(assignment_id, None)
        if assignment is None:
            return None
        worker = assignment.worker
        if worker is not None:
            del worker.assignments[assignment_id]
            worker.ends += 1
            if assignment.is_load:
                self.aging_loads -= assignment.by_aging
                worker.loading.pop(assignment.label, None)
                worker.synced_labels = None
                worker.assigned_loads -= 1
            worker.places += self._ungather(worker, assignment.label) if assignment.shares else -1
            worker.recount()
        return assignment

    def count_waiting(self, label: PoolLabel) -> None:
        """Count the label among those that tasks wait for, or no longer, after its queue has changed."""
        is_waiting = label.queue_length > 0
        self.waiting_labels += is_waiting - label.counted
        label.counted = is_waiting

    # ── who holds what ──

    def hold(self, worker: Worker, label: PoolLabel) -> None:
        """Count the worker among the label's holders."""
        worker.labels[label] = None
        if worker.usable:
            label.holders[worker] = None
            label.version += 1

    def drop(self, worker: Worker, label: PoolLabel) -> None:
        """Count the worker no longer among the label's holders."""
        worker.labels.pop(label, None)
        worker.loading.pop(label, None)
        self._remove_holder(label, worker)

    def set_loading(self, worker: Worker, label: PoolLabel, ready_at: float) -> None:
        """Note that the worker is loading a label that it holds, until about `ready_at`."""
        worker.loading[label] = ready_at

    def set_loaded(self, worker: Worker, label: PoolLabel) -> None:
        """Note that the worker has loaded the label."""
        worker.loading.pop(label, None)

    def set_synced(self, worker: Worker, names: tuple[str, ...] | None) -> None:
        """Remember the view's labels that equal the worker's labels here, None if there is a difference."""
        worker.synced_labels = names

    def expect_free_at(self, worker: Worker, at: float) -> None:
        """Expect no free slot of the worker before `at`."""
        worker.free_at = max(worker.free_at, at)

    def _remove_holder(self, label: PoolLabel, worker: Worker) -> None:
        label.holders.pop(worker, None)
        label.free_holders.pop(worker, None)
        label.version += 1

    def attach(self, worker: Worker) -> None:
        """Count a worker that may be used again among the holders of its labels."""
        worker.recount()
        for label in worker.labels:
            label.holders[worker] = None
            label.version += 1

    def detach(self, worker: Worker) -> None:
        """Count a worker that may not be used out: it is free for nothing, and nobody waits for it."""
        worker.recount()
        self.pool.set_busy(worker)
        for label in worker.labels:
            self._remove_holder(label, worker)
