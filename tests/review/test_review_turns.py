"""Writers of one process take turns, and nobody waits for long because others are luckier."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from review.database import Database, sqlite_url
from review.turns import Turns
from soundalike.errors import DeskBusy


def test_turns_are_handed_on_in_order() -> None:
    turns, order, started = Turns(), [], []

    def work(number: int) -> None:
        with turns.turn(limit_s=20):
            order.append(number)

    with turns.turn(limit_s=1):
        for number in range(20):
            thread = threading.Thread(target=work, args=(number,))
            thread.start()
            started.append(thread)
            while len(turns._line) <= number:
                time.sleep(0.001)
    for thread in started:
        thread.join(20)
    assert order == list(range(20))


def test_who_waits_too_long_leaves_the_line_and_the_rest_goes_on() -> None:
    turns = Turns()
    with turns.turn(limit_s=1), pytest.raises(DeskBusy, match="try again"), turns.turn(limit_s=0.05):
        pytest.fail("the lock was given to two")
    with turns.turn(limit_s=0.05):
        pass


def test_a_failure_hands_the_turn_on() -> None:
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.turn(limit_s=1):
        raise ZeroDivisionError
    with turns.turn(limit_s=0.05):
        pass


def test_thirty_writers_lose_no_update_and_all_get_in(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "count.sqlite"))
    with database.write() as connection:
        connection.execute(text("CREATE TABLE counted (n INTEGER)"))
        connection.execute(text("INSERT INTO counted VALUES (0)"))

    def add(_number: int) -> None:
        with database.write() as connection:
            seen = connection.execute(text("SELECT n FROM counted")).scalar_one()
            time.sleep(0.001)
            connection.execute(text("UPDATE counted SET n = :n"), {"n": seen + 1})

    with ThreadPoolExecutor(30) as pool:
        list(pool.map(add, range(300)))
    with database.read() as connection:
        assert connection.execute(text("SELECT n FROM counted")).scalar_one() == 300
    database.close()
