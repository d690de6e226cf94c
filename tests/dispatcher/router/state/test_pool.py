"""Answers about the pool are forgotten when it changes."""

import random

from dispatcher.router import WorkerView
from dispatcher.router.state.pool import Pool
from dispatcher.router.state.workers import Worker


def worker(pool, name, types):
    made = Worker(name, WorkerView(worker_id=name, labels=()))
    pool.add(made)
    pool.set_types(made, frozenset(types))
    return made


def test_what_all_run_is_asked_again_when_a_worker_comes_changes_drains_or_goes():
    pool = Pool(random.Random(1))
    worker(pool, "w1", {"t", "own"})
    assert pool.all_run("own")
    second = worker(pool, "w2", {"t"})
    assert not pool.all_run("own")
    assert pool.all_run("t")
    pool.set_types(second, frozenset({"t", "own"}))
    assert pool.all_run("own")
    pool.set_types(second, frozenset({"t"}))
    assert not pool.all_run("own")
    pool.set_draining(second, True)
    assert pool.all_run("own")
    pool.set_draining(second, False)
    assert not pool.all_run("own")
    pool.remove(second)
    assert pool.all_run("own")


def test_answers_about_types_that_callers_make_up_are_not_kept_for_ever():
    pool = Pool(random.Random(1))
    worker(pool, "w1", {"t"})
    for number in range(5000):
        assert not pool.all_run(f"made-up-{number}")
    assert pool.all_run("t")
    assert len(pool._run_by_all) <= 1000
