"""The one thing in the backend that a real Triton shows only by chance; the rest runs in test_runtimes.py."""

import os
import select
import signal
import subprocess
import sys

from worker.local_triton.files import BACKEND_MODEL

DEADLINE_S = 30.0

STUB = """
import importlib.util, os, sys, threading, types
sys.modules["triton_python_backend_utils"] = types.ModuleType("triton_python_backend_utils")
spec = importlib.util.spec_from_file_location("model", sys.argv[1])
model = importlib.util.module_from_spec(spec)
spec.loader.exec_module(model)
model._leave_with(os.getppid())
print(os.getpid(), flush=True)
threading.Event().wait()
"""

SERVER = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"


def test_a_stub_that_waits_for_ever_leaves_with_its_server() -> None:
    command = [sys.executable, "-c", SERVER, STUB, str(BACKEND_MODEL)]
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        stub = os.pidfd_open(int(server.stdout.readline()))
        server.kill()

        ended, _, _ = select.select([stub], [], [], DEADLINE_S)

    if not ended:
        signal.pidfd_send_signal(stub, signal.SIGKILL)
    os.close(stub)
    assert ended
