"""Commands made from settings."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from click.testing import CliRunner, Result
from msgspec import Meta

from bus.command import build, settings_command
from bus.errors import InvalidInputError, UnavailableError


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    name: Annotated[str, Meta(description="What it is called.")] = "x"
    port: Annotated[int, Meta(description="Where.", ge=0, le=65535)] = 80
    wait_s: Annotated[float, Meta(description="How long.", gt=0)] = 1.5
    loud: Annotated[bool, Meta(description="Whether.")] = False
    kind: Annotated[Literal["a", "b"], Meta(description="Which.")] = "a"
    file: Annotated[Path | None, Meta(description="A file.")] = None
    modules: Annotated[tuple[str, ...], Meta(description="Modules.")] = ()

    def __post_init__(self) -> None:
        if self.name == "bad":
            raise InvalidInputError("bad is no name; choose another")


def call(*arguments: str, env: dict[str, str] | None = None, run: Any = None) -> tuple[Result, list[Settings]]:
    got: list[Settings] = []
    command = settings_command(Settings, run or got.append, name="thing", help_text="Does a thing.")
    return CliRunner().invoke(command, arguments, env=env), got


@pytest.mark.parametrize(
    ("arguments", "env", "settings"),
    [
        ([], {}, Settings()),
        (["--port", "0", "--name", "n"], {}, Settings(port=0, name="n")),
        (["--loud"], {}, Settings(loud=True)),
        (["--no-loud"], {"LABELBUS_LOUD": "true"}, Settings()),
        ([], {"LABELBUS_PORT": "7", "LABELBUS_LOUD": "1"}, Settings(port=7, loud=True)),
        (["--port", "8"], {"LABELBUS_PORT": "7"}, Settings(port=8)),
        (["--file", "/a/b"], {}, Settings(file=Path("/a/b"))),
        (["--modules", "a", "--modules", "b.c"], {}, Settings(modules=("a", "b.c"))),
        ([], {"LABELBUS_MODULES": "a b"}, Settings(modules=("a", "b"))),
        (["--kind", "b"], {}, Settings(kind="b")),
        (["--wait-s", "2"], {}, Settings(wait_s=2.0)),
    ],
)
def test_flags_and_variables_become_settings_and_flags_win(arguments, env, settings):
    result, got = call(*arguments, env=env)
    assert result.exit_code == 0, result.output
    assert got == [settings]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "70000"], "thing: --port: expected `int` <= 65535"),
        (["--port", "x"], "'x' is not a valid integer"),
        (["--wait-s", "0"], "thing: --wait-s: expected `float` > 0"),
        (["--kind", "c"], "'c' is not one of 'a', 'b'"),
        (["--name", "bad"], "thing: bad is no name; choose another"),
        (["--unheard-of"], "No such option"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_flag(arguments, says):
    result, got = call(*arguments)
    assert result.exit_code == 2
    assert says in result.output
    assert got == []


def test_errors_become_a_line_and_a_status():
    def fail(error: BaseException) -> Any:
        def run(_: Settings) -> None:
            raise error

        return run

    result, _ = call(run=fail(UnavailableError("NATS is away")))
    assert (result.exit_code, result.output) == (1, "thing: NATS is away\n")
    assert call(run=fail(InvalidInputError("no")))[0].exit_code == 2
    assert call(run=fail(KeyboardInterrupt()))[0].exit_code == 130
    assert call(run=lambda _: 7)[0].exit_code == 7


def test_help_names_flags_variables_and_defaults():
    output = " ".join(call("--help")[0].output.split())
    assert "Does a thing." in output
    assert "Where. [default: 80]" in output
    assert "LABELBUS_WAIT_S" in output
    assert "--loud / --no-loud" in output


def test_none_means_not_given():
    assert build(Settings, {"name": None, "port": 5}) == Settings(port=5)
