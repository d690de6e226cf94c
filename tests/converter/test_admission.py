import pytest

from bus.errors import ConflictError, OverloadedError
from bus.messages import ConvertRequest
from converter.admission import MAX_JOINED, InFlight, Join, Refuse, Start, admit

REQUEST = ConvertRequest(model_id="a/b", max_batch_size=32)
OVERWRITE = ConvertRequest(model_id="a/b", max_batch_size=32, overwrite=True)
OTHER_SIZE = ConvertRequest(model_id="a/b", max_batch_size=8)
ALIAS = ConvertRequest(model_id="/models/a/b", max_batch_size=32)
RUNNING = {"a/b": InFlight(request=REQUEST, joined=1)}
OTHERS = {f"o/{number}": InFlight(request=REQUEST, joined=1) for number in range(3)}


@pytest.mark.parametrize(
    ("request_", "in_flight", "exists", "decision", "error"),
    [
        (REQUEST, {}, False, Start, None),
        (REQUEST, {}, True, Refuse, ConflictError),
        (OVERWRITE, {}, True, Start, None),
        (REQUEST, RUNNING, False, Join, None),
        (OVERWRITE, RUNNING, False, Join, None),
        (REQUEST, RUNNING, True, Refuse, ConflictError),
        (OTHER_SIZE, RUNNING, False, Refuse, ConflictError),
        (ALIAS, RUNNING, False, Refuse, ConflictError),
        (REQUEST, OTHERS, False, Refuse, OverloadedError),
        (REQUEST, {**OTHERS, **RUNNING}, False, Join, None),
        (REQUEST, {"a/b": InFlight(request=REQUEST, joined=MAX_JOINED)}, False, Refuse, OverloadedError),
    ],
)
def test_who_begins_who_joins_and_who_is_refused(request_, in_flight, exists, decision, error):
    found = admit(request_, "a/b", in_flight=in_flight, exists=exists, max_in_flight=3)
    assert isinstance(found, decision)
    if isinstance(found, Refuse):
        assert type(found.error) is error
