"""The prices: what loading a label gains, what it costs a worker, and which label to give up for it. Seconds.

A gain is the time that the tasks waiting for a label are spared; a cost is the time that the tasks expected on the
worker's other labels lose meanwhile. Both are sums over tasks, so they compare.
"""

import math
from itertools import islice

from dispatcher.router.books import Books
from dispatcher.router.labels import Label
from dispatcher.router.workers import Worker

_LOOK_AT = 4
"""Where a label has many holders, any few of them tell how soon one is free."""

_CHANCE = 4
"""A queue no longer than this shows nothing of the rate of arrivals."""


class Prices:
    """Reads the books, changes nothing."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._policy = books.policy

    def benefit(self, label: Label, now: float) -> float:
        """What one more load of the label gains for the tasks that wait for it; −inf where a holder does as well."""
        books = self._books
        count = label.count
        load = books.loads.mean if label.load_s is None else label.load_s
        waited = count * now - label.arrivals
        if not label.holders:
            return waited + count * load
        policy = self._policy
        run = books.runs.mean if label.run_s is None else label.run_s
        soonest, slots, window = _soonest(label, now)
        # What others have waiting for the same holders is not seen, but is as much in proportion.
        others = books.share.others if now < books.others_until else 1.0
        rate = label.counter * books.clock.scale(now) * others
        if count > _CHANCE:
            # The queue itself shows a surge before the average does: what of it is more than chance.
            grown_in = now - label.oldest + policy.surge_loads * load
            surge = (count - 2.0 * math.sqrt(count)) * others / grown_in
            if surge > rate:
                rate = surge
        backlog = count * others
        patience = policy.copy_cold_at
        if rate * run > policy.in_demand * self._dearness(load, run, window) * slots:
            patience = policy.copy_at
            # What will have been added by the time that the copy is ready.
            backlog += max(0.0, rate - policy.hit_share * slots / max(run, 1e-6)) * load
        delay = soonest + backlog * run / slots
        if delay <= patience * load:
            return -math.inf
        return waited + backlog / others * (delay - load)

    def is_served(self, label: Label, now: float) -> bool:
        """True if the holders of the label do as well as a load would."""
        return self.benefit(label, now) == -math.inf

    def cost(self, worker: Worker, load_s: float, now: float) -> float:
        """What a load of `load_s` costs the tasks that wait, or will come, for what the worker holds."""
        demand = 0.0
        queued = 0.0
        for label in worker.labels:
            holders = len(label.holders)
            demand += label.counter / (holders * holders)
            if label.count:
                queued += label.count / holders
        rate = demand * self._books.clock.scale(now)
        # A load takes one slot: with several, the others go on.
        cost = (rate * load_s * 0.5 + queued) * load_s / (worker.slots * worker.slots)
        # With a window it keeps no slot from the others; what it keeps from them is the worker's next load.
        return self._policy.overlap_cost * cost if worker.window else cost

    def victim(self, worker: Worker, now: float, *, forced: bool = False) -> tuple[Label | None, float]:
        """What to give up for a load, and what that costs: (None, 0) if there is room, (None, inf) if nothing can."""
        if len(worker.labels) < worker.capacity:
            return None, 0.0
        policy = self._policy
        books = self._books
        scale = books.clock.scale(now)
        others = books.others(now)
        in_use = {assignment.label for assignment in worker.own.values()} if worker.own else ()
        best: Label | None = None
        least = regret = math.inf
        for label in worker.labels:
            if label in in_use or label in worker.loading:
                continue
            holders = len(label.holders)
            if label.count and holders <= 1 and not forced:
                continue
            load = books.loads.mean if label.load_s is None else label.load_s
            rate = label.counter * scale
            value = rate * load
            if holders > 1:
                run = books.runs.mean if label.run_s is None else label.run_s
                if rate * run * others < policy.covered * (holders - 1) * worker.slots:
                    value *= policy.spare_factor * (1.0 - self._dearness(load, run, worker.window))
            if label.count:
                value += load * label.count
            if value < least:
                least = value
                best = label
                regret = policy.overlap_horizon_s * value if worker.window else min(load, policy.horizon_s * value)
        return best, regret

    def _dearness(self, load: float, run: float, window: int) -> float:
        """How dear a load is beside the runs that it holds up, 0 to 1: the dearer, the fewer copies pay."""
        if window:
            return self._policy.dear_beside
        return load / (load + self._policy.dear_runs * run) if load else 0.0

    def may_load(self, worker: Worker, now: float) -> bool:
        """True if the worker takes a load, and others have had their chance to run there what it holds."""
        if worker.load_room <= 0 or worker.load_at > now:
            return False
        return worker.room > 0 or now >= self._books.others_until

    def choose(self, label: Label, now: float) -> tuple[Worker, Label | None, float] | None:
        """The free worker to load the label, what it gives up, and the cost; None if no free worker can."""
        load = self._books.load_s(label)
        best: tuple[Worker, Label | None, float] | None = None
        least = math.inf
        for worker in self._books.pool.sample(self._policy.sample):
            if label in worker.labels or not self.may_load(worker, now):
                continue
            cost = self.cost(worker, load, now)
            if cost >= least:
                continue
            evict, regret = self.victim(worker, now)
            if cost + regret < least:
                least = cost + regret
                best = (worker, evict, least if worker.window else cost)
        return best


def _soonest(label: Label, now: float) -> tuple[float, int, int]:
    """Until one of the label's holders is free, how many slots they have, and the window of one of them."""
    holders = label.holders
    count = len(holders)
    soonest = math.inf
    slots = window = 0
    for worker in holders if count <= _LOOK_AT else islice(holders, _LOOK_AT):
        slots += worker.slots
        window = worker.window
        free_at = worker.free_at if worker.room <= 0 else now
        if worker.loading:
            ready_at = worker.loading.get(label, 0.0)
            if ready_at > free_at:
                free_at = ready_at
        if free_at < soonest:
            soonest = free_at
    if count > _LOOK_AT:
        slots = slots * count // _LOOK_AT
    return (soonest - now if soonest > now else 0.0), slots, window
