"""Whether the job gets on, in one sentence for `/healthz`: for whoever restarts a process that does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pipeline.logs import redact_text

STUCK_AFTER_S = 600.0
"""One upload may hold a stage for 4 fetches of 60 s, their pauses and 60 s of decoding: about five minutes.
An idle source asks for its lag every 5 s, and that is a movement too."""

_MOST_CHARACTERS = 300


class JobHealth:
    """Told of every movement and every failure; asked by the metrics server, from its own thread."""

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._moved_s = clock_s()
        self._failures: list[str] = []

    def moved(self) -> None:
        """An upload left a stage, or the source heard from its log: what failed before is over."""
        with self._lock:
            self._moved_s = self._clock_s()
            self._failures = []

    def failed(self, error: BaseException) -> None:
        """The job stopped, and its supervisor will start it again."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        cause = redact_text(lines[-1] if lines else type(error).__name__)  # Beam puts a traceback before it
        with self._lock:
            self._failures.append(cause[:_MOST_CHARACTERS])

    def complaint(self) -> str | None:
        """None while all is well."""
        with self._lock:
            still_s = self._clock_s() - self._moved_s
            if self._failures:
                times = len(self._failures)
                return f"the job failed {times} time{'s' if times > 1 else ''} in a row: {self._failures[-1]}"
        if still_s > STUCK_AFTER_S:
            return f"nothing has moved for {still_s:.0f} s"
        return None
