"""Cost model: what loading a label gains, what it costs a worker, and which label to evict for it. Seconds.

A gain is the time that the tasks waiting for a label are spared; a cost is the time that the tasks expected on the
worker's other labels lose meanwhile. Both are sums over tasks, so they compare.
"""

import math
from itertools import islice
from typing import Final

import msgspec

from dispatcher.router.state.state import RouterState
from dispatcher.router.state.workers import PoolLabel, PoolTask, Worker

_SAMPLED_HOLDERS: Final = 4
"""Holders looked at for the time until one is free: with so many, the earliest of any four is soon."""

_CHANCE: Final = 4
"""Queue length up to which it shows nothing of the arrival rate: n - 2·√n, the count less two standard deviations of a
Poisson count, is 0 at 4."""

_EMPTY: Final = -math.inf
"""Benefit of a load where the holders do as well."""


class Eviction(msgspec.Struct, frozen=True, gc=False):
    """Label to unload for a load (None where there is room), and the expected time lost by that, `regret_s`."""

    label: PoolLabel | None
    regret_s: float


NO_EVICTION: Final = Eviction(None, 0.0)


class LoadPlan(msgspec.Struct, frozen=True, gc=False):
    """A load to start: the label on the worker, in place of `evicted`, for the label's oldest task or for `task`.

    `cost_s` is what the benefit has to exceed. `by_aging`: the label waited too long and goes before hits.
    """

    label: PoolLabel
    worker: Worker
    evicted: PoolLabel | None
    cost_s: float = 0.0
    task: PoolTask | None = None
    by_aging: bool = False


