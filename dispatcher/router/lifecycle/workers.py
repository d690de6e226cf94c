"""Lifecycle of workers: seen, answering, busy, paused, broken, gone; and what each of that means for the tasks."""

from dispatcher.router.lifecycle.contention import Contention
from dispatcher.router.lifecycle.health import Health
from dispatcher.router.lifecycle.quarantine import Quarantine
from dispatcher.router.lifecycle.reconcile import advance, apply_view, changes_nothing, is_current
from dispatcher.router.lifecycle.tasks import TaskLifecycle
from dispatcher.router.messages import WorkerView
from dispatcher.router.scheduling.scheduler import Scheduler
from dispatcher.router.state.state import RouterState
from dispatcher.router.state.workers import Assignment, PoolLabel, PoolTask, Worker


class WorkerLifecycle:
    """Keeps what is known of the workers up to date, and assigns them work when that changes."""

    def __init__(self, state: RouterState, tasks: TaskLifecycle, scheduler: Scheduler) -> None:
        rules = state.policy.quarantine
        self._state = state
        self._tasks = tasks
        self._scheduler = scheduler
        self._contention = Contention(state)
        self._health = Health(state.policy.health)
        self._quarantine = Quarantine(
            state.tasks, state.timers, within_s=rules.within_s, check_every_s=rules.check_every_s
        )

    def quarantined(self) -> list[PoolTask]:
        """Return the tasks that are in quarantine."""
        return self._quarantine.held()

    # ── what workers say and do ──

    def seen(self, now: float, view: WorkerView) -> None:
        """Take in a worker's view of itself; the worker may be new, or a new process under the name of an old one."""
        state = self._state
        worker = state.pool.find(view.worker_id)
        if worker is None:
            worker = Worker(view.worker_id, view)
            state.pool.add(worker)
        elif not is_current(worker, view):
            return
        orphans: list[PoolTask] = []
        if worker.epoch_ms >= 0 and view.epoch_ms > worker.epoch_ms:
            # A new process under the same name has none of the old one's tasks.
            orphans = self._lose(now, worker, list(worker.assignments))
            self._trust_again(worker)
        labels = self._update(now, worker, view)
        self._wait_or_quarantine(now, orphans)
        self._assign_waiting(now, worker)
        self._scheduler.offer(now, labels)
        self._flush_if_empty(now)

    def succeeded(self, worker: Worker) -> None:
        """Count a task that the worker ran well."""
        self._health.succeeded(worker)
        self._contention.succeeded(worker)

    def failed(self, now: float, worker: Worker) -> None:
        """Pause a worker that failed retryably: one that fails fast would attract all the work.

        Tasks that were with it when it failed, such as the others of a pass, fail by the same cause and count once.
        """
        if worker.paused:
            return
        self._health.failed(worker)
        self._pause(now, worker, worker.pause_s)

    def answered(self, now: float, worker: Worker | None, view: WorkerView | None) -> None:
        """Take in the view that came with a result, and use the slot that is free again."""
        if worker is not None and (worker.false_bounces or worker.broken):
            self._health.answered(worker)
        if worker is None:
            if view is not None:
                self.seen(now, view)
            else:
                self._scheduler.serve_queue_group(now)
        elif view is not None and changes_nothing(worker, view):
            self._state.share.observe(view.revision - worker.revision)
            advance(worker, view)
            self._assign_waiting(now, worker)
        elif view is not None and view.worker_id == worker.worker_id and is_current(worker, view):
            self.seen(now, view)
        else:
            self.slot_freed(now, worker)

    def slot_freed(self, now: float, worker: Worker | None) -> None:
        """Use the slot of an assignment that ended without a view."""
        if worker is not None and self._state.pool.find(worker.worker_id) is worker:
            self._assign_waiting(now, worker)
        else:
            self._scheduler.serve_queue_group(now)

    def label_lost(self, now: float, assignment: Assignment) -> None:
        """Count the label of a lost assignment as not held if the worker has no room for it beside the others."""
        worker, label = assignment.worker, assignment.label
        if worker is None or len(worker.labels) <= worker.capacity or label not in worker.labels:
            return
        if all(other.label is not label for other in worker.assignments.values()):
            self._state.drop(worker, label)
            self._scheduler.offer(now, [label])

    def bounced(self, now: float, assignment: Assignment, worker: Worker, view: WorkerView | None) -> None:
        """Take back what the worker was to load and to evict for a task that it was too busy for."""
        state = self._state
        task = assignment.task
        lost: list[PoolLabel] = []
        if assignment.is_load:
            state.drop(worker, assignment.label)
            lost.append(assignment.label)
            if assignment.evicted is not None and len(worker.labels) < worker.capacity:
                state.hold(worker, assignment.evicted)
        self._health.bounced(now, worker, view)
        if view is not None and is_current(worker, view):
            if view.epoch_ms > worker.epoch_ms:
                self.seen(now, view)
            else:
                lost += self._update(now, worker, view)
        self._contention.turned_away(now, worker, view)
        if self._health.is_broken(now, worker):
            self._health.mark_broken(worker)
            self._pause(now, worker, worker.broken_pause_s)
            self._scheduler.release_stranded(now)
        if not task.cancelled:
            self._tasks.bounced(now, task)
        self._scheduler.offer(now, lost)
        self._flush_if_empty(now)

    def gone(self, now: float, worker: Worker, *, refused: int | None = None) -> None:
        """Remove a dead worker and run its tasks elsewhere.

        `refused` is an assignment that nobody was there for. Those after it were not taken either and are no loss,
        unless they may not be run twice: a new process of that name may have taken them.
        """
        state = self._state
        labels = list(worker.labels)
        tasks: list[PoolTask] = []
        taken: list[int] = []
        for assignment_id, assignment in list(worker.assignments.items()):
            if refused is not None and assignment_id > refused and assignment.task.spec.retry:
                state.take_back(assignment_id)
                if not assignment.task.cancelled:
                    tasks.append(assignment.task)
            else:
                taken.append(assignment_id)
        suspects = self._lose(now, worker, taken)
        state.detach(worker)
        state.pool.remove(worker)
        self._sort_again(now)
        self._scheduler.release_stranded(now)
        for task in tasks:
            self._tasks.wait(now, task)
        self._wait_or_quarantine(now, suspects)
        self._scheduler.offer(now, labels)
        self._flush_if_empty(now)

    # ── timers ──

    def wake(self, now: float, worker: Worker) -> None:
        """End a worker's pause, or a time in which others were left alone with it."""
        self._contention.end_yield(worker)
        if self._state.pool.find(worker.worker_id) is not worker:
            return
        if worker.paused:
            self._health.resume(worker)
            if worker.broken:
                self._contention.disbelieve(worker)
            if worker.usable:
                self._state.attach(worker)
        else:
            self._contention.disbelieve(worker)
        self._assign_waiting(now, worker, is_news=False)

    def release_quarantined(self, now: float) -> None:
        """Let the next of the tasks in quarantine go on."""
        for task in self._quarantine.release_due(now):
            self._tasks.wait(now, task)

    # ── ──

    def _lose(self, now: float, worker: Worker, assignment_ids: list[int]) -> list[PoolTask]:
        lost = (self._tasks.lose(now, assignment_id, worker.worker_id) for assignment_id in assignment_ids)
        return [task for task in lost if task is not None]

    def _wait_or_quarantine(self, now: float, tasks: list[PoolTask]) -> None:
        """Let tasks lost with one worker go on one after the other."""
        for task in self._quarantine.hold(now, tasks):
            self._tasks.wait(now, task)

    def _flush_if_empty(self, now: float) -> None:
        if not self._state.pool.live:
            self._tasks.flush(now)

    def _pause(self, now: float, worker: Worker, pause_s: float) -> None:
        if worker.usable:
            self._health.pause(worker)
            self._contention.end_yield(worker)
            labels = list(worker.labels)
            self._state.detach(worker)
            self._scheduler.offer(now, labels)
        if worker.paused:
            self._state.timers.wake(worker, now + pause_s)

    def _trust_again(self, worker: Worker) -> None:
        """Forget that the process before this one was broken."""
        if worker.broken and worker.paused:
            self._health.resume(worker)
            if worker.usable:
                self._state.attach(worker)
        self._health.answered(worker)

    def _update(self, now: float, worker: Worker, view: WorkerView) -> list[PoolLabel]:
        """Apply a view; return the labels that lost a holder."""
        if view.epoch_ms == worker.epoch_ms:
            self._state.share.observe(view.revision - worker.revision)
        pool = self._state.pool
        lost = apply_view(self._state, self._contention, now, worker, view)
        pool.recount(worker)
        if view.task_types is not None:
            pool.set_types(worker, frozenset(view.task_types))
        self._sort_again(now)
        if worker.draining:
            self._scheduler.release_stranded(now)
        return lost

    def _sort_again(self, now: float) -> None:
        pool = self._state.pool
        if pool.mix_changed:
            pool.accept_mix()
            self._tasks.sort_again(now)

    def _assign_waiting(self, now: float, worker: Worker, *, is_news: bool = True) -> None:
        """Assign waiting work to the worker. `is_news`: the worker, or the end of a task, said that it has room."""
        scheduler = self._scheduler
        if not scheduler.chooses_workers:
            scheduler.serve(now, worker)
            return
        contention = self._contention
        if worker.room <= 0 and worker.load_room <= 0:
            self._state.pool.set_busy(worker)
            if worker.foreign and worker.usable:
                contention.full(now, worker)
            if worker.open_passes and worker.usable:
                scheduler.serve(now, worker)  # tasks may join a pass without a place of their own
            return
        if now < self._state.others_until:
            if contention.is_slice_over(now, worker):
                contention.yield_slice(now, worker)
                return
            if is_news:
                contention.delay_loads(now, worker)
        scheduler.serve(now, worker)
        if worker.load_room > 0 and worker.load_not_before > now:
            contention.wake_for_load(now, worker)
        if worker.room > 0:
            contention.begin_slice(now, worker)
        elif worker.foreign and not worker.assignments:
            contention.full(now, worker)  # no result of ours will tell when the slots of others are free
