"""Bounds of the mean completion time where tasks share passes: workers hold every label, and nothing is loaded.

`greedy` plays the workload: a slot that is free takes at once the label with the best price, and all of its queued
tasks that should share a pass. The price of a pass is the tasks that it ends per second, n / (a + b·n), the index of
the cµ rule (most tasks first, since it grows with n). The pool has one queue for each label and knows the true law,
needs no loads and no messages, and binds no label to a worker; so a policy that learns, loads and binds cannot be
expected below it. It is no theorem: to hold a slot back for company, or to know the future, can be better.

`least` is one, in a steady state. S slots answer X tasks a second, which takes them K passes of n₁, n₂ … in T seconds:

    Σ nₖ = X·T           each task is in one pass
    K·a + b·X·T ≤ S·T    the passes fit into the slots
    Σ nₖ·(a + b·nₖ)      seconds that tasks are in passes, and their completions take at least these

By Cauchy Σ nₖ² ≥ (X·T)²/K, so the mean is at least a + b·X·T/K ≥ a + a·ρ/(1 − ρ) = a/(1 − ρ) with ρ = b·X/S: a busier
pool needs larger passes, and these take longer. In an open loop X is the rate of arrivals. In a closed loop of N
producers that think Z seconds, X = N/(R + Z) by Little's law, so R² + (Z − a − b·N/S)·R − a·Z ≥ 0, of which R is at
least the larger root. In both R ≥ a + b, and X ≤ S·m/(a + b·m) with passes of at most m.
"""

import math
from collections import deque
from heapq import heappop, heappush
from statistics import fmean

from bench.sim.workload import Workload
from bus.pass_times import best_size


def greedy(workload: Workload) -> float:
    """Return the mean completion in seconds of the workload where a free slot takes the label with the best price."""
    requests = workload.requests
    fixed_s, unit_s = workload.fixed_s, fmean(request.run_s for request in requests)
    share = fixed_s / (fixed_s + unit_s)
    queues: dict[str, deque[int]] = {}
    arrived = [0.0] * len(requests)
    events: list[tuple[float, int, int]] = []  # time, request that arrives or -1, tasks of the pass that ends
    following = free = total = 0
    completion = 0.0
    free = workload.slots * workload.workers

    def schedule(now: float) -> None:
        nonlocal following
        if following < len(requests):
            at = requests[following].arrives + (now if workload.producers else 0.0)
            heappush(events, (at, following, 0))
            following += 1

    def price(label: str) -> tuple[float, float]:
        queue = queues[label]
        size = best_size(len(queue), share, workload.pass_tasks)
        return size / (fixed_s + unit_s * size), -arrived[queue[0]]

    for _ in range(workload.producers or 1):
        schedule(0.0)
    while events:
        now = events[0][0]
        while events and events[0][0] == now:
            _, index, ended = heappop(events)
            if index < 0:
                free += 1
                for _ in range(ended if workload.producers else 0):
                    schedule(now)
            else:
                arrived[index] = now
                queues.setdefault(requests[index].label, deque()).append(index)
                if not workload.producers:
                    schedule(now)
        while free and queues:
            label = max(queues, key=price)
            queue = queues[label]
            chosen = [queue.popleft() for _ in range(best_size(len(queue), share, workload.pass_tasks))]
            if not queue:
                del queues[label]
            end = now + fixed_s + sum(requests[index].run_s for index in chosen)
            completion += sum(end - arrived[index] for index in chosen)
            total += len(chosen)
            free -= 1
            heappush(events, (end, -1, len(chosen)))
    assert total == len(requests)
    return completion / total


def least(
    *, fixed_s: float, unit_s: float, slots: int, most: int, rate: float = 0.0, producers: int = 0, think_s: float = 0.0
) -> float:
    """Return the least mean completion in seconds of any policy in a steady state; infinite if `rate` is too high.

    `slots` are those of all workers, `most` the tasks in a pass, `rate` the arrivals a second of an open loop.
    """
    full = (fixed_s + unit_s * most) / (slots * most)  # seconds of the pool that a task takes at least
    alone_s = fixed_s + unit_s
    if not producers:
        if rate * full > 1.0:
            return math.inf
        return max(alone_s, fixed_s / (1.0 - rate * unit_s / slots) if fixed_s else 0.0)
    half = (fixed_s + unit_s * producers / slots - think_s) / 2
    return max(alone_s, half + math.sqrt(half * half + fixed_s * think_s), producers * full - think_s)
