"""Whatever happens in whatever order, the router keeps its promises."""

import os
import random
from collections import Counter
from typing import Literal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from dispatcher.router import (
    Assign,
    Command,
    Limits,
    Outcome,
    Reject,
    Retries,
    Router,
    RouterPolicy,
    TaskSpec,
    WorkerView,
)

LABELS = st.sampled_from(["a", "b", "c", "d", "e"])
WORKERS = st.sampled_from(["w1", "w2", "w3"])
TYPES = st.sampled_from([None, None, ("embed",), ("embed", "own")])


class TrueWorker:
    """Truth about a worker; the router only hears of it."""

    def __init__(self, worker_id, slots, capacity, types, epoch, window, pass_tasks):
        self.worker_id, self.slots, self.capacity, self.types, self.epoch = worker_id, slots, capacity, types, epoch
        self.window = window
        self.pass_tasks = pass_tasks
        self.labels: list[str] = []
        self.foreign = 0
        self.revision = 0
        self.draining = False

    def take_up(self, label, evict):
        if label in self.labels:
            return ""
        self.labels.append(label)
        if len(self.labels) <= self.capacity:
            return ""
        gone = evict if evict in self.labels and evict != label else self.labels[0]
        self.labels.remove(gone)
        return gone

    def view(self, running, places):
        self.revision += 1
        return WorkerView(
            worker_id=self.worker_id,
            labels=tuple(self.labels),
            running=running,
            slots=self.slots,
            window=self.window,
            capacity=self.capacity,
            pass_tasks=self.pass_tasks,
            places=places,
            task_types=self.types,
            pass_types=("embed",),
            kind="gpu" if self.pass_tasks > 4 else "cpu",
            draining=self.draining,
            epoch_ms=self.epoch,
            revision=self.revision,
        )


