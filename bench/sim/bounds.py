"""Lower bounds of misses and of the mean completion time, to compare policies with.

Misses: those of Belady's MIN, which knows all future requests, on one shared cache with room for all labels that the
workers can hold, requests in the order of arrival. A policy that serves requests in another order can stay below it.

Mean: in a closed loop, no request waits, and the misses of MIN are loaded. In an open loop, the same requests in one
queue in front of workers that hold every label: without loads, so that a policy that loads cannot be expected below it.
Where tasks share passes, in both loops, a queue a label in front of such workers (`pass_bound`).
"""

from heapq import heapify, heappop, heappush

import msgspec

from bench.sim.pass_bound import greedy
from bench.sim.workload import Workload


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """The least misses, and the least mean completion time in seconds."""

    misses: int
    mean_s: float


def bound(workload: Workload) -> Bound:
    """Return the bound for one draw of a workload."""
    misses, load_s = clairvoyant(workload)
    if workload.pass_tasks > 1 and workload.fixed_s:
        return Bound(misses=misses, mean_s=greedy(workload))
    if workload.producers:
        total = sum(workload.alone_s(request) for request in workload.requests) + load_s
        return Bound(misses=misses, mean_s=total / len(workload.requests))
    return Bound(misses=misses, mean_s=_no_loads(workload))


def clairvoyant(workload: Workload) -> tuple[int, float]:
    """Count the misses of Belady's MIN; return them, and the seconds that their loads take."""
    never = len(workload.requests)
    following = [never] * never
    next_of: dict[str, int] = {}
    for index in range(never - 1, -1, -1):
        label = workload.requests[index].label
        following[index] = next_of.get(label, never)
        next_of[label] = index
    room = workload.workers * workload.capacity
    held = {label: next_of.get(label, never) for label in workload.warm[:room]}
    farthest = [(-wanted, label) for label, wanted in held.items()]
    heapify(farthest)
    misses = 0
    load_s = 0.0
    for index, request in enumerate(workload.requests):
        if request.label not in held:
            misses += 1
            load_s += request.load_s
            while len(held) >= room:
                wanted, label = heappop(farthest)
                if held.get(label) == -wanted:
                    del held[label]
        held[request.label] = following[index]
        heappush(farthest, (-following[index], request.label))
    return misses, load_s


def _no_loads(workload: Workload) -> float:
    free_at = [0.0] * (workload.workers * workload.slots)
    total = 0.0
    for request in workload.requests:
        end = max(heappop(free_at), request.arrives) + workload.alone_s(request)
        heappush(free_at, end)
        total += end - request.arrives
    return total / len(workload.requests)
