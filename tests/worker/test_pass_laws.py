"""Run times of passes by label, and what they say about the next pass."""

import math

from bus.pass_times import UNKNOWN_LIMIT
from worker.pass_laws import LABELS, TRIALS, PassLaws

A_S, B_S = 0.008, 0.0002


def learnt(label: str = "a", *, fixed_s: float = A_S, unit_s: float = B_S, pass_tasks: int = 64) -> PassLaws:
    laws = PassLaws(pass_tasks)
    for size in (1, 4, 1, 16, 8):
        laws.observe(label, size, fixed_s + unit_s * size)
    return laws


def test_where_runs_cost_more_than_tasks_all_that_wait_share_a_pass():
    laws = learnt()
    assert math.isclose(laws.fixed_share("a"), A_S / (A_S + B_S))
    assert laws.next_size("a", 50) == 50
    assert laws.next_size("a", 500) == 64
    assert laws.tasks_per_place("a") == 128


def test_a_label_without_passes_of_its_own_shares_as_others_do():
    laws = learnt()
    assert laws.tasks_per_place("b") == 128
    laws.observe("b", 1, 1.0)
    assert laws.tasks_per_place("b") == 128


def test_before_the_law_is_known_a_few_share_a_pass_and_every_second_one_has_one_task():
    laws = PassLaws(64)
    assert [laws.next_size("a", 50) for _ in range(4)] == [UNKNOWN_LIMIT, 1, UNKNOWN_LIMIT, 1]
    assert laws.tasks_per_place("a") == 128


def test_a_worker_takes_what_dispatchers_may_have_reason_to_send():
    assert PassLaws(64).tasks_per_place("a") == 128
    assert learnt(fixed_s=0.010, unit_s=0.031).tasks_per_place("a") == 128
    assert learnt(fixed_s=0.010, unit_s=0.080).tasks_per_place("a") == 8


def test_under_load_from_the_beginning_the_law_is_known_after_two_passes():
    laws = PassLaws(64)
    for _ in range(2):
        size = laws.next_size("a", UNKNOWN_LIMIT)
        laws.observe("a", size, A_S + B_S * size)
    assert math.isclose(laws.fixed_share("a"), A_S / (A_S + B_S))
    assert laws.next_size("a", 64) == 64


def test_where_tasks_cost_all_they_run_one_by_one_but_for_a_trial_now_and_then():
    laws = learnt(fixed_s=0.0, unit_s=0.02)
    assert laws.tasks_per_place("a") == 8
    assert [laws.next_size("a", 1) for _ in range(100)] == [1] * 100
    sizes = [laws.next_size("a", 5) for _ in range(2 * TRIALS)]
    assert sizes == ([1] * (TRIALS - 1) + [2]) * 2


def test_a_change_of_the_law_is_noticed_by_the_trials():
    laws = learnt(fixed_s=0.0, unit_s=0.02)
    passes = 0
    while laws.tasks_per_place("a") == 8:
        passes += 1
        size = laws.next_size("a", 5)
        laws.observe("a", size, A_S + B_S * size)
        assert passes < 1_000
    assert laws.next_size("a", 5) > 2


def test_passes_are_off_with_one_task_each():
    laws = learnt(pass_tasks=1)
    assert {laws.next_size("a", waiting) for waiting in range(1, 100)} == {1}
    assert laws.tasks_per_place("a") == 1


def test_as_many_laws_are_kept_as_there_may_be_labels_and_no_more():
    laws = learnt("first")
    for number in range(LABELS):
        laws.observe(f"label{number}", 1, 1.0)
    assert len(laws._laws) == LABELS
    assert "first" not in laws._laws
