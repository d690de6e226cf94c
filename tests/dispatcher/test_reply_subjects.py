"""Reply subjects of one dispatcher process."""

import pytest

from bus.names import ANY_WORKER
from bus.subjects import AssignmentToken, ProbeToken, Subjects, parse_reply_token, reply_address
from dispatcher.reply_subjects import UNKNOWN_ASSIGNMENT, ReplySubjects

OURS = ReplySubjects(Subjects(), "d1", incarnation="19a")
EARLIER = ReplySubjects(Subjects(), "d1", incarnation="199")


def token_of(subject):
    return parse_reply_token(reply_address(subject).token)


def test_every_reply_subject_is_covered_by_the_subscription():
    prefix = OURS.all.removesuffix("*")
    assert prefix == "lb.reply.d1."
    for subject in (OURS.assignment(7), OURS.ping(12.5, "w-1"), OURS.ping(12.5, ANY_WORKER), OURS.echo(12.5)):
        assert subject.startswith(prefix)
        assert "." not in subject.removeprefix(prefix)


def test_an_assignment_is_read_back_by_the_process_that_made_it_and_by_no_other():
    token = token_of(OURS.assignment(7))
    assert isinstance(token, AssignmentToken)
    assert OURS.assignment_id(token) == 7
    assert EARLIER.assignment_id(token) == UNKNOWN_ASSIGNMENT


@pytest.mark.parametrize("worker_id", ["w1", "w-1_a", ANY_WORKER])
def test_a_ping_carries_the_time_and_the_worker(worker_id):
    token = token_of(OURS.ping(12.3456, worker_id))
    assert token == ProbeToken(12345, worker_id)
    assert not token.is_echo


def test_an_echo_is_told_from_a_ping():
    token = token_of(OURS.echo(12.5))
    assert isinstance(token, ProbeToken)
    assert token.is_echo


def test_of_the_tokens_that_a_worker_names_only_our_own_assignments_are_kept():
    subjects = [OURS.assignment(1), EARLIER.assignment(2), OURS.assignment(3), OURS.ping(1.0, "w1")]
    tokens = (*(reply_address(subject).token for subject in subjects), "", "nonsense", "²", "19a-" + "9" * 5_000)
    assert OURS.assignment_ids(tokens) == {1, 3}
