"""httpx's errors as labelbus errors: the one translation, so that users of a client meet labelbus errors only."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from bus.errors import InvalidInputError, RequestTimeoutError, UnavailableError, reason


def checked_url(url: str) -> str:
    """Return the address of a gateway unchanged; `InvalidInputError` if it cannot be one."""
    try:
        parsed = httpx.URL(url)
        host = parsed.host
    except (httpx.InvalidURL, ValueError) as exc:
        raise _not_an_address(url, reason(exc)) from exc
    if parsed.scheme not in ("http", "https"):
        raise _not_an_address(url, "it begins neither with http:// nor with https://")
    if not host or (parsed.port is not None and not 0 < parsed.port < 1 << 16):
        raise _not_an_address(url, "it has no host, or no such port exists")
    return url


@contextmanager
def httpx_translated(url: str) -> Iterator[None]:
    """Raise the labelbus error for any of httpx's from the block, which sends one request to the gateway at `url`."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
        raise UnavailableError(
            f"no gateway can be reached at {url} ({reason(exc)}): is it up (`labelbus up`), and is the address right?"
        ) from exc
    except httpx.PoolTimeout as exc:
        raise UnavailableError(
            f"all connections to {url} stayed in use: send fewer requests at once, or give the client more connections"
        ) from exc
    except httpx.TimeoutException as exc:
        raise RequestTimeoutError(
            f"no answer from {url} in time: the request may still be carried out; give the client a longer timeout_s"
        ) from exc
    except httpx.HTTPError as exc:
        raise UnavailableError(
            f"the connection to {url} failed ({reason(exc)}): the request may have been carried out; try again"
        ) from exc
    except (httpx.InvalidURL, UnicodeError) as exc:  # found out only when the host's name is encoded
        raise _not_an_address(url, reason(exc)) from exc


def _not_an_address(url: str, why: str) -> InvalidInputError:
    return InvalidInputError(f"{url!r} is not the address of a gateway ({why}): give one like http://127.0.0.1:8080")
