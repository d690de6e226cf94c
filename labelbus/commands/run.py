"""`labelbus run`: one task through the gateway."""

import sys
from typing import Any

import click
import msgspec

from bus.errors import LabelbusError, ProblemError
from labelbus.client import DEFAULT_URL, Client, TaskResult


@click.command("run")
@click.argument("task_type")
@click.option("--label", required=True, help="Label that the task needs, usually a model.")
@click.option("--texts", multiple=True, help="A text for embed_texts; may be repeated.")
@click.option("--parameters", default=None, help="Parameters as JSON; - reads them from standard input.")
@click.option("--task-id", default=None, help="Id of the task; made up if not given.")
@click.option(
    "--url",
    default=DEFAULT_URL,
    envvar="LABELBUS_URL",
    show_envvar=True,
    show_default=True,
    help="Address of the gateway.",
)
@click.option("--timeout-s", default=120.0, show_default=True, help="Time to wait for the answer.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole result as one line of JSON.")
def command(
    task_type: str,
    label: str,
    texts: tuple[str, ...],
    parameters: str | None,
    task_id: str | None,
    url: str,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Submit a task and print its result; print the worker, the route and the times to stderr."""
    given = _parameters(texts, parameters)
    try:
        with Client(url, timeout_s=timeout_s) as client:
            result = client.run_task(task_type, label, given, task_id=task_id)
    except LabelbusError as exc:
        status = f"{exc.status} " if isinstance(exc, ProblemError) else ""
        click.echo(f"labelbus run: {status}{exc}", err=True)
        sys.exit(1)
    _print(result, as_json=as_json)


def _parameters(texts: tuple[str, ...], parameters: str | None) -> dict[str, Any]:
    if parameters == "-":
        parameters = sys.stdin.read()
    try:
        given = msgspec.json.decode(parameters, type=dict[str, Any]) if parameters else {}
    except msgspec.DecodeError as exc:
        raise click.BadParameter(f"not a JSON object: {exc}", param_hint="--parameters") from exc
    return {**given, "texts": list(texts)} if texts else given


def _print(result: TaskResult, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(result))
        return
    click.echo(msgspec.json.encode(result.output))
    click.echo(
        f"{result.task_id} on {result.worker}: {result.route}, queued {result.queue_ms:.1f} ms, "
        f"load {result.load_ms:.1f} ms, run {result.run_ms:.1f} ms",
        err=True,
    )
