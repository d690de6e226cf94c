"""`labelbus convert`: one conversion on this machine, without NATS."""

import asyncio
import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bus.errors import InvalidInputError, LabelbusError, NotFoundError
from bus.messages import ConvertRequest
from bus.settings import ENV_PREFIX
from converter.conversion import Converted, OnStep, check_batch_size, convert
from converter.events import Step
from converter.publish import prepare_repository, recover
from converter.settings import DEFAULT_MAX_BATCH_SIZE, MAX_BATCH_SIZE, ConversionLimits
from converter.source import FolderModel, HubModel, parse_model_id

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


@click.command(name="convert")
@click.argument("model_id")
@click.option(
    "--model-repository",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    envvar=ENV_PREFIX + "MODEL_REPOSITORY",
    show_envvar=True,
    help="Folder of the Triton model repository; created if it does not exist.",
)
@click.option(
    "--max-batch-size",
    type=click.IntRange(1, MAX_BATCH_SIZE),
    default=DEFAULT_MAX_BATCH_SIZE,
    show_default=True,
    help="Texts that Triton runs at once.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing entry.")
@click.option("--label", help="Label of the entry; by default the model's id or the folder's name.")
@click.option(
    "--conversion-timeout-s",
    type=click.FloatRange(min=0, min_open=True),
    default=ConversionLimits().conversion_timeout_s,
    show_default=True,
    help="Longest time of a conversion.",
)
@click.option(
    "--hub-timeout-s",
    type=click.FloatRange(min=0, min_open=True),
    default=ConversionLimits().hub_timeout_s,
    show_default=True,
    help="Longest wait for the model hub; after it the hub counts as unreachable.",
)
@click.option(
    "--memory-limit-mb", type=click.IntRange(min=0), default=0, help="Limit of the conversion's memory; 0 is no limit."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, for scripts.")
def command(
    *,
    model_id: str,
    model_repository: Path,
    max_batch_size: int,
    overwrite: bool,
    label: str | None,
    conversion_timeout_s: float,
    hub_timeout_s: float,
    memory_limit_mb: int,
    as_json: bool,
) -> None:
    """Turn the SentenceTransformer MODEL_ID into an entry of a Triton model repository.

    MODEL_ID is `organisation/name` of a model on the hub, or the path of a folder. Exit status: 0 published,
    1 failed, 2 the input is at fault.
    """
    limits = ConversionLimits(
        conversion_timeout_s=conversion_timeout_s, hub_timeout_s=hub_timeout_s, memory_limit_mb=memory_limit_mb
    )
    request = ConvertRequest(model_id=model_id, max_batch_size=max_batch_size, overwrite=overwrite)
    root = model_repository.absolute()
    try:
        check_batch_size(request)
        source = _source(model_id, label)
        prepare_repository(root)
        recover(root)
        with _shown_progress(quiet=as_json) as on_step:
            converted = asyncio.run(convert(request, source, root, limits, on_step))
    except LabelbusError as exc:
        _print_error(exc, as_json=as_json)
        sys.exit(EXIT_BAD_INPUT if isinstance(exc, InvalidInputError | NotFoundError) else EXIT_FAILED)
    except KeyboardInterrupt:
        click.echo("convert: interrupted; nothing was published", err=True)
        sys.exit(EXIT_INTERRUPTED)
    _print_converted(converted, root, as_json=as_json)


def _source(model_id: str, label: str | None) -> HubModel | FolderModel:
    """Parse a model id or a path; any folder is allowed, since the user of the command can read it anyway."""
    path = Path(model_id).expanduser()
    if model_id.startswith(("/", "./", "../", "~")) or model_id in {".", ".."} or path.is_dir():
        folder = path.resolve()
        return parse_model_id(str(folder), allowed_roots=[Path("/")], label=label or folder.name)
    return parse_model_id(model_id, label=label)


class _shown_progress:  # noqa: N801  # used as a function: `with _shown_progress(...) as on_step`
    """A progress bar on stderr; lines where stderr is no terminal; nothing if `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        console = Console(stderr=True)
        self._plain = not quiet and not console.is_terminal
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<8}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[message]}"),
            console=console,
            disable=quiet or self._plain,
            transient=True,
        )
        self._task = self._bar.add_task("resolve", total=1.0, message="")

    def __enter__(self) -> OnStep:
        self._bar.start()
        return self._on_step

    def __exit__(self, *_exc: object) -> None:
        self._bar.stop()

    def _on_step(self, step: Step) -> None:
        self._bar.update(self._task, completed=step.fraction, description=step.stage, message=step.message)
        if self._plain:
            click.echo(f"{step.fraction:4.0%} {step.stage:<8} {step.message}", err=True)


def _print_error(error: LabelbusError, *, as_json: bool) -> None:
    if as_json:
        body = {"status": "error", "code": error.code, "message": error.message}
        click.echo(msgspec.json.encode(body).decode())
    else:
        click.echo(f"convert: {error.message}", err=True)


def _print_converted(converted: Converted, root: Path, *, as_json: bool) -> None:
    if as_json:
        body = {
            "status": "success",
            "model_name": converted.info.model_name,
            "path": str(root / converted.info.model_name),
            "source": converted.source,
            "seconds": round(converted.seconds, 3),
            "peak_memory_mb": converted.peak_memory_bytes >> 20,
            "info": msgspec.to_builtins(converted.info),
        }
        click.echo(msgspec.json.encode(body).decode())
    else:
        click.echo(converted.sentence)
        click.echo(
            f"The entry is {root / converted.info.model_name}; workers that use this repository can load it now."
        )


if __name__ == "__main__":
    command()
