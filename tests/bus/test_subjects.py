import pytest

from bus.errors import BadNameError
from bus.names import ANY_WORKER
from bus.subjects import (
    AssignmentToken,
    LogAddress,
    ProbeToken,
    ReplyAddress,
    Subjects,
    is_ack,
    parse_reply_token,
    reply_address,
)


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
    assert s.parse_log("x.log.worker.w-1") == LogAddress("worker", "w-1")
    for subject in ("lb.log.worker.w", "x.log.worker", "x.log.worker.a.b", "x.log..b", "x.logs.a.b"):
        with pytest.raises(BadNameError):
            s.parse_log(subject)


def test_reply_subjects_lead_back_to_what_they_reply_to():
    s = Subjects(prefix="acme.bus")
    for reply, token in (
        (s.assignment_reply("d-1", "19a0", 7), AssignmentToken("19a0", 7)),
        (s.probe_reply("d-1", 1234, "w-1"), ProbeToken(1234, "w-1")),
        (s.probe_reply("d-1", 1234, ANY_WORKER), ProbeToken(1234, ANY_WORKER)),
        (s.probe_reply("d-1", 1234, ""), ProbeToken(1234, "")),
    ):
        address = reply_address(reply)
        assert address == ReplyAddress("acme.bus.reply.d-1", reply.rpartition(".")[2])
        assert parse_reply_token(address.token) == token


def test_only_a_dispatchers_probe_to_itself_is_an_echo():
    assert ProbeToken(1, "").is_echo
    assert not ProbeToken(1, "w").is_echo
    assert not ProbeToken(1, ANY_WORKER).is_echo


@pytest.mark.parametrize(
    "token",
    [
        "",
        "-",
        "7",
        "-7",
        "19a0-",
        "19a0-x",
        "19a0-²",
        "p-",
        "p--",
        "p-5",
        "p-w1",
        "p-²-w",
        "p-5-a.b",
        "9-" + "9" * 5000,
    ],
)
def test_a_token_that_nobody_made_is_refused(token):
    with pytest.raises(BadNameError):
        parse_reply_token(token)


def test_names_of_jetstream_are_those_of_its_protocol():
    s = Subjects(bucket="labels", log_stream="LOGS")
    assert s.kv(s.worker_key("w-1")) == "$KV.labels.worker.w-1"
    assert s.bucket_stream == "KV_labels"
    assert s.pull("logsink") == "$JS.API.CONSUMER.MSG.NEXT.LOGS.logsink"
    assert is_ack("$JS.ACK.LOGS.logsink.1.5.3.1790000000000000000.0")
    assert not is_ack("_INBOX.abc.1")
