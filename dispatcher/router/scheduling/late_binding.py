"""Late binding: a task waits in its label's queue until a worker is free that holds the label, or had best load it."""

import math
from collections.abc import Iterable

from dispatcher.router.messages import Route
from dispatcher.router.scheduling.cost import CostModel
from dispatcher.router.scheduling.eligibility import Eligibility
from dispatcher.router.scheduling.pass_admission import PassAdmission
from dispatcher.router.scheduling.placement import Placement
from dispatcher.router.scheduling.scheduler import Place
from dispatcher.router.state.labels import Label
from dispatcher.router.state.state import RouterState
from dispatcher.router.state.workers import PoolLabel, PoolTask, Worker


class LateBindingScheduler:
    """Brings waiting tasks and free workers together: hits first, then loads that pay (delay scheduling).

    Between events no worker with a free slot holds a label that a task waits for.
    """

    chooses_workers = True

    def __init__(self, state: RouterState) -> None:
        self._state = state
        self._cost_model = CostModel(state)
        self._eligibility = Eligibility(state, self._cost_model)
        self._placement = Placement(state, self._cost_model, self._eligibility)
        self._passes = PassAdmission(state, self._placement, self._eligibility)

    # ── tasks ──

    def find_place(self, now: float, task: PoolTask) -> Place | None:
        """Return a free holder of the new task's label, or one whose next pass it joins; None if others wait there."""
        label = task.label
        if label.queue_length or not (label.free_holders or label.gathering):
            return None
        if not self._state.pool.all_run(task.spec.task_type):
            return None
        worker = self._free_holder(now, label)
        if worker is None and label.gathering:
            return self._passes.find(now, label, task)
        return worker

    def start(self, now: float, task: PoolTask, place: Place) -> None:
        """Run a task on the holder that `find_place` returned."""
        assert isinstance(place, Worker)
        self._state.send(now, task, place, Route.HIT if place.room > 0 else Route.WAIT)

    def enqueue(self, now: float, task: PoolTask) -> None:
        """Let a task wait: a new one at the end, one that came back at its place by age."""
        state = self._state
        state.waiting += 1
        label = task.label
        if task.spec.deadline is not None:
            state.timers.set(task.spec.deadline, task)
        if self._eligibility.is_for_some(now, task):
            self._eligibility.push(now, task)
            self._eligibility.offer(now, task)
            if label.gathering and self._eligibility.contains(task):
                worker = self._passes.find(now, label, task)
                if worker is not None:
                    self._eligibility.start(now, task, worker)
            return
        if label.queue_length and task.arrived < label.queue[-1].arrived:
            label.push_front(task)
        else:
            label.push(task)
        self._offer(now, label)

    def enqueue_bounced(self, now: float, task: PoolTask, *, retry_after_s: float) -> None:
        """Let a task wait that the queue group did not take."""
        self.enqueue(now, task)
        if self._state.pool.is_for_queue_group(task.spec.task_type):
            self._state.timers.set(now + retry_after_s, task)

    def remove(self, now: float, task: PoolTask) -> None:
        """Take a waiting task out."""
        self._state.waiting -= 1
        if self._eligibility.contains(task):
            self._eligibility.remove(task)
        else:
            task.label.remove(task)
            self._placement.update_candidate(now, task.label)

    def remove_all(self) -> list[PoolTask]:
        """Take all waiting tasks out; return them by age."""
        tasks = self._eligibility.remove_all()
        for label in self._state.labels:
            while label.queue_length:
                tasks.append(label.pop())
            label.version += 1
            self._state.count_waiting(label)
        self._state.waiting = 0
        tasks.sort(key=lambda task: task.arrived)
        return tasks

    def release_stranded(self, now: float) -> None:
        """Let tasks that were to try another worker run anywhere, where no other one is left."""
        if self._eligibility.count:
            for task in self._eligibility.remove_stranded():
                self._state.waiting -= 1
                self.enqueue(now, task)

    # ── labels and workers ──

    def offer(self, now: float, labels: Iterable[PoolLabel]) -> None:
        """Find other workers for the tasks of labels that lost a holder."""
        for label in labels:
            if label.queue_length:
                self._offer(now, label)

    def serve(self, now: float, worker: Worker) -> None:
        """Give the worker as much as it can take; the room that is left is marked as free."""
        state = self._state
        placement = self._placement
        while worker.room > 0 or worker.load_room > 0 or (worker.open_passes and state.waiting):
            if state.waiting:
                may_load = self._cost_model.may_load(worker, now)
                if may_load:
                    plan = placement.overdue_for(now, worker)
                    if plan is not None:
                        placement.start(now, plan)
                        continue
                # A pass that gathers hides the way between runs: there a load goes before a hit that is sent ahead.
                passes = worker.open_passes > 0
                hit = self._next_hit(now, worker, ahead=not passes)
                if hit is not None:
                    self._start_hit(now, hit, worker)
                    continue
                if may_load:
                    plan = placement.best_for(now, worker)
                    if plan is not None:
                        placement.start(now, plan)
                        continue
                if passes:
                    hit = self._next_hit(now, worker, ahead=True)
                    if hit is not None:
                        self._start_hit(now, hit, worker)
                        continue
            if worker.load_room > 0:
                state.pool.set_idle(worker)
            if worker.room > 0:
                for label in worker.labels:
                    label.free_holders[worker] = None
            return

    def serve_queue_group(self, now: float) -> None:
        """Do nothing: only tasks that nobody is known for go to the queue group."""

    def wake(self, now: float, subject: PoolLabel | PoolTask) -> None:
        """Act on a timer of a label (offer its tasks) or of a waiting task (reject it if late, or offer it)."""
        if isinstance(subject, Label):
            self._offer(now, subject)
        elif subject.is_late(now):
            self.remove(now, subject)
            self._state.reject_late(subject, now)
        elif self._eligibility.contains(subject):
            if self._eligibility.is_overdue(now, subject):
                self.remove(now, subject)
                self.enqueue(now, subject)
            else:
                self._eligibility.offer(now, subject)

    def ensure_progress(self, now: float) -> None:
        """Do nothing: each label that waits has a holder that works, or a timer."""

    def _offer(self, now: float, label: PoolLabel) -> None:
        """Give the label's tasks to free holders, or have a free worker load it."""
        while label.queue_length:
            worker = self._free_holder(now, label)
            if worker is None:
                break
            self._start_oldest(now, label, worker)
            self._placement.send_company(now, label, worker)
        while label.queue_length and label.gathering:
            worker = self._passes.find(now, label, label.queue[0])
            if worker is None:
                break
            self._start_oldest(now, label, worker)
        self._placement.update_candidate(now, label)
        self._placement.offer(now, label)

    def _free_holder(self, now: float, label: PoolLabel) -> Worker | None:
        """Return a holder with a free slot and the label loaded; drop those that have none from the index.

        Where the label is still being loaded, a timer is set for when it should be ready.
        """
        free = label.free_holders
        while free:
            stale = None
            for worker in free:
                if worker.room <= 0 or label not in worker.labels:
                    stale = worker
                    break
                if not worker.loading:
                    return worker
                ready_at = worker.loading.get(label, 0.0)
                if ready_at <= now:
                    return worker
                self._state.timers.wake_earlier(label, ready_at)
            if stale is None:
                return None
            del free[stale]
        return None

    def _next_hit(self, now: float, worker: Worker, *, ahead: bool) -> PoolLabel | PoolTask | None:
        """Return the oldest hit if the worker has a place for it (or for one `ahead`) or it joins a pass there."""
        has_place = worker.room > 0 or (ahead and self._may_run_ahead(worker))
        if not has_place and not worker.open_passes:
            return None
        hit = self._oldest_hit(now, worker)
        if hit is None or has_place:
            return hit
        label, task = (hit, hit.queue[0]) if isinstance(hit, Label) else (hit.label, hit)
        return hit if self._passes.may_join(now, label, task, worker) else None

    def _oldest_hit(self, now: float, worker: Worker) -> PoolLabel | PoolTask | None:
        """Return the label that the worker holds whose first task is oldest, or an older task for some workers only."""
        oldest = math.inf
        best: PoolLabel | None = None
        for label in worker.labels:
            if label.oldest < oldest:
                if label in worker.loading and worker.loading[label] > now:
                    self._state.timers.wake_earlier(label, worker.loading[label])
                    continue
                oldest = label.oldest
                best = label
        if self._eligibility.count:
            task = self._eligibility.oldest_hit(now, worker, arrived_before=oldest)
            if task is not None:
                return task
        return best

    def _start_hit(self, now: float, hit: PoolLabel | PoolTask, worker: Worker) -> None:
        if isinstance(hit, Label):
            self._start_oldest(now, hit, worker)
            self._placement.send_company(now, hit, worker)
            self._placement.update_candidate(now, hit)
        else:
            self._eligibility.start(now, hit, worker)

    def _start_oldest(self, now: float, label: PoolLabel, worker: Worker) -> None:
        state = self._state
        task = label.pop()
        label.version += 1
        state.waiting -= 1
        if task.is_late(now):
            state.reject_late(task, now)
        else:
            state.send(now, task, worker, Route.WAIT)

    def _may_run_ahead(self, worker: Worker) -> bool:
        """Return True if a hit may follow the one that runs, so that a worker with short tasks waits for no message."""
        state = self._state
        return worker.window > 0 and worker.load_room > 0 and state.runs.mean < state.policy.costs.ahead_below_s
