"""A watch on the event loop: a handler that blocks it delays all tasks of the worker, and its answers to pings."""

import asyncio
import sys
import threading
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Final

from loguru import logger

INTERVAL_S: Final = 0.5
"""Between two turns of the loop that are looked for."""

BLOCKED_S: Final = 1.0
"""Lateness that is logged; dispatchers take a worker for hung that is silent for 4 s."""

FRAMES: Final = 3
"""Innermost frames of the stack that are logged."""


class LoopWatch:
    """Logs `event loop blocked` after each block, with its length and the code that the loop's thread was in.

    A thread looks at the stack meanwhile. It writes no log itself, since logging belongs to the event loop.
    """

    def __init__(self) -> None:
        self._turned_at = time.monotonic()
        self._blocked_in = ""
        self._ended = threading.Event()

    async def run(self) -> None:
        """Watch until cancelled."""
        thread = threading.Thread(target=self._look, args=(threading.get_ident(),), name="loop watch", daemon=True)
        thread.start()
        try:
            while True:
                self._blocked_in = ""
                self._turned_at = time.monotonic()
                await asyncio.sleep(INTERVAL_S)
                late_s = time.monotonic() - self._turned_at - INTERVAL_S
                if late_s >= BLOCKED_S:
                    logger.bind(blocked_s=round(late_s, 1), code=self._blocked_in).warning("event loop blocked")
        finally:
            self._ended.set()

    def _look(self, loop_thread: int) -> None:
        while not self._ended.wait(INTERVAL_S):
            if not self._blocked_in and time.monotonic() - self._turned_at >= INTERVAL_S + BLOCKED_S:
                frame = sys._current_frames().get(loop_thread)  # noqa: SLF001  # the documented way to a thread's stack
                if frame is not None:
                    self._blocked_in = _innermost(frame)


def _innermost(frame: FrameType) -> str:
    """Return the innermost frames of a stack as `file:line function`, outermost first."""
    frames = traceback.extract_stack(frame)[-FRAMES:]
    return " > ".join(f"{Path(entry.filename).name}:{entry.lineno} {entry.name}" for entry in frames)
