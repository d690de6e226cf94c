"""Real traffic from a file with one request a line, `time,label,run_ms,load_ms`."""

import csv
from pathlib import Path

from bench.sim.workload import Request, Workload
from bus.errors import MalformedError


def read_trace(path: Path, *, workers: int, capacity: int, slots: int) -> Workload:
    """Read the trace as a workload for a pool of this size, with nothing loaded; times are seconds, in any order.

    A first line of column names is skipped. Raises `MalformedError`, which names the first malformed line.
    """
    requests: list[Request] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.reader(file), start=1):
                if not row or (number == 1 and row[0].strip() == "time"):
                    continue
                requests.append(_request(row, f"{path}, line {number}"))
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise MalformedError(f"{path} cannot be read as a trace ({exc})") from exc
    if not requests:
        raise MalformedError(f"{path} has no requests: it needs lines of time,label,run_ms,load_ms")
    requests.sort(key=lambda request: request.arrives)
    first = requests[0].arrives
    shifted = [Request(request.arrives - first, request.label, request.run_s, request.load_s) for request in requests]
    labels = len({request.label for request in requests})
    return Workload(name=path.name, workers=workers, capacity=capacity, slots=slots, requests=shifted, labels=labels)


def _request(row: list[str], where: str) -> Request:
    try:
        time, label, run_ms, load_ms = row
        request = Request(float(time), label.strip(), float(run_ms) / 1e3, float(load_ms) / 1e3)
    except ValueError as exc:
        raise MalformedError(f"{where}: expected time,label,run_ms,load_ms, found {','.join(row)!r}") from exc
    if not request.label or request.run_s < 0 or request.load_s < 0:
        raise MalformedError(f"{where}: the label is empty or a time is negative")
    return request
