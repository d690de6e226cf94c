from heapq import heappop, heappush

import pytest

from bench.sim.pool import Call, Job, SimWorker


@pytest.mark.parametrize(("window", "overlap", "ends"), [(0, False, 1.2), (1, False, 1.2), (1, True, 1.1)])
def test_a_worker_loads_beside_its_work_only_with_overlap(window, overlap, ends):
    done = {}
    events: list[tuple[float, int, Call]] = []
    worker = SimWorker(
        "w",
        capacity=2,
        slots=1,
        window=window,
        overlap=overlap,
        at=lambda at, call: heappush(events, (at, len(events), call)),
        changed=lambda now, worker, news: None,
    )
    worker.warm([("a", 1.0)])
    first, second = (Job(label, 0.1, 1.0, "", lambda now, job: done.update({job.label: now})) for label in "ab")
    assert worker.take(0.0, first)
    assert worker.take(0.0, second) == (window > 0)
    now = 0.0
    while events:
        now, _, call = heappop(events)
        call(now)
    if not window:
        assert worker.take(now, second)
        while events:
            now, _, call = heappop(events)
            call(now)
    assert done == pytest.approx({"a": 0.1, "b": ends})
    assert worker.loads == 1
