"""The published profiling script's requests: `python profile_script.py http://127.0.0.1:8080`.

8,000 tasks of five labels from one process, and a look at the workers every 250. Bodies are as published: a parameter
that sample_task does not know, parameters as JSON in a string, and task ids that come again once they are answered.
"""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests

REQUESTS = 8_000
LABELS = 5
WORKERS_EVERY = 250
THREADS = 8

_of_thread = threading.local()


def session() -> requests.Session:
    if not hasattr(_of_thread, "session"):
        _of_thread.session = requests.Session()
    made: requests.Session = _of_thread.session
    return made


def run_task(url: str, number: int) -> str:
    """Send one task; return the worker that ran it."""
    label = f"label-{number % LABELS + 1}"
    body = {
        "task_type": "sample_task",
        "task_id": f"task-{number % (REQUESTS // 2) + 1}",
        "label": label,
        "parameters_json": '{"data": "sample"}',
    }
    response = session().post(f"{url}/run-task", json=body, timeout=30)
    response.raise_for_status()
    answer = response.json()
    assert (answer["label"], answer["data"]) == (label, "sample"), answer
    return response.headers["Labelbus-Worker"]


def main(url: str) -> None:
    began = time.perf_counter()
    ran: dict[str, int] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, REQUESTS, WORKERS_EVERY):
            numbers = range(start, start + WORKERS_EVERY)
            for worker in pool.map(run_task, [url] * WORKERS_EVERY, numbers):
                ran[worker] = ran.get(worker, 0) + 1
            response = session().get(f"{url}/workers", timeout=30)
            response.raise_for_status()
            assert ran.keys() <= set(response.json()["workers"]), response.json()
    print(json.dumps({"tasks": sum(ran.values()), "workers": ran, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main(sys.argv[1])
