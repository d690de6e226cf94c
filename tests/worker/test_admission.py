"""Admission of tasks: slots, the window, the queue for a slot, draining."""

from worker.admission import Admission


def test_slots_and_window_bound_the_tasks_that_are_taken():
    admission: Admission[str] = Admission(slots=2, window=1)
    seen = []
    while admission.is_open:
        seen.append((admission.taken, admission.is_full))
        admission.take()
    assert seen == [(0, False), (1, False), (2, True)]
    admission.answered()
    assert (admission.is_open, admission.is_full) == (True, True)
    admission.answered()
    assert not admission.is_full


def test_a_worker_that_drains_takes_nothing_more():
    admission: Admission[str] = Admission(slots=2, window=1)
    admission.drain()
    assert admission.draining
    assert not admission.is_open


def test_a_slot_that_becomes_free_is_the_first_waiters():
    admission: Admission[str] = Admission(slots=1, window=3)
    admission.start()
    for ticket in "abc":
        admission.queue(ticket)
    admission.withdraw("a")
    assert admission.free_slots == 0
    assert admission.finish() == "b"
    admission.withdraw("b")  # no error: it has the slot
    assert admission.finish() == "c"
    assert admission.finish() is None
    assert admission.free_slots == 1
