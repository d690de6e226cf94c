"""Ports of loopback that are free for the processes of a stack."""

import socket
import struct
from contextlib import ExitStack
from typing import Final

from bus.errors import UnavailableError

TRIES: Final = 20
REACH_TIMEOUT_S: Final = 0.5
NO_LINGER: Final = struct.pack("ii", 1, 0)
"""Close with a reset, so that the port is not kept for a minute."""


def free_ports(*wanted: tuple[int, str]) -> list[int]:
    """Return the wanted ports if servers on them can be reached, and a free port for each 0.

    Each port comes with its flag, which the `UnavailableError` for a taken one names. All ports are held until all are
    found, so that no two are the same.

    A port that can be bound may still be unreachable: where ports of containers are published by firewall rules, as
    netavark and Docker without its proxy do, nothing is bound, but the connections go to the container.
    """
    with ExitStack() as probes:
        return [_free(probes, port, flag) for port, flag in wanted]


def _free(probes: ExitStack, port: int, flag: str) -> int:
    for _ in range(TRIES if port == 0 else 1):
        probe = probes.enter_context(socket.socket())
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError as exc:
            raise UnavailableError(f"port {port} is taken; choose another with {flag} (0: a free one)") from exc
        if _reached(probe):
            found: int = probe.getsockname()[1]
            return found
    raise UnavailableError(
        f"connections to port {port or probe.getsockname()[1]} are led elsewhere; does a container publish it? "
        f"Choose another with {flag} (0: a free one)"
    )


def _reached(probe: socket.socket) -> bool:
    """Tell whether a connection to the port reaches the socket that listens there."""
    probe.settimeout(REACH_TIMEOUT_S)
    with socket.socket() as client:
        client.settimeout(REACH_TIMEOUT_S)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        try:
            client.connect(probe.getsockname())
            accepted, peer = probe.accept()
        except OSError:  # a timeout is one
            return False
        with accepted:
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            return bool(peer == client.getsockname())
