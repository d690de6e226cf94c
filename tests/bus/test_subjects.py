import pytest

from bus.errors import BadNameError
from bus.subjects import Subjects


def test_subjects_are_those_of_the_contract():
    s = Subjects()
    assert s.task("w-1") == "lb.task.w-1"
    assert s.task_any == "lb.task.any"
    assert s.state("*") == "lb.state.*"
    assert s.log("worker", "w-1") == "lb.log.worker.w-1"
    assert s.log_all == "lb.log.>"
    assert s.convert == "lb.convert"
    assert s.convert_event("a--b.v1") == "lb.event.convert.a--b_v1"
    assert s.worker_key("w-1") == "worker.w-1"


def test_every_subject_begins_with_the_prefix():
    s = Subjects(prefix="acme.bus")
    made = [s.task("w"), s.task_any, s.reply("d", 1), s.ping("w"), s.state("w"), s.log("c", "i"), s.convert]
    assert all(subject.startswith("acme.bus.") for subject in made)


@pytest.mark.parametrize("prefix", ["", "a b", "lb.", "lb.*", ">"])
def test_a_prefix_that_is_no_subject_is_refused(prefix):
    with pytest.raises(BadNameError):
        Subjects(prefix=prefix)


def test_a_workers_key_leads_back_to_the_worker():
    s = Subjects()
    assert s.worker_of_key(s.worker_key("w-1")) == "w-1"
    for key in ("w-1", "worker.", "worker.a.b", "other.w"):
        with pytest.raises(BadNameError):
            s.worker_of_key(key)


def test_a_log_subject_leads_back_to_component_and_id():
    s = Subjects(prefix="x")
    assert s.parse_log("x.log.worker.w-1") == ("worker", "w-1")
    for subject in ("lb.log.worker.w", "x.log.worker", "x.log.worker.a.b", "x.log..b", "x.logs.a.b"):
        with pytest.raises(BadNameError):
            s.parse_log(subject)
