"""A limit on how often something may be tried per key within a window; in memory, for one process.

With several servers behind one address each counts for itself; put the strict limit into the proxy then.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable

MAX_KEYS = 10_000
"""Keys remembered; the one used longest ago is forgotten first, so a flood of names costs bounded memory."""


class RateLimit:
    """At most `attempts` per `window_s` and key, sliding."""

    def __init__(
        self, *, attempts: int, window_s: float, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._attempts = attempts
        self._window_s = window_s
        self._monotonic_s = monotonic_s
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, key: str) -> float:
        """0 if a try is allowed now, and it is counted; else the seconds until one is."""
        now_s = self._monotonic_s()
        with self._lock:
            tries = self._tries.setdefault(key, deque())
            self._tries.move_to_end(key)
            while tries and tries[0] <= now_s - self._window_s:
                tries.popleft()
            if len(tries) >= self._attempts:
                return tries[0] + self._window_s - now_s
            tries.append(now_s)
            if len(self._tries) > MAX_KEYS:
                self._tries.popitem(last=False)
            return 0.0

    def give_back(self, key: str) -> None:
        """The last try was no mistake: it does not count."""
        with self._lock:
            if tries := self._tries.get(key):
                tries.pop()

    def forget(self, key: str) -> None:
        """After a success: what came before does not count against the next mistake."""
        with self._lock:
            self._tries.pop(key, None)
