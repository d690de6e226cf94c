"""tritonclient straight to the Triton of the worker: what a program does that needs one model and no bus.

`python -m bench.throughput.triton_client REPOSITORY LABEL TARGET` reads one `TritonLeg` a line from stdin, as JSON, and
writes one `LegResult` for each. A task is tokenised here, sent over gRPC in one padded batch (more if it has more texts
than the model takes), and its embeddings read into numpy. Nothing is made of JSON.
"""

import asyncio
import itertools
import sys
import time

import msgspec
import uvloop
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient

from bench.http_load import LegResult
from bench.throughput.model import Arrays, TextsLeg, TextTokenizer, entry_of
from bus.names import model_name


class TritonLeg(TextsLeg, frozen=True, kw_only=True):
    """A leg whose tasks are sent in batches of at most `max_rows`."""

    max_rows: int


async def run_leg(leg: TritonLeg, tokenizer: TextTokenizer, model: str, target: str) -> LegResult:
    """Run a leg."""
    tasks = itertools.cycle(leg.tasks)
    latencies: list[float] = []
    triton = InferenceServerClient(target)
    cpu, began = time.process_time(), time.perf_counter()

    async def client() -> None:
        while (sent := time.perf_counter()) - began < leg.seconds:
            for inputs in tokenizer.in_batches(next(tasks), leg.max_rows, by_length=False):
                (await triton.infer(model, _infer_inputs(inputs))).as_numpy("sentence_embedding")
            latencies.append(time.perf_counter() - sent)

    async with asyncio.TaskGroup() as clients:
        for _ in range(leg.clients):
            clients.create_task(client())
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    await triton.close()
    return LegResult(
        seconds=seconds,
        cpu_s=cpu,
        statuses={"200": len(latencies)},
        latencies_ms=sorted(round(s * 1e3, 4) for s in latencies),
    )


def _infer_inputs(inputs: Arrays) -> list[InferInput]:
    sent = []
    for name, array in inputs.items():
        sent.append(InferInput(name, array.shape, "INT64"))
        sent[-1].set_data_from_numpy(array)
    return sent


def main() -> None:
    """Run legs from stdin until it ends."""
    repository, label, target = sys.argv[1:]
    tokenizer = TextTokenizer(entry_of(repository, label))
    for line in sys.stdin.buffer:
        leg = msgspec.json.decode(line, type=TritonLeg)
        result = uvloop.run(run_leg(leg, tokenizer, model_name(label), target))
        sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
