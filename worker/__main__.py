"""`python -m worker`: one worker and its runtime."""

import importlib
import sys
from types import ModuleType

from bus.command import settings_command
from bus.component import Component, run_component
from bus.errors import InvalidInputError
from worker.handlers import embed_texts, infer, sample_pass, sample_task
from worker.runtimes.factory import make_runtime
from worker.service import WorkerService
from worker.settings import WorkerSettings
from worker.tasks import task_types_of


def run(settings: WorkerSettings) -> int:
    """Serve until SIGTERM; return the exit status."""
    sample = sample_pass if settings.has_simulated_law else sample_task
    task_types = task_types_of([embed_texts, infer, sample, *map(_module, settings.handlers)])
    worker_id = settings.id

    async def main(component: Component) -> None:
        runtime = make_runtime(settings)
        log = component.quick_log.add
        service = WorkerService(component.bus, settings, worker_id, runtime, task_types, log_completed=log)
        await service.run(component.stopping, component.ready)

    return run_component(settings, component="worker", component_id=worker_id, main=main)


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise InvalidInputError(f"--handlers {name}: {exc}; is it on PYTHONPATH?") from exc


command = settings_command(WorkerSettings, run, name="worker", help_text="Run a worker: holds labels and runs tasks.")

if __name__ == "__main__":
    sys.exit(command())
