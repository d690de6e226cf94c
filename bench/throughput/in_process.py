"""The model's graph in a process of its own, without any server: the least that texts could cost.

`python -m bench.throughput.in_process REPOSITORY LABEL THREADS` reads one `InProcessLeg` a line from stdin, as JSON,
and writes one `LegResult` for each. Clients are threads that take turns at the graph. Tokenisation is included, JSON
is not.
"""

import itertools
import sys
import threading
import time

import msgspec

from bench.http_load import LegResult
from bench.throughput.model import Graph, TextsLeg, TextTokenizer, entry_of


class InProcessLeg(TextsLeg, frozen=True, kw_only=True):
    """A leg whose tasks run in batches of at most `max_rows`, as they come or sorted by length."""

    max_rows: int
    by_length: bool


def run_leg(leg: InProcessLeg, tokenizer: TextTokenizer, graph: Graph) -> LegResult:
    """Run a leg."""
    tasks = itertools.cycle(leg.tasks)
    latencies: list[float] = []
    cpu, began = time.process_time(), time.perf_counter()

    def client() -> None:
        while (sent := time.perf_counter()) - began < leg.seconds:
            for inputs in tokenizer.in_batches(next(tasks), leg.max_rows, by_length=leg.by_length):
                graph.run(inputs)
            latencies.append(time.perf_counter() - sent)

    clients = [threading.Thread(target=client) for _ in range(leg.clients)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    return LegResult(
        seconds=time.perf_counter() - began,
        cpu_s=time.process_time() - cpu,
        statuses={"200": len(latencies)},
        latencies_ms=sorted(round(s * 1e3, 4) for s in latencies),
    )


def main() -> None:
    """Run legs from stdin until it ends."""
    repository, label, threads = sys.argv[1:]
    entry = entry_of(repository, label)
    tokenizer, graph = TextTokenizer(entry), Graph(entry, int(threads))
    for line in sys.stdin.buffer:
        result = run_leg(msgspec.json.decode(line, type=InProcessLeg), tokenizer, graph)
        sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
