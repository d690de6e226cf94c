from hypothesis import given
from hypothesis import strategies as st

from dispatcher.deadlines import TIDY_ABOVE, Deadline, Deadlines


def test_what_is_due_comes_once_and_the_earliest_first():
    deadlines: Deadlines[str] = Deadlines()
    for at, item in ((3.0, "c"), (1.0, "a"), (2.0, "b")):
        deadlines.add(at, item)
    assert deadlines.next_due() == 1.0
    assert deadlines.due(2.0) == ["a", "b"]
    assert deadlines.due(2.0) == []
    assert deadlines.next_due() == 3.0


def test_those_of_one_moment_come_in_the_order_in_which_they_were_added():
    deadlines: Deadlines[str] = Deadlines()
    for item in "abc":
        deadlines.add(1.0, item)
    assert deadlines.due(1.0) == ["a", "b", "c"]


def test_what_is_over_is_never_due_and_is_let_go():
    deadlines: Deadlines[str] = Deadlines()
    entry = deadlines.add(1.0, "a")
    deadlines.over(entry)
    deadlines.over(entry)
    assert (entry.item, len(deadlines), deadlines.due(1.0), len(deadlines)) == (None, 0, [], 0)


def test_entries_that_are_over_do_not_pile_up():
    deadlines: Deadlines[int | str] = Deadlines()
    waiting = deadlines.add(0.5, "waiting")
    for number in range(100 * TIDY_ABOVE):
        deadlines.over(deadlines.add(60.0, number))
        assert len(deadlines._heap) <= TIDY_ABOVE + 2
    assert waiting.item == "waiting"
    assert deadlines.due(0.5) == ["waiting"]


@given(st.lists(st.tuples(st.sampled_from(["add", "over", "due"]), st.integers(0, 20))))
def test_it_agrees_with_a_list_that_is_searched(steps):
    deadlines: Deadlines[int] = Deadlines()
    plain: list[tuple[float, int]] = []
    entries: list[Deadline[int]] = []
    for number, (step, value) in enumerate(steps):
        if step == "add":
            entries.append(deadlines.add(float(value), number))
            plain.append((float(value), number))
        elif step == "over" and entries:
            entry = entries[value % len(entries)]
            plain = [known for known in plain if known[1] != entry.item or entry.item is None]
            deadlines.over(entry)
        elif step == "due":
            assert deadlines.due(float(value)) == [item for at, item in sorted(plain) if at <= value]
            plain = [known for known in plain if known[0] > value]
        assert len(deadlines) == len(plain)
        due = deadlines.next_due()
        assert due is not None or not plain
        assert due is None or not plain or due <= min(plain)[0]