class AnyOrder(RuleBasedStateMachine):
    mode: Literal["affinity", "random"] = "affinity"

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.policy = RouterPolicy(
            mode=self.mode,
            limits=Limits(max_waiting=30, max_waiting_per_label=20),
            retries=Retries(max_bounces=40, max_bounced_s=1.0),
        )
        self.router: Router[None] = Router(self.policy, rng=random.Random(1))
        self.workers: dict[str, TrueWorker] = {}
        self.flying: dict[int, Assign[None]] = {}
        self.dead_ids: list[int] = []
        self.open: set[str] = set()
        self.cancelled: set[str] = set()
        self.ended: dict[str, str] = {}
        self.old_views: list[WorkerView] = []
        self.count = 0
        self.epoch = 1
        self.pass_size = 1

    # ── the service's part ──

    def obey(self, commands: list[Command[None]]) -> None:
        for command in commands:
            task_id = command.task.task_id
            assert task_id in self.open, "a command for a task that has ended"
            if isinstance(command, Reject):
                self.end(task_id, command.reason.value)
                continue
            running = [other for other in self.flying.values() if other.task.task_id == task_id]
            assert not running, "a task runs twice"
            assert command.assignment_id not in self.flying
            self.flying[command.assignment_id] = command
            if command.worker_id is not None:
                mine = [other for other in self.flying.values() if other.worker_id == command.worker_id]
                worker = self.router._state.pool.find(command.worker_id)
                assert worker is not None
                assert not worker.draining
                shared = {other.task.label for other in mine if self.router._state.assigned[other.assignment_id].shares}
                alone = [other for other in mine if not self.router._state.assigned[other.assignment_id].shares]
                assert len(alone) + len(shared) <= worker.slots + worker.window, "no place for the task"
                assert worker.runs(command.task.task_type)

    def end(self, task_id: str, how: str) -> None:
        assert task_id not in self.ended, "a task ended twice"
        self.open.discard(task_id)
        self.ended[task_id] = how

    def running_on(self, worker_id: str) -> int:
        return sum(1 for command in self.flying.values() if command.worker_id == worker_id)

    def view_of(self, worker_id: str) -> WorkerView:
        worker = self.workers[worker_id]
        known = self.router._state.pool.find(worker_id)
        places = (0 if known is None else known.places) + worker.foreign
        view: WorkerView = worker.view(self.running_on(worker_id) + worker.foreign, places)
        self.old_views.append(view)
        return view

    def answer(self, assignment_id: int, *, ok: bool, with_view: bool, retryable: bool = False) -> None:
        command = self.flying.pop(assignment_id)
        worker = self.workers.get(command.worker_id or "") or next(iter(self.workers.values()), None)
        view = None
        evicted = ""
        hit = True
        if worker is not None:
            hit = command.task.label in worker.labels
            evicted = worker.take_up(command.task.label, command.evict_label)
            assert len(worker.labels) <= worker.capacity
            if with_view:
                view = self.view_of(worker.worker_id)
        outcome = Outcome(
            ok=ok,
            label_hit=hit,
            load_ms=0.0 if hit else 400.0,
            run_ms=8.0 + self.pass_size / 5 if worker is not None and worker.pass_tasks > 4 else 20.0 * self.pass_size,
            pass_size=self.pass_size,
            evicted_label=evicted,
            retryable=retryable,
            view=view,
            worker_id="" if worker is None else worker.worker_id,
        )
        result = self.router.finished(self.now, assignment_id, outcome)
        assert result.assignment is not None
        assert result.assignment.assignment_id == assignment_id
        task_id = command.task.task_id
        assert result.cancelled == (task_id in self.cancelled)
        if result.answer:
            self.end(task_id, "answered")
        self.obey(result.commands)

    # ── what may happen ──

    @rule(
        label=LABELS,
        deadline=st.sampled_from([None, None, 0.5, 5.0]),
        retry=st.booleans(),
        task_type=st.sampled_from(["embed", "embed", "own", "none"]),
    )
    def submit(self, label, deadline, retry, task_type):
        self.count += 1
        task_id = f"t{self.count}"
        self.open.add(task_id)
        self.obey(
            self.router.submit(
                self.now,
                TaskSpec(
                    task_id=task_id,
                    task_type=task_type,
                    label=label,
                    item=None,
                    retry=retry,
                    deadline=None if deadline is None else self.now + deadline,
                ),
            )
        )

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def cancel(self, data):
        task_id = data.draw(st.sampled_from(sorted(self.open)))
        self.open.discard(task_id)
        self.ended[task_id] = "cancelled"
        self.cancelled.add(task_id)
        self.obey(self.router.cancel(self.now, task_id))

    @rule(
        worker_id=WORKERS,
        slots=st.integers(1, 3),
        capacity=st.integers(1, 3),
        types=TYPES,
        window=st.integers(0, 1),
        pass_tasks=st.sampled_from([1, 1, 2, 64]),
        labels=st.lists(LABELS, unique=True, max_size=1),
    )
    def join(self, worker_id, slots, capacity, types, window, pass_tasks, labels):
        if worker_id not in self.workers:
            self.epoch += 1
            worker = self.workers[worker_id] = TrueWorker(
                worker_id, slots, capacity, types, self.epoch, window, pass_tasks
            )
            worker.labels = labels
            self.obey(self.router.worker_seen(self.now, self.view_of(worker_id)))

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def restart(self, data):
        """A new process under the same name, before anybody saw the old one go."""
        worker = self.workers[data.draw(st.sampled_from(sorted(self.workers)))]
        self.epoch += 1
        worker.epoch, worker.revision, worker.labels, worker.foreign, worker.draining = self.epoch, 0, [], 0, False
        self.lose(worker.worker_id)
        self.obey(self.router.worker_seen(self.now, self.view_of(worker.worker_id)))

    def lose(self, worker_id):
        for assignment_id in [
            assignment_id for assignment_id, command in self.flying.items() if command.worker_id == worker_id
        ]:
            del self.flying[assignment_id]
            self.dead_ids.append(assignment_id)

    @precondition(lambda self: self.workers)
    @rule(data=st.data())
    def gone(self, data):
        worker_id = data.draw(st.sampled_from(sorted(self.workers)))
        del self.workers[worker_id]
        self.lose(worker_id)
        self.obey(self.router.worker_gone(self.now, worker_id))

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def lost_on_the_way(self, data):
        assignment_id = data.draw(st.sampled_from(sorted(self.flying)))
        command = self.flying.pop(assignment_id)
        self.dead_ids.append(assignment_id)
        self.obey(self.router.lost(self.now, assignment_id, command.worker_id or ""))

    @precondition(lambda self: self.dead_ids)
    @rule(data=st.data())
    def late_result(self, data):
        assignment_id = data.draw(st.sampled_from(self.dead_ids))
        result = self.router.finished(self.now, assignment_id, Outcome(ok=True, label_hit=True, load_ms=0, run_ms=1))
        assert result.assignment is None
        assert not result.answer
        self.obey(result.commands)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), with_view=st.booleans())
    def answered(self, data, with_view):
        self.answer(data.draw(st.sampled_from(sorted(self.flying))), ok=True, with_view=with_view)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), retryable=st.booleans(), with_view=st.booleans())
    def failed(self, data, retryable, with_view):
        assignment_id = data.draw(st.sampled_from(sorted(self.flying)))
        self.answer(assignment_id, ok=False, retryable=retryable, with_view=with_view)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), with_view=st.booleans(), foreign=st.integers(0, 2))
    def bounced(self, data, with_view, foreign):
        assignment_id = data.draw(st.sampled_from(sorted(self.flying)))
        command = self.flying.pop(assignment_id)
        worker = self.workers.get(command.worker_id or "") or next(iter(self.workers.values()), None)
        view = None
        if worker is not None:
            worker.foreign = foreign
            view = self.view_of(worker.worker_id) if with_view else None
        self.obey(self.router.bounced(self.now, assignment_id, no_responders=False, view=view))

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def nobody_listened(self, data):
        assignment_id = data.draw(st.sampled_from(sorted(self.flying)))
        command = self.flying.pop(assignment_id)
        if command.worker_id is not None:
            self.workers.pop(command.worker_id, None)
            self.lose(command.worker_id)
        self.obey(self.router.bounced(self.now, assignment_id, no_responders=True))

    @precondition(lambda self: self.workers)
    @rule(
        data=st.data(),
        foreign=st.integers(0, 2),
        draining=st.sampled_from([False, False, False, True]),
        evicted=st.booleans(),
    )
    def state(self, data, foreign, draining, evicted):
        worker = self.workers[data.draw(st.sampled_from(sorted(self.workers)))]
        worker.foreign, worker.draining = foreign, draining
        if evicted and worker.labels:
            worker.labels = worker.labels[1:]
        self.obey(self.router.worker_seen(self.now, self.view_of(worker.worker_id)))

    @precondition(lambda self: self.workers and self.old_views)
    @rule(data=st.data())
    def old_view(self, data):
        view = data.draw(st.sampled_from(self.old_views[-20:]))
        if view.worker_id in self.workers and view.epoch_ms == self.workers[view.worker_id].epoch:
            self.obey(self.router.worker_seen(self.now, view))

    @rule(size=st.sampled_from([1, 2, 8]))
    def passes_have(self, size):
        self.pass_size = size

    @rule(lost=st.booleans())
    def registry(self, lost):
        self.obey(self.router.registry_lost(self.now) if lost else self.router.registry_found(self.now))

    @rule(seconds=st.sampled_from([0.001, 0.05, 1.0, 30.0]))
    def time_passes(self, seconds):
        end = self.now + seconds
        for _ in range(2000):
            wake = self.router.next_wake()
            if wake is None or wake > end:
                break
            self.now = max(self.now, wake)
            self.obey(self.router.tick(self.now))
        else:
            pytest.fail("the timers never rest")
        self.now = end
        self.obey(self.router.tick(self.now))

    # ── what must hold ──

    @invariant()
    def every_task_is_somewhere_once(self):
        flying = [command.task.task_id for command in self.flying.values() if command.task.task_id in self.open]
        assert len(flying) == len(set(flying))
        waiting = [task.spec.task_id for task in self.router._state.tasks.values() if task.queued]
        held = [task.spec.task_id for task in self.router._workers.quarantined()]
        assert sorted(flying + waiting + held) == sorted(self.open)
        assert self.router.waiting == len(waiting) + len(held)
        assert self.router.running == len(self.flying)

    @invariant()
    def no_free_holder_leaves_a_task_waiting(self):
        for worker in self.router._state.pool:
            held = [label.name for label in worker.labels]
            assert len(held) <= max(worker.capacity, len(worker.assignments)), (held, worker.capacity, worker.view)
            if worker.room > 0 and self.mode == "affinity":
                assert worker.usable
                for label in worker.labels:
                    if worker.loading.get(label, 0.0) <= self.now:
                        assert not label.queue_length, f"{worker.worker_id} is free and holds {label.name}"

    @invariant()
    def places_are_counted(self):
        """Tasks that share runs take a place for each two passes of their label; all others take one each."""
        state = self.router._state
        for worker in state.pool:
            shared = Counter(assignment.label for assignment in worker.assignments.values() if assignment.shares)
            gathering = {label: label.gathering[worker] for label in state.labels if worker in label.gathering}
            assert {label: passes.count for label, passes in gathering.items()} == shared
            assert worker.places == len(worker.assignments) - shared.total() + sum(
                passes.places for passes in gathering.values()
            )
            assert worker.open_passes == sum(passes.is_open for passes in gathering.values())
            assert all(1 <= passes.places <= passes.count for passes in gathering.values())

    @invariant()
    def whoever_waits_is_waited_for(self):
        """Something will happen that can move each waiting task: a result, or a timer."""
        if self.router.waiting:
            assert self.flying or self.router.next_wake() is not None

    def teardown(self):
        """Let the workers do their work: in the end nobody waits."""
        for worker in self.workers.values():
            worker.foreign = 0
            worker.draining = False
            self.obey(self.router.worker_seen(self.now, self.view_of(worker.worker_id)))
        for _ in range(20_000):
            if not self.open and not self.flying:
                break
            if self.flying:
                assignment_id = min(self.flying)
                if self.flying[assignment_id].worker_id is None and not self.workers:
                    del self.flying[assignment_id]
                    self.obey(self.router.bounced(self.now, assignment_id, no_responders=True))
                else:
                    self.answer(assignment_id, ok=True, with_view=True)
            else:
                wake = self.router.next_wake()
                assert wake is not None, f"{self.open} wait for ever"
                self.now = max(self.now, wake)
                self.obey(self.router.tick(self.now))
        assert not self.open
        assert not self.router._state.assigned
        assert not self.router._state.tasks


class AnyOrderRandom(AnyOrder):
    mode: Literal["affinity", "random"] = "random"


PROFILE = settings(
    max_examples=int(os.environ.get("ANY_ORDER_EXAMPLES", "40")),
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestAffinity = AnyOrder.TestCase
TestAffinity.settings = PROFILE
TestRandom = AnyOrderRandom.TestCase
TestRandom.settings = PROFILE
