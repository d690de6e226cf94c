"""Cost model: what loading a label gains, what it costs a worker, and which label to evict for it.

Everything is seconds that tasks wait, summed over tasks, so gains and costs compare. Symbols: n tasks wait for a label
and have waited W seconds in all; r is its arrival rate, L its load time, I its run time; its holders have h slots.

gain, no holder      W + n·L. Ski rental: a label is loaded once its tasks have waited as long as the load costs others.
                     Ranked by (W + n·L)/L, labels share the workers by the square-root law of polling with set-ups.
gain of a copy       m²/2 · (1/s − 1/(s + Δ)): m tasks will still wait when the copy is ready. They drain at the surplus
                     s = h/I − r without it, at s + Δ with it (a fluid queue: the areas of two triangles).
cost, in a slot      (R·L/2 + Q)·L / slots². Of the tasks for the worker's labels, R a second arrive during the load and
                     wait half of it, and the Q that are queued wait all of it. The evicted label is one of these.
cost, beside slots   The regret of the eviction alone: the load delays no run.
regret               D·(r·L + n): the tasks that wait for the evicted label, or arrive while the other one is loaded,
                     each wait D longer. D is its load time if nobody else holds it; else the wait for the other
                     holders, I·ρ/(1 − ρ) as in an M/M/1 queue, if that is less.

r is the average over some 30 s; a queue shows a surge (`_CHANCE`), and a gap a lull (`_LULL`), before the average does.

With equal labels a load beside the slots starts at n = r·L, when as many tasks wait as arrive in one load time. That is
the optimum of the fluid model, in which labels take turns in the memory: each waits one load time before it is loaded
again (docs/performance.md, "How the router decides").
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

_LULL: Final = 4.0
"""A label without an arrival for t seconds counts with no more than 4/t arrivals a second: at a higher rate the chance
of such a gap were less than e⁻⁴, 2 %. The counterpart of `_CHANCE`: a lull shows before the average does."""

_LEAST_RUN_S: Final = 1e-6
"""Runs count as no shorter than this."""

_NO_GAIN: Final = -math.inf
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
        self._horizon_s = state.policy.estimates.rate_tau_s

    def benefit(self, label: PoolLabel, now: float) -> float:
        """Return the gain of one more load for the tasks that wait for the label; −inf where its holders do as well."""
        state = self._state
        count = label.queue_length
        load_s = state.loads.mean if label.load_s is None else label.load_s
        if not label.holders:
            return count * (now + load_s) - label.arrival_sum
        run_s = state.runs.mean if label.run_s is None else label.run_s
        if label.passes_pay:
            run_s = self._pass_share_s(label, next(iter(label.holders)), count / len(label.holders), run_s)
        if run_s < _LEAST_RUN_S:
            run_s = _LEAST_RUN_S
        soonest, slots = _soonest_free(label, now)
        # Other dispatchers' queues for the same holders are invisible; assume they are proportional to ours.
        others = state.share.others if now < state.others_until else 1.0
        rate = label.arrival_weight * state.clock.scale(now) * others
        if count > _CHANCE:
            # The queue shows a surge before the average does: its length less two standard deviations (see `_CHANCE`).
            surge = (count - 2.0 * math.sqrt(count)) * others / (now - label.oldest + self._costs.surge_loads * load_s)
            if surge > rate:
                rate = surge
        service = slots / run_s
        left = count * others + rate * load_s
        if load_s > soonest:
            left -= service * (load_s - soonest)
        if left <= 0.0:
            return _NO_GAIN
        # A rate is known over its time constant: no queue is expected to last longer.
        surplus = service - rate
        if surplus < left / self._horizon_s:
            surplus = left / self._horizon_s
        more = service / len(label.holders)
        return left * left * 0.5 * (1.0 / surplus - 1.0 / (surplus + more)) / others

    def is_served(self, label: PoolLabel, now: float) -> bool:
        """Return True if the holders of the label do as well as a load would."""
        return self.benefit(label, now) == _NO_GAIN

    def slot_cost(self, worker: Worker, load_s: float, now: float) -> float:
        """Return what a load of `load_s` in a slot costs the tasks for what the worker holds."""
        scale = self._state.clock.scale(now)
        demand = 0.0
        queued = 0.0
        for label in worker.labels:
            holders = len(label.holders)
            rate = label.arrival_weight * scale
            lull_s = now - label.arrived_at
            if rate * lull_s > _LULL:
                rate = _LULL / lull_s
            # Its share of the label's tasks, and the chance that no other holder is free, are 1/holders each.
            demand += rate / (holders * holders)
            if label.queue_length:
                queued += label.queue_length / holders
        # A load takes one slot: with several, the others go on.
        return (demand * load_s * 0.5 + queued) * load_s / (worker.slots * worker.slots)

    def eviction(self, worker: Worker, load_s: float, now: float, *, forced: bool = False) -> Eviction | None:
        """Return what to evict for a load of `load_s` on the worker, or None if everything that it holds is in use.

        The only holder of a label that tasks wait for keeps it unless `forced`. A worker with more slots than capacity,
        whose labels may be in use all the time, can be forced to evict one in use: it waits for the label's users.
        """
        if len(worker.labels) < worker.capacity:
            return NO_EVICTION
        state = self._state
        scale = state.clock.scale(now)
        others = state.others(now)
        in_use = {assignment.label for assignment in worker.assignments.values()} if worker.assignments else ()
        if forced and worker.slots > worker.capacity:
            in_use = ()
        best: PoolLabel | None = None
        least = math.inf
        for label in worker.labels:
            if label in in_use or label in worker.loading:
                continue
            holders = len(label.holders)
            if label.queue_length and holders <= 1 and not forced:
                continue
            rate = label.arrival_weight * scale
            lull_s = now - label.arrived_at
            if rate * lull_s > _LULL:
                rate = _LULL / lull_s
            delay_s = state.loads.mean if label.load_s is None else label.load_s
            if holders > 1:
                run_s = state.runs.mean if label.run_s is None else label.run_s
                each_s = self._pass_share_s(label, worker, math.inf, run_s) if label.passes_pay else run_s
                use = rate * each_s * others / ((holders - 1) * worker.slots)
                if use < 1.0:
                    delay_s = min(delay_s, run_s * use / (1.0 - use))
            regret = delay_s * (rate * load_s + label.queue_length)
            if regret < least:
                least = regret
                best = label
        return None if best is None else Eviction(best, least)

    def _pass_share_s(self, label: PoolLabel, worker: Worker, count: float, run_s: float) -> float:
        """Return the time that one of `count` tasks takes of the worker, which runs them in passes: b + a/n."""
        law = label.laws.get(worker.kind)
        if law is None or law.limit <= 1:
            return run_s
        return law.unit_s + law.fixed_s / min(law.limit, max(count, 1.0))

    def may_load(self, worker: Worker, now: float) -> bool:
        """Return True if the worker takes a load, and other dispatchers have had their chance to run hits there."""
        if worker.load_room <= 0 or worker.load_not_before > now:
            return False
        if not worker.window or now >= self._state.others_until:
            return True
        # Other dispatchers may have hits for a slot that is free, which a second load would keep from them. What is
        # believed of others' tasks may lag; a label that is being loaded is known from the worker itself.
        return worker.room > 0 and len(worker.loading) < worker.window and is_beside(worker)

    def cheapest(self, label: PoolLabel, now: float) -> LoadPlan | None:
        """Return the cheapest of some free workers to load the label on; None if no free worker can."""
        load_s = self._state.load_s(label)
        best: LoadPlan | None = None
        least = math.inf
        for worker in self._state.pool.sample(self._costs.sample):
            if label in worker.labels or not self.may_load(worker, now):
                continue
            beside = is_beside(worker)
            cost = 0.0 if beside else self.slot_cost(worker, load_s, now)
            if cost >= least:
                continue
            eviction = self.eviction(worker, load_s, now)
            if eviction is not None and cost + eviction.regret_s < least:
                least = cost + eviction.regret_s
                best = LoadPlan(label, worker, eviction.label, eviction.regret_s if beside else cost)
        return best


def is_beside(worker: Worker) -> bool:
    """Return True if a load on the worker takes a place beside its slots, so that it delays no run."""
    return worker.window > worker.assigned_loads + worker.foreign_loads


def _soonest_free(label: PoolLabel, now: float) -> tuple[float, int]:
    """Return the time until one of the label's holders is free, and the slots of all of them."""
    holders = label.holders
    count = len(holders)
    soonest = math.inf
    slots = 0
    for worker in holders if count <= _SAMPLED_HOLDERS else islice(holders, _SAMPLED_HOLDERS):
        slots += worker.slots
        free_at = worker.free_at if worker.room <= 0 else now
        if worker.loading:
            ready_at = worker.loading.get(label, 0.0)
            if ready_at > free_at:
                free_at = ready_at
        if free_at < soonest:
            soonest = free_at
    if count > _SAMPLED_HOLDERS:
        slots = slots * count // _SAMPLED_HOLDERS
    return (soonest - now if soonest > now else 0.0), slots
