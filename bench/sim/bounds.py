"""What no policy of a kind can beat, to measure the others by.

Misses: Belady's MIN on one shared cache with room for all that the workers hold, requests in order of arrival. It
knows the future. A policy that serves requests in another order can stay below it.

Mean: in a closed loop, nobody ever waits and MIN's misses are loaded. In an open loop, the same requests in one queue
in front of workers that hold every label: no load is ever paid, so nothing that pays some can be expected below it.
"""

from heapq import heapify, heappop, heappush

import msgspec

from bench.sim.workload import Workload


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """Misses, and the mean completion in seconds."""

    misses: int
    mean_s: float


def bound(workload: Workload) -> Bound:
    """The bound for one draw of a workload."""
    misses, load_s = clairvoyant(workload)
    if workload.producers:
        total = sum(request.run_s for request in workload.requests) + load_s
        return Bound(misses=misses, mean_s=total / len(workload.requests))
    return Bound(misses=misses, mean_s=_no_loads(workload))


def clairvoyant(workload: Workload) -> tuple[int, float]:
    """Misses of Belady's MIN, and the seconds that their loads take."""
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
        end = max(heappop(free_at), request.arrives) + request.run_s
        heappush(free_at, end)
        total += end - request.arrives
    return total / len(workload.requests)
