import random

from bench.chaos.faults import choose


def test_the_same_seed_gives_the_same_faults_and_every_part_has_its_turn():
    parts = ["nats", "worker-1", "dispatcher-1", "logsink"]
    first, second = ([choose(random.Random(seed), parts) for seed in range(200)] for _ in range(2))
    assert first == second
    assert {fault.part for fault in first} == set(parts)
    assert {fault.kind for fault in first if fault.part == "nats"} == {"kill", "hang"}, "NATS has no relay of its own"
