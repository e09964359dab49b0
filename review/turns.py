"""Writers take turns: first come, first served, within one process.

SQLite lets one transaction write at a time. Whoever finds it busy sleeps and looks again, with growing
pauses, and whoever comes later may be luckier: with twenty reviewers at once, some waited for more than ten
seconds while others decided several cases. Here they stand in a line before they ask the database.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from soundalike.errors import DeskBusy


class Turns:
    """A lock that is handed on in the order in which it was asked for."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._line: deque[threading.Event] = deque()

    @contextmanager
    def turn(self, *, limit_s: float) -> Iterator[None]:
        """Hold the lock. Raises DeskBusy after `limit_s` seconds in the line."""
        self._wait(limit_s)
        try:
            yield
        finally:
            self._hand_on()

    def _wait(self, limit_s: float) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Event()
            self._line.append(mine)
        if mine.wait(limit_s):
            return
        with self._guard:
            if mine.is_set():  # it came at the last moment
                return
            self._line.remove(mine)
            behind = len(self._line)
        raise DeskBusy(f"{behind + 1} others are writing and {limit_s:g} s were not enough; try again")

    def _hand_on(self) -> None:
        with self._guard:
            if self._line:
                self._line.popleft().set()
            else:
                self._taken = False
