"""A click command from a settings struct: each field becomes a flag, a `LABELBUS_*` variable and a line of help."""

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import click
import msgspec

from bus.errors import InvalidInputError, LabelbusError
from bus.settings import ENV_PREFIX

S = TypeVar("S", bound=msgspec.Struct)


def settings_command(
    settings_type: type[S], run: Callable[[S], int | None], *, name: str, help_text: str
) -> click.Command:
    """Return a command that builds the settings from flags and variables, and calls `run` with them.

    A `LabelbusError` ends it with status 1 and one line on stderr, Ctrl-C with 130.
    """

    def callback(**values: Any) -> None:
        try:
            status = run(build(settings_type, values))
        except LabelbusError as exc:
            click.echo(f"{name}: {exc}", err=True)
            sys.exit(2 if isinstance(exc, InvalidInputError) else 1)
        except KeyboardInterrupt:
            sys.exit(130)
        sys.exit(status or 0)

    return click.Command(name, callback=callback, params=list(options(settings_type)), help=help_text)


def build(settings_type: type[S], values: dict[str, Any]) -> S:
    """Return the settings with these values; `InvalidInputError` names a field that does not fit."""
    given = {field: value for field, value in values.items() if value is not None}
    try:
        return msgspec.convert(given, settings_type, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as exc:
        message, _, path = str(exc).partition(" - at ")
        flag = "--" + path.strip("`$.").replace("_", "-") if path else "settings"
        raise InvalidInputError(f"{flag}: {message[0].lower()}{message[1:]}") from exc


def options(settings_type: type[msgspec.Struct]) -> list[click.Option]:
    """Return one click option a field, in the order of the struct; booleans become `--x/--no-x`."""
    hints = get_type_hints(settings_type, include_extras=True)
    return [_option(field, hints[field.name]) for field in msgspec.structs.fields(settings_type)]


def _option(field: msgspec.structs.FieldInfo, hint: Any) -> click.Option:
    description = ""
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        description = next((m.description for m in extras if isinstance(m, msgspec.Meta) and m.description), "")
    bare = next((a for a in get_args(hint) if a is not types.NoneType), str) if _is_union(hint) else hint
    flag = "--" + field.name.replace("_", "-")
    shown = field.default if field.default not in (msgspec.NODEFAULT, None, "", ()) else None
    if bare is bool:
        flag = f"{flag}/--no-{flag[2:]}"
    repeated = get_origin(bare) is tuple
    if repeated and shown:
        shown = " ".join(map(str, shown))
    return click.Option(
        [flag],
        type=_click_type(get_args(bare)[0] if repeated else bare),
        multiple=repeated,
        default=None,
        envvar=ENV_PREFIX + field.name.upper(),
        show_envvar=True,
        help=description + (f" [default: {shown}]" if shown is not None else ""),
        required=field.required,
        callback=(lambda _ctx, _param, value: value or None) if repeated else None,
    )


def _click_type(kind: Any) -> Any:
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if kind is Path:
        return click.Path(path_type=Path)
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    return kind if kind in (int, float, bool, str) else str


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _decode(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(kind)
