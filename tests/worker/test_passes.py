"""Gathering of tasks into passes: nothing waits beside a free slot, the oldest goes first, nothing is lost."""

from hypothesis import given
from hypothesis import strategies as st

from worker.pass_laws import PassLaws
from worker.passes import Gathering


def gathering(
    *, slots: int = 1, pass_tasks: int = 64, fixed_s: float = 0.008, unit_s: float = 0.0002
) -> Gathering[str]:
    laws = PassLaws(pass_tasks)
    for size in (1, 4, 1, 16, 8):
        laws.observe("a", size, fixed_s + unit_s * size)
    return Gathering(slots=slots, laws=laws)


def test_a_slot_that_becomes_free_takes_all_that_gathered_of_the_oldest_group():
    tasks = gathering()
    tasks.start()
    for ticket, label in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b"), ("a3", "a")):
        tasks.wait(ticket, label, "embed_texts", shares=True)
    assert tasks.waiting == 5
    assert tasks.finish() == ("a1", "a2", "a3")
    tasks.wait("a4", "a", "embed_texts", shares=True)
    assert tasks.finish() == ("b1", "b2")
    assert tasks.finish() == ("a4",)
    assert tasks.free_slots == 0
    assert tasks.finish() == ()
    assert (tasks.free_slots, tasks.waiting) == (1, 0)


def test_task_types_do_not_share_a_pass():
    tasks = gathering()
    tasks.start()
    for number, kind in enumerate(("embed_texts", "infer", "embed_texts")):
        tasks.wait(f"t{number}", "a", kind, shares=True)
    assert [tasks.finish() for _ in range(3)] == [("t0", "t2"), ("t1",), ()]


def test_tasks_that_share_nothing_run_alone_in_their_turn():
    tasks = gathering()
    tasks.start()
    for number, shares in enumerate((False, True, False, False, True)):
        tasks.wait(f"t{number}", "a", "embed_texts", shares=shares)
    assert [tasks.finish() for _ in range(5)] == [("t0",), ("t1", "t4"), ("t2",), ("t3",), ()]


def test_where_a_run_costs_nothing_beside_its_tasks_they_run_as_they_came():
    tasks = gathering(fixed_s=0.0, unit_s=0.02)
    tasks.start()
    for number in range(6):
        tasks.wait(f"t{number}", "ab"[number % 2], "embed_texts", shares=True)
    assert [tasks.finish() for _ in range(6)] == [(f"t{number}",) for number in range(6)]


def test_what_is_cleared_does_not_run():
    tasks = gathering()
    tasks.start()
    for ticket, label in (("a1", "a"), ("b1", "b"), ("a2", "a")):
        tasks.wait(ticket, label, "embed_texts", shares=True)
    assert tasks.clear() == ("a1", "b1", "a2")
    assert tasks.clear() == ()
    assert tasks.finish() == ()
    assert (tasks.free_slots, tasks.waiting) == (1, 0)


@given(
    slots=st.integers(1, 3),
    pass_tasks=st.sampled_from([1, 2, 5, 64]),
    fixed_s=st.sampled_from([0.0, 0.0002, 0.008]),
    steps=st.lists(
        st.one_of(
            st.none(), st.tuples(st.sampled_from("abc"), st.sampled_from(["embed_texts", "infer"]), st.booleans())
        ),
        max_size=120,
    ),
)
def test_each_task_runs_once_the_oldest_first_and_no_slot_is_idle_while_one_waits(
    slots: int, pass_tasks: int, fixed_s: float, steps: list[tuple[str, str, bool] | None]
) -> None:
    laws = PassLaws(pass_tasks)
    for size in (1, 4, 1, 16, 8):
        laws.observe("a", size, fixed_s + 0.0002 * size)
    tasks: Gathering[int] = Gathering(slots=slots, laws=laws)
    waiting: list[tuple[int, str, str, bool]] = []
    running = ran = 0

    def finish() -> None:
        nonlocal running, ran
        begun = tasks.finish()
        running -= 1
        if not waiting:
            assert begun == ()
            return
        running += 1
        oldest = waiting[0]
        group = [task for task in waiting if task[1:] == oldest[1:]] if oldest[3] else [oldest]
        assert begun == tuple(task[0] for task in group[: len(begun)])
        assert 1 <= len(begun) <= pass_tasks
        waiting[:] = [task for task in waiting if task[0] not in begun]
        ran += len(begun)

    for number, step in enumerate(steps):
        if step is None:
            if running:
                finish()
        elif tasks.free_slots:
            tasks.start()
            running += 1
            ran += 1
        else:
            label, kind, shares = step
            waiting.append((number, label, kind, shares))
            tasks.wait(number, label, kind, shares=shares)
        assert tasks.free_slots == slots - running
        assert tasks.waiting == len(waiting)
        assert not (tasks.free_slots and waiting)
    while running:
        finish()
    assert ran == sum(step is not None for step in steps)
