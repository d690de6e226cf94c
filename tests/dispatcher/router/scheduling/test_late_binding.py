"""Hits come before loads, whatever happens."""

import random

from dispatcher.router import Assign, Outcome, Route, Router, RouterPolicy, TaskSpec, WorkerView


def test_a_load_is_never_sent_while_a_holder_is_free():
    """The same promise seen from the commands: at a load, each holder was busy."""
    rng = random.Random(5)
    router: Router[None] = Router(RouterPolicy(), rng=random.Random(2))
    for number in range(6):
        labels = (f"l{number % 4}", f"l{(number + 1) % 4}")
        router.worker_seen(0.0, WorkerView(worker_id=f"w{number}", labels=labels, capacity=2))
    flying: dict[int, Assign[None]] = {}
    loads = 0
    for step in range(4000):
        now = step * 0.01
        if rng.random() < 0.5:
            name = f"l{rng.randrange(20)}"
            commands = router.submit(now, TaskSpec(task_id=str(step), task_type="t", label=name, item=None))
        elif flying:
            assignment_id = rng.choice(sorted(flying))
            done = flying.pop(assignment_id)
            assert done.worker_id is not None
            commands = router.finished(
                now, assignment_id, Outcome(ok=True, label_hit=done.route is Route.HIT, load_ms=300.0, run_ms=20.0)
            ).commands
        else:
            commands = router.tick(now)
        for command in commands:
            assert isinstance(command, Assign)
            if command.route in (Route.LOAD, Route.COPY):
                loads += 1
                busy = {assign.worker_id for assign in flying.values()}
                holders = set(router.holders(command.task.label)) - {command.worker_id}
                assert holders <= busy
            flying[command.assignment_id] = command
    assert loads > 10
