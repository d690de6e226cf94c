"""Tensors to and from JSON, as KServe v2 writes them."""

from typing import Any, cast

import hypothesis.strategies as st
import msgspec
import numpy as np
import orjson
import pytest
from hypothesis import given

from bus.errors import BadParametersError
from tests.worker.alone import alone
from worker.handlers.infer import DATATYPES, Tensor, from_array, infer, to_array
from worker.tasks import TaskContext

INTEGERS = ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"]
FLOATS = ["FP16", "FP32", "FP64"]


def tensor(datatype: str, data: list[Any], shape: list[int] | None = None) -> Tensor:
    return Tensor(name="x", shape=[len(data)] if shape is None else shape, datatype=datatype, data=data)


def values(datatype: str) -> st.SearchStrategy[Any]:
    if datatype == "BOOL":
        return st.booleans()
    if datatype == "BYTES":
        return st.text(st.characters(exclude_categories=["Cs"]))
    if datatype in FLOATS:
        width = cast(Any, int(datatype[2:]))
        return st.floats(allow_nan=False, allow_infinity=False, width=width)
    info = np.iinfo(cast(Any, DATATYPES[datatype]))
    return st.integers(int(info.min), int(info.max))


@given(st.data(), st.sampled_from(sorted(DATATYPES)), st.lists(st.integers(0, 3), min_size=1, max_size=4))
def test_every_tensor_comes_back_as_it_went(data, datatype, shape):
    size = int(np.prod(shape))
    flat = data.draw(st.lists(values(datatype), min_size=size, max_size=size))
    array = to_array(tensor(datatype, flat, shape))
    assert array.shape == tuple(shape)
    assert array.dtype == DATATYPES[datatype]
    told = orjson.loads(orjson.dumps(from_array("x", array), option=orjson.OPT_SERIALIZE_NUMPY))
    assert {**told, "data": None} == {"name": "x", "shape": shape, "datatype": datatype, "data": None}
    back = to_array(msgspec.convert(told, Tensor))  # floats are written as short as their type allows
    assert back.tolist() == array.tolist()
    if datatype not in FLOATS:
        assert told["data"] == flat
    nested = np.array(flat, dtype=object).reshape(shape).tolist()
    if size:
        again = to_array(tensor(datatype, nested, shape))
        assert again.dtype == array.dtype
        assert again.tolist() == array.tolist()


@pytest.mark.parametrize("datatype", INTEGERS)
def test_integers_go_up_to_their_limits_and_no_further(datatype):
    info = np.iinfo(cast(Any, DATATYPES[datatype]))
    limits = [int(info.min), 1, int(info.max)]
    assert to_array(tensor(datatype, limits)).tolist() == limits
    for beyond in (int(info.min) - 1, int(info.max) + 1, 10**30):
        with pytest.raises(BadParametersError, match=f"out of the range of {datatype}"):
            to_array(tensor(datatype, [0, beyond]))


@pytest.mark.parametrize(("datatype", "beyond"), [("FP16", 65_520.0), ("FP32", 3.5e38), ("FP64", 10**400)])
def test_a_float_too_large_for_its_type_is_refused_and_not_made_infinite(datatype, beyond):
    with pytest.raises(BadParametersError, match=f"out of the range of {datatype}"):
        to_array(tensor(datatype, [1.0, beyond]))


@pytest.mark.parametrize(
    ("datatype", "data", "shape"),
    [
        ("FP8", [1], [1]),
        ("", [1], [1]),
        ("fp32", [1], [1]),
        ("INT64", [1.5], [1]),
        ("INT64", [1.0], [1]),
        ("INT64", ["1"], [1]),
        ("INT64", [True], [1]),
        ("INT64", [1, True], [2]),
        ("INT64", [None], [1]),
        ("INT64", [{}], [1]),
        ("BOOL", [1], [1]),
        ("FP32", ["1.0"], [1]),
        ("FP32", [None, 1.0], [2]),
        ("FP32", [True, 1.0], [2]),
        ("BYTES", [1], [1]),
        ("BYTES", ["a", None], [2]),
        ("INT64", [1, 2, 3], [2]),
        ("INT64", [], [1]),
        ("INT64", [1], [0]),
        ("INT64", [[1, 2], [3]], [2, 2]),
        ("INT64", [[1], 2], [2]),
        ("INT64", [1, [2]], [2]),
        ("INT64", [[[1]], [2]], [2]),
        ("FP32", [1.0], [10**9] * 8),
    ],
)
def test_data_that_do_not_fit_are_bad_parameters(datatype, data, shape):
    with pytest.raises(BadParametersError):
        to_array(tensor(datatype, data, shape))


@pytest.mark.parametrize(
    "parameters",
    [
        {"inputs": []},
        {"inputs": [{"name": "", "shape": [1], "datatype": "BOOL", "data": [True]}]},
        {"inputs": [{"name": "x", "shape": [], "datatype": "BOOL", "data": [True]}]},
        {"inputs": [{"name": "x", "shape": [-1], "datatype": "BOOL", "data": [True]}]},
        {"inputs": [{"name": "x", "shape": [1] * 9, "datatype": "BOOL", "data": [True]}]},
        {"inputs": [{"name": "x", "shape": [1], "datatype": "BOOL"}]},
    ],
)
def test_requests_of_the_wrong_shape_are_bad_parameters(parameters):
    with pytest.raises(BadParametersError):
        infer.decode(orjson.dumps(parameters))


class Echo:
    async def run(self, label, inputs, *, timeout_s):
        return {f"out_{name}": array for name, array in inputs.items()}


def context(runtime: object) -> TaskContext:
    return TaskContext(
        task_id="t", label="a/b", runtime=cast(Any, runtime), tokens=cast(Any, None), limits=cast(Any, None)
    )


async def run(parameters: dict[str, Any]) -> Any:
    return orjson.loads(await alone(infer, context(Echo()), infer.decode(orjson.dumps(parameters))))


def one(name: str) -> dict[str, Any]:
    return {"name": name, "shape": [1], "datatype": "INT8", "data": [3]}


async def test_the_outputs_that_are_asked_for_come_back_under_the_models_name():
    everything = await run({"inputs": [one("a"), one("b")]})
    assert everything["model_name"] == "a--b"
    assert [output["name"] for output in everything["outputs"]] == ["out_a", "out_b"]
    wanted = await run({"inputs": [one("a"), one("b")], "outputs": [{"name": "out_b"}]})
    assert wanted["outputs"] == [{**one("out_b")}]


async def test_an_output_that_the_model_has_not_is_named_with_those_it_has():
    with pytest.raises(BadParametersError, match="no output z; it has out_a"):
        await run({"inputs": [one("a")], "outputs": [{"name": "z"}]})


async def test_two_inputs_of_one_name_are_refused():
    with pytest.raises(BadParametersError, match="same name"):
        await run({"inputs": [one("a"), one("a")]})


def test_a_tensor_that_no_name_fits_is_told_as_text():
    told = from_array("x", np.array([[b"a"], [b"\xff"]], dtype=object))
    assert told == {"name": "x", "shape": [2, 1], "datatype": "BYTES", "data": ["a", "�"]}
    assert msgspec.json.encode(told)
