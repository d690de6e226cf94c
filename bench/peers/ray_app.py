"""A Ray Serve application that holds labels as labelbus' simulated runtime does: loads and runs only wait.

    python bench/peers/ray_app.py '{"port": 8001, "temp": "/tmp/x", "health": "ready", "loads": "loads.jsonl", …}'

Runs until SIGTERM, in the environment of Ray Serve, which has no labelbus. `Options` has the fields of the argument.
"""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypedDict

import ray
from ray import serve


class Options(TypedDict):
    """The argument: a port of loopback, paths, times in seconds, and the size of the pool."""

    port: int
    temp: str
    """Folder of Ray's session; a short path, since Ray makes sockets in it."""
    health: str
    """File that is made when requests are answered."""
    loads: str
    """File that each load adds a line to."""
    replicas: int
    capacity: int
    slots: int
    ongoing: int
    """Requests that Ray sends to a replica at once; 0: Ray's default."""
    load_s: float


class _Request(Protocol):
    async def json(self) -> Any: ...


def deployment(options: Options) -> Any:
    """Return the bound application: `replicas` replicas, each with room for `capacity` labels."""
    limits: dict[str, Any] = {"max_ongoing_requests": options["ongoing"]} if options["ongoing"] else {}

    class Replica:
        """One worker; it runs `slots` tasks at once, as a worker of labelbus does, and may load beside them."""

        def __init__(self) -> None:
            self._running = asyncio.Semaphore(options["slots"])
            self._name = f"replica-{os.getpid()}"

        def _note(self, label: str) -> None:
            line = json.dumps({"time": time.time(), "label": label, "replica": self._name})
            with Path(options["loads"]).open("a") as log:
                log.write(line + "\n")

        @serve.multiplexed(max_num_models_per_replica=options["capacity"])  # type: ignore[untyped-decorator]
        async def held(self, label: str) -> str:
            """Load a label: write down that it was loaded, and wait."""
            self._note(label)
            await asyncio.sleep(options["load_s"])
            return label

        async def __call__(self, request: _Request) -> dict[str, Any]:
            """Run one task; the answer says how long it waited for its label, and for a slot and its run."""
            body = await request.json()
            began = time.perf_counter()
            label = await self.held(serve.get_multiplexed_model_id())
            held = time.perf_counter()
            async with self._running:
                await asyncio.sleep(body["sleep_ms"] / 1000)
            ended = time.perf_counter()
            return {
                "label": label,
                "replica": self._name,
                "load_ms": round((held - began) * 1000, 3),
                "run_ms": round((ended - held) * 1000, 3),
            }

    # CPUs that Ray counts but nothing uses would only keep replicas from starting.
    made: Any = serve.deployment(num_replicas=options["replicas"], ray_actor_options={"num_cpus": 0}, **limits)(Replica)
    return made.bind()


def main(options: Options) -> None:
    """Serve the application on loopback until SIGTERM."""
    stop = False

    def on_stop(_: int, __: FrameType | None) -> None:
        nonlocal stop
        stop = True

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=100_000_000,
        _node_ip_address="127.0.0.1",
        _temp_dir=options["temp"],
        log_to_driver=False,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": options["port"]})
    serve.run(deployment(options), name="peer", route_prefix="/")
    signal.signal(signal.SIGTERM, on_stop)  # after Ray's own handlers
    Path(options["health"]).touch()
    while not stop:
        time.sleep(0.05)
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