class CostModel:
    """Costs and benefits of loads and evictions. Reads the router state and changes nothing."""

    def __init__(self, state: RouterState) -> None:
        self._state = state
        self._costs = state.policy.costs

    def benefit(self, label: PoolLabel, now: float) -> float:
        """Return what one more load of the label gains for the tasks that wait for it; −inf where holders do as well.

        Without a holder: the time waited so far, and a load time for each task. With holders: the time by which the
        queue would take longer to drain than a load, for each task.
        """
        state = self._state
        count = label.queue_length
        load_s = state.loads.mean if label.load_s is None else label.load_s
        waited = count * now - label.arrival_sum
        if not label.holders:
            return waited + count * load_s
        costs = self._costs
        run_s = state.runs.mean if label.run_s is None else label.run_s
        soonest, slots, window = _soonest_free(label, now)
        # Other dispatchers' queues for the same holders are invisible; assume they are proportional to ours.
        others = state.share.others if now < state.others_until else 1.0
        rate = label.arrival_weight * state.clock.scale(now) * others
        if count > _CHANCE:
            # The queue shows a surge before the average does: its length less two standard deviations (see `_CHANCE`).
            grown_in = now - label.oldest + costs.surge_loads * load_s
            surge = (count - 2.0 * math.sqrt(count)) * others / grown_in
            if surge > rate:
                rate = surge
        backlog = count * others
        patience = costs.copy_cold_at
        if rate * run_s > costs.in_demand * self._expense(load_s, run_s, window) * slots:
            patience = costs.copy_at
            # Add what will have arrived, beyond what the holders run, by the time that the copy is ready.
            backlog += max(0.0, rate - costs.hit_share * slots / max(run_s, 1e-6)) * load_s
        delay = soonest + backlog * run_s / slots
        if delay <= patience * load_s:
            return _EMPTY
        return waited + backlog / others * (delay - load_s)

    def is_served(self, label: PoolLabel, now: float) -> bool:
        """Return True if the holders of the label do as well as a load would."""
        return self.benefit(label, now) == _EMPTY

    def load_cost(self, worker: Worker, load_s: float, now: float) -> float:
        """Return what a load of `load_s` costs the tasks that wait, or will arrive, for what the worker holds.

        A task that arrives during the load waits half of it on average; one that waits already waits all of it.
        """
        demand = 0.0
        queued = 0.0
        for label in worker.labels:
            holders = len(label.holders)
            demand += label.arrival_weight / (holders * holders)
            if label.queue_length:
                queued += label.queue_length / holders
        rate = demand * self._state.clock.scale(now)
        # A load takes one slot: with several, the others go on.
        cost = (rate * load_s * 0.5 + queued) * load_s / (worker.slots * worker.slots)
        # With a window it keeps no slot from the others; what it keeps from them is the worker's next load.
        return self._costs.overlap_cost * cost if worker.window else cost

    def eviction(self, worker: Worker, now: float, *, forced: bool = False) -> Eviction | None:
        """Return what to evict for a load on the worker, or None if everything that it holds is in use.

        The label of the least value goes: its arrival rate times its load time, less if other holders cover its demand.
        The only holder of a label that tasks wait for keeps it unless `forced`. A worker with more slots than labels,
        whose labels may be in use all the time, can be forced to evict one in use: it waits for the label's users.
        """
        if len(worker.labels) < worker.capacity:
            return NO_EVICTION
        costs = self._costs
        state = self._state
        scale = state.clock.scale(now)
        others = state.others(now)
        in_use = {assignment.label for assignment in worker.assignments.values()} if worker.assignments else ()
        if forced and worker.slots > worker.capacity:
            in_use = ()
        best: PoolLabel | None = None
        least = regret = math.inf
        for label in worker.labels:
            if label in in_use or label in worker.loading:
                continue
            holders = len(label.holders)
            if label.queue_length and holders <= 1 and not forced:
                continue
            load_s = state.loads.mean if label.load_s is None else label.load_s
            rate = label.arrival_weight * scale
            value = rate * load_s
            if holders > 1:
                run_s = state.runs.mean if label.run_s is None else label.run_s
                if rate * run_s * others < costs.covered * (holders - 1) * worker.slots:
                    value *= costs.spare_factor * (1.0 - self._expense(load_s, run_s, worker.window))
            if label.queue_length:
                value += load_s * label.queue_length
            if value < least:
                least = value
                best = label
                regret = costs.overlap_horizon_s * value if worker.window else min(load_s, costs.horizon_s * value)
        return None if best is None else Eviction(best, regret)

    def _expense(self, load_s: float, run_s: float, window: int) -> float:
        """Return how expensive a load is beside the runs that it delays, 0 to 1: the more, the fewer copies pay."""
        if window:
            return self._costs.beside_expense
        return load_s / (load_s + self._costs.half_expensive_runs * run_s) if load_s else 0.0

    def may_load(self, worker: Worker, now: float) -> bool:
        """Return True if the worker takes a load, and other dispatchers have had their chance to run hits there."""
        if worker.load_room <= 0 or worker.load_not_before > now:
            return False
        return worker.room > 0 or now >= self._state.others_until

    def cheapest(self, label: PoolLabel, now: float) -> LoadPlan | None:
        """Return the cheapest of some free workers to load the label on; None if no free worker can."""
        load_s = self._state.load_s(label)
        best: LoadPlan | None = None
        least = math.inf
        for worker in self._state.pool.sample(self._costs.sample):
            if label in worker.labels or not self.may_load(worker, now):
                continue
            cost = self.load_cost(worker, load_s, now)
            if cost >= least:
                continue
            eviction = self.eviction(worker, now)
            if eviction is not None and cost + eviction.regret_s < least:
                least = cost + eviction.regret_s
                best = LoadPlan(label, worker, eviction.label, least if worker.window else cost)
        return best


def _soonest_free(label: PoolLabel, now: float) -> tuple[float, int, int]:
    """Return the time until one of the label's holders is free, the slots of all, and the window of one of them."""
    holders = label.holders
    count = len(holders)
    soonest = math.inf
    slots = window = 0
    for worker in holders if count <= _SAMPLED_HOLDERS else islice(holders, _SAMPLED_HOLDERS):
        slots += worker.slots
        window = worker.window
        free_at = worker.free_at if worker.room <= 0 else now
        if worker.loading:
            ready_at = worker.loading.get(label, 0.0)
            if ready_at > free_at:
                free_at = ready_at
        if free_at < soonest:
            soonest = free_at
    if count > _SAMPLED_HOLDERS:
        slots = slots * count // _SAMPLED_HOLDERS
    return (soonest - now if soonest > now else 0.0), slots, window
