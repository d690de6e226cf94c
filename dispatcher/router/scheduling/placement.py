"""Placement of loads: which waiting label is worth a load, when, and on which worker; and aging against starvation."""

import math

import msgspec

from dispatcher.router.messages import Route
from dispatcher.router.scheduling.cost import CostModel, LoadPlan, is_beside
from dispatcher.router.scheduling.eligibility import Eligibility
from dispatcher.router.state.load_candidates import LEAST_LOAD_S
from dispatcher.router.state.state import RouterState
from dispatcher.router.state.workers import PoolLabel, Worker


class Aging:
    """Age limit of labels that wait for a load: hits go first, so a label without a holder could starve."""

    def __init__(self, state: RouterState) -> None:
        self._state = state
        self._policy = state.policy.aging

    def limit_s(self, label: PoolLabel) -> float:
        """Return how long the label's first task may wait: in load times, and beside what all that waits takes."""
        return self._policy.limit_loads * self._state.load_s(label) + self.least_s()

    def is_reached(self, label: PoolLabel, now: float) -> bool:
        """Return True if the label's first task has waited that long."""
        return now - label.oldest >= self.limit_s(label)

    def least_s(self) -> float:
        """Return how long any label may wait: some times what the pool needs to load and run all that waits once."""
        state = self._state
        work_s = state.waiting_labels * state.loads.mean + state.waiting * state.task_runs.mean
        return self._policy.limit_drains * work_s / (state.pool.slots or 1)

    def has_room(self) -> bool:
        """Return True if another worker may load for an aged label beside those that do."""
        state = self._state
        return state.aging_loads < max(1.0, self._policy.share * state.pool.live)


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """The label that gains most for each second of its load, as in Smith's rule for jobs on one machine."""

    label: PoolLabel
    benefit: float


class Placement:
    """Weighs what a load gains against what it costs, from the label's side and from a free worker's."""

    def __init__(self, state: RouterState, cost_model: CostModel, eligibility: Eligibility) -> None:
        self._state = state
        self._cost_model = cost_model
        self._eligibility = eligibility
        self._aging = Aging(state)

    def update_candidate(self, now: float, label: PoolLabel) -> None:
        """Enter the label among the load candidates as it is now, if a load may pay."""
        label.version += 1
        if (label.queue_length > 0) is not label.counted:
            self._state.count_waiting(label)
        if label.queue_length:
            benefit = self._cost_model.benefit(label, now)
            if benefit > -math.inf:
                load_s = self._state.load_s(label)
                self._state.candidates.put(label, benefit / label.queue_length - now, load_s)

    def offer(self, now: float, label: PoolLabel) -> None:
        """Load the label on free workers as long as that pays; set a timer for when it would."""
        while label.queue_length and self._state.pool.idle:
            benefit = self._cost_model.benefit(label, now)
            if benefit <= 0.0:
                return
            plan = self._cost_model.cheapest(label, now)
            if plan is None:
                return
            if benefit < plan.cost_s and not self._aging.is_reached(label, now):
                self._wake_later(now, label, plan.cost_s - benefit)
                return
            self.start(now, plan)

    def best_for(self, now: float, worker: Worker) -> LoadPlan | None:
        """Return the load that gains most for the worker's time if it pays; set a timer if it pays later."""
        state = self._state
        if self._eligibility.count:
            plan = self._eligibility.next_load(now, worker)
            if plan is not None:
                return plan
        candidate = self._best_candidate(now, worker)
        if candidate is None:
            return None
        label, benefit = candidate.label, candidate.benefit
        load_s = state.load_s(label)
        eviction = self._cost_model.eviction(worker, load_s, now)
        if eviction is None:
            return None
        cost = eviction.regret_s if is_beside(worker) else self._cost_model.slot_cost(worker, load_s, now)
        if benefit < cost:
            self._wake_later(now, label, cost - benefit)
            return None
        return LoadPlan(label, worker, eviction.label)

    def overdue_for(self, now: float, worker: Worker) -> LoadPlan | None:
        """Return the load of a label that reached its age limit, which goes before hits."""
        state = self._state
        limit_s = self._aging.least_s()
        if self._eligibility.count:
            plan = self._eligibility.next_load(now, worker, arrived_before=now - limit_s)
            if plan is not None:
                return plan
        label = state.candidates.oldest(now - limit_s)
        if label is None or not self._aging.is_reached(label, now) or label in worker.labels:
            return None
        if not self._aging.has_room():
            return None
        if self._cost_model.is_served(label, now):
            state.candidates.skip_oldest(label)
            return None
        eviction = self._cost_model.eviction(worker, state.load_s(label), now, forced=True)
        return None if eviction is None else LoadPlan(label, worker, eviction.label, by_aging=True)

    def is_load_overdue(self, now: float) -> bool:
        """Return True if a label has reached its age limit, and another worker may load for one."""
        label = self._state.candidates.oldest(now - self._aging.least_s())
        return label is not None and self._aging.is_reached(label, now) and self._aging.has_room()

    def start(self, now: float, plan: LoadPlan) -> None:
        """Assign a task to the worker that is to load its label; reject the task if its deadline has passed."""
        if plan.task is not None:
            self._eligibility.start_load(now, plan.task, plan)
            return
        state = self._state
        label, worker, evicted = plan.label, plan.worker, plan.evicted
        task = label.pop()
        state.waiting -= 1
        if task.is_late(now):
            state.reject_late(task, now)
            self.update_candidate(now, label)
            return
        route = Route.COPY if label.holders else Route.LOAD
        assignment = state.send_load(now, task, worker, route, evicted)
        if plan.by_aging:
            assignment.by_aging = True
            state.aging_loads += 1
        if route is Route.LOAD and assignment.shares:
            self.send_company(now, label, worker)
        self.update_candidate(now, label)
        if evicted is not None and evicted.queue_length:
            self.update_candidate(now, evicted)
        # Tasks that counted on this worker have longer to wait now.
        for other in worker.labels:
            if other.queue_length and other is not label:
                self.update_candidate(now, other)

    def send_company(self, now: float, label: PoolLabel, worker: Worker) -> None:
        """Send tasks after one that took a place of the worker, as many as share its run."""
        state = self._state
        gathering = label.gathering.get(worker) if worker.open_passes else None
        if gathering is None:
            return
        limit = state.law(label, worker).limit
        while label.queue_length and gathering.count < limit and worker.shares(label.queue[0]):
            task = label.pop()
            state.waiting -= 1
            if task.is_late(now):
                state.reject_late(task, now)
            else:
                state.send(now, task, worker, Route.WAIT)

    def _best_candidate(self, now: float, worker: Worker) -> Candidate | None:
        state = self._state
        best: PoolLabel | None = None
        most = gain = -math.inf
        for label in state.candidates.tops():
            benefit = self._cost_model.benefit(label, now)
            rank = benefit / max(state.load_s(label), LEAST_LOAD_S)
            if rank > most:
                if label in worker.labels:
                    continue
                most = rank
                gain = benefit
                best = label
            elif benefit == -math.inf:
                label.version += 1
        return None if best is None else Candidate(best, gain)

    def _wake_later(self, now: float, label: PoolLabel, missing: float) -> None:
        """Set a timer for when the benefit has grown by `missing`, or the first task has reached the age limit."""
        aged_at = label.oldest + self._aging.limit_s(label)
        at = now + max(missing / label.queue_length, 1e-4)
        self._state.timers.wake_earlier(label, max(min(at, aged_at), now + 1e-4))
