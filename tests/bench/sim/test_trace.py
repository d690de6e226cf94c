import pytest

from bench.sim.trace import read_trace
from bench.sim.workload import Request
from bus.errors import MalformedError


def test_a_trace_is_read_in_order_of_time(tmp_path):
    file = tmp_path / "trace.csv"
    file.write_text("time,label,run_ms,load_ms\n12.5,b,30,400\n10,a,20,300\n")
    workload = read_trace(file, workers=2, capacity=1, slots=1)
    assert workload.requests == [Request(0.0, "a", 0.02, 0.3), Request(2.5, "b", 0.03, 0.4)]


@pytest.mark.parametrize("line", ["1,a,2", "x,a,1,2", "1,,1,2", "1,a,-1,2", ""])
def test_a_bad_trace_is_refused_with_the_line(tmp_path, line):
    file = tmp_path / "trace.csv"
    file.write_text("time,label,run_ms,load_ms\n" + line)
    with pytest.raises(MalformedError, match=r"trace\.csv"):
        read_trace(file, workers=2, capacity=1, slots=1)
