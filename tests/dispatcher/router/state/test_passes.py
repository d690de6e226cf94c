"""Passes in the router's state: places that tasks take together, and laws by kind of worker."""

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.router.state.passes import Gathering, PassLaw, PassLaws


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 128)), max_size=200))
def test_the_places_of_a_label_are_those_of_its_tasks(changes: list[tuple[bool, int]]) -> None:
    gathering = Gathering(0.0, -1)
    places = 0
    for comes, per_place in changes:
        if not comes and not gathering.count:
            continue
        had_room = gathering.is_open and gathering.count < gathering.places * per_place
        more = gathering.change(1 if comes else -1, per_place)
        places += more
        assert gathering.is_open == (gathering.count % per_place > 0)
        assert places == gathering.places == -(-gathering.count // per_place)
        if comes and had_room:
            assert more <= 0


def test_a_law_tells_the_time_of_a_pass() -> None:
    laws: dict[str, PassLaw] = {}
    law = PassLaws().of(laws, "gpu", 64)
    for size in (1, 8, 1, 8):
        for _ in range(size):
            law.observe(size, 0.008 + 0.0002 * size, 64)
    assert abs(law.run_s(10) - 0.010) < 1e-5
    assert law.run_s(1000) == law.run_s(law.limit)
    assert (law.limit, law.per_place) == (64, 128)


def test_kinds_of_workers_have_laws_of_their_own() -> None:
    all_laws = PassLaws()
    laws: dict[str, PassLaw] = {}
    gpu, cpu = all_laws.of(laws, "gpu", 64), all_laws.of(laws, "cpu", 64)
    for size in (1, 8):
        gpu.observe(size, 0.008 + 0.0002 * size, 64)
        cpu.observe(size, 0.02 * size, 64)
    assert gpu.limit == 64
    assert cpu.limit == 1
    assert all_laws.of(laws, "gpu", 64) is gpu


def test_a_new_label_gathers_as_the_others_on_its_kind_of_worker() -> None:
    all_laws = PassLaws()
    known = all_laws.of({}, "cpu", 64)
    for size in (1, 8):
        known.observe(size, 0.02 * size, 64)
    assert all_laws.of({}, "cpu", 64).per_place == 1
    assert all_laws.of({}, "gpu", 64).per_place > 1


def test_kinds_without_end_take_no_memory_without_end() -> None:
    all_laws = PassLaws()
    laws: dict[str, PassLaw] = {}
    for number in range(1000):
        all_laws.of(laws, f"kind-{number}", 64)
    assert len(laws) <= 65
