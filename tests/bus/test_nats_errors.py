"""nats-py's errors, as they come from a real server, are labelbus errors on the bus."""

import asyncio
import contextlib

import nats.errors
import nats.js.errors
import pytest

from bus.connection import PENDING_BYTES, Bus, connect, is_no_responders
from bus.errors import (
    BadNameError,
    NoRespondersError,
    NotFoundError,
    RequestTimeoutError,
    TooLargeError,
    UnavailableError,
)
from bus.nats_errors import labelbus_error
from bus.settings import BusSettings
from tests.nats_server import LocalNats

DEADLINE_S = 30


def errors_of_nats_py(base=nats.errors.Error):
    """One of each of nats-py's errors that can be made, and put into words, without arguments."""
    with contextlib.suppress(TypeError):
        error = base()
        str(error)
        yield error
    for sub in base.__subclasses__():
        yield from errors_of_nats_py(sub)


@pytest.mark.parametrize("exc", list(errors_of_nats_py()), ids=lambda exc: type(exc).__qualname__)
def test_each_error_of_nats_py_has_a_labelbus_error_with_a_sentence(exc):
    error = labelbus_error(exc, "could not do it")
    assert isinstance(error, UnavailableError | NotFoundError | TooLargeError | BadNameError)
    assert str(error).startswith("could not do it: ")


def test_a_bare_timeout_is_a_request_timeout():
    assert type(labelbus_error(TimeoutError(), "could not do it")) is RequestTimeoutError


@pytest.mark.nats
async def test_a_message_over_the_limit_of_the_server_is_too_large(bus: Bus):
    with pytest.raises(TooLargeError, match=r"could not publish to some\.subject: .*max_payload"):
        await bus.publish("some.subject", b"x" * (bus.max_payload_bytes + 1))


@pytest.mark.nats
async def test_a_subject_that_nats_does_not_allow_is_a_bad_name(bus: Bus):
    async def ignore(_):
        pass

    with pytest.raises(BadNameError, match="could not publish to two words"):
        await bus.publish("two words")
    with pytest.raises(BadNameError, match="could not subscribe to two words"):
        await bus.subscribe("two words", ignore)


@pytest.mark.nats
async def test_a_request_says_whether_nobody_listens_or_nobody_answered(bus: Bus, settings: BusSettings):
    async def ignore(_):
        pass

    async def answer(msg):
        await bus.publish(msg.reply, msg.data + b"!", headers={"Seen": msg.headers["Asked"]})

    with pytest.raises(NoRespondersError, match="nobody listens"):
        await bus.request(f"{settings.prefix}.silence", timeout_s=30)
    await bus.subscribe(f"{settings.prefix}.ignored", ignore)
    await bus.subscribe(f"{settings.prefix}.answered", answer)
    with pytest.raises(RequestTimeoutError, match="no answer in time"):
        await bus.request(f"{settings.prefix}.ignored", timeout_s=0.05)
    msg = await bus.request(f"{settings.prefix}.answered", b"hello", timeout_s=30, headers={"Asked": "yes"})
    assert (msg.data, msg.headers) == (b"hello!", {"Seen": "yes"})
    assert not is_no_responders(msg)


@pytest.mark.nats
async def test_a_closed_connection_is_unavailable_to_every_call_but_the_end_of_a_subscription(settings: BusSettings):
    async def ignore(_):
        pass

    async with connect(settings, name="t") as bus:
        subscription = await bus.subscribe("some.subject", ignore)
    for call in (bus.publish("a"), bus.subscribe("a", ignore), bus.request("a", timeout_s=1), bus.flush()):
        with pytest.raises(UnavailableError, match="connection to NATS is closed"):
            await call
    await bus.unsubscribe(subscription)
    await bus.leave(subscription)


@pytest.mark.nats
async def test_a_full_buffer_while_the_server_is_away_is_unavailable(nats: LocalNats):
    async with connect(BusSettings(nats_url=nats.url), name="t") as bus:
        lost = asyncio.Event()

        async def on_lost() -> None:
            lost.set()

        bus.on_disconnect(on_lost)
        nats.stop()
        await asyncio.wait_for(lost.wait(), DEADLINE_S)
        payload = b"x" * bus.max_payload_bytes
        for _ in range(PENDING_BYTES // len(payload)):
            with contextlib.suppress(UnavailableError):  # from a little before it is full
                await bus.publish("some.subject", payload)
        with pytest.raises(UnavailableError, match="buffer of unsent messages is full"):
            await bus.publish("some.subject", payload)
