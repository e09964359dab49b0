"""The desk's threads: take flags in, fetch audio, send decisions.

Each works under a lease in the database, so that two servers on one database don't do the same twice. A
failure that we know (the log or a store does not answer) is logged, shown by /healthz and tried again; any
other ends the thread, and /healthz says so.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from review.database import Database
from review.tables import workers
from soundalike.errors import SoundalikeError

_log = logging.getLogger(__name__)

LEASE = timedelta(seconds=30)
"""Of a worker: after a crash another server goes on within this time. Renewed before each step."""

IDLE_S = 0.25
MAX_BACKOFF_S = 15.0

Clock = Callable[[], datetime]


@dataclass(eq=False)
class Worker:
    """Calls `step` until it is stopped. `step` returns whether there was anything to do."""

    name: str
    step: Callable[[], bool]
    database: Database
    clock: Clock
    idle_s: float = IDLE_S
    trouble: str = ""
    """What went wrong in the last step; empty when it went well."""
    _holder: str = field(default_factory=lambda: secrets.token_hex(8))
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=f"review-{self.name}", daemon=True)
        self._thread.start()

    def stop(self, *, wait_s: float = 10.0) -> None:
        """Ask the thread to end after its step, and wait for it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(wait_s)

    @property
    def alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                worked = self._on_duty() and self.step()
            except SoundalikeError as error:
                failures += 1
                self.trouble = str(error)
                _log.warning("the desk's %s worker: %s", self.name, error)
                self._stop.wait(min(MAX_BACKOFF_S, 0.5 * 2**failures))
                continue
            failures, self.trouble = 0, ""
            if not worked:
                self._stop.wait(self.idle_s)
        with self.database.write() as connection:
            connection.execute(
                update(workers)
                .where(workers.c.name == self.name, workers.c.holder == self._holder)
                .values(until=self.clock())
            )

    def _on_duty(self) -> bool:
        now = self.clock()
        with self.database.read() as connection:
            row = connection.execute(select(workers).where(workers.c.name == self.name)).first()
        if row is not None and row.holder == self._holder and row.until > now + LEASE / 2:
            return True
        try:
            with self.database.write() as connection:
                return _take_duty(connection, self.name, self._holder, now)
        except IntegrityError:
            return False  # another server inserted the row at this moment


def _take_duty(connection: Connection, name: str, holder: str, now: datetime) -> bool:
    taken = connection.execute(
        update(workers)
        .where(workers.c.name == name, or_(workers.c.holder == holder, workers.c.until <= now))
        .values(holder=holder, until=now + LEASE)
    )
    if taken.rowcount == 1:
        return True
    if connection.execute(select(workers.c.name).where(workers.c.name == name)).first() is not None:
        return False
    connection.execute(insert(workers).values(name=name, holder=holder, until=now + LEASE))
    return True
