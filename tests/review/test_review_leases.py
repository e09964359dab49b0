"""Claiming: one holder at a time, whatever the timing; a lapsed lease counts as none."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from review.leases import claim, release, renew
from review.roles import Person, Role
from soundalike.errors import CaseTaken, NotPermitted

ANN = Person("ann", "Ann", Role.REVIEWER)
BEN = Person("ben", "Ben", Role.REVIEWER)


def take(bench: Any, case_id: str, person: Person) -> Any:
    with bench.write() as connection:
        return claim(connection, case_id, person, now=bench.clock(), policy=bench.desk.policy)


def test_second_reviewer_is_told_who_holds_the_case(bench: Any) -> None:
    case_id = bench.flag("up-1")
    take(bench, case_id, ANN)
    with pytest.raises(CaseTaken, match=r"ann is working on this case until 09:10:00"):
        take(bench, case_id, BEN)


def test_claiming_again_renews_and_keeps_the_token(bench: Any) -> None:
    case_id = bench.flag("up-1")
    first = take(bench, case_id, ANN)
    bench.clock.forward(100)
    again = take(bench, case_id, ANN)
    assert again.token == first.token
    assert (again.until - first.until).total_seconds() == 100


def test_lapsed_lease_goes_to_whoever_comes_next(bench: Any) -> None:
    case_id = bench.flag("up-1")
    lapsed = take(bench, case_id, ANN)
    bench.clock.forward(bench.desk.policy.lease_s)
    held = take(bench, case_id, BEN)
    with bench.write() as connection, pytest.raises(CaseTaken, match="lapsed"):
        renew(connection, case_id, ANN, lapsed.token, now=bench.clock(), policy=bench.desk.policy)
    with bench.write() as connection:
        release(connection, case_id, ANN, lapsed.token, now=bench.clock())  # of no effect on Ben's
        assert renew(connection, case_id, BEN, held.token, now=bench.clock(), policy=bench.desk.policy)


def test_renewed_lease_outlives_its_first_end(bench: Any) -> None:
    case_id = bench.flag("up-1")
    lease = take(bench, case_id, ANN)
    for _ in range(5):
        bench.clock.forward(bench.desk.policy.lease_s * 0.9)
        with bench.write() as connection:
            renew(connection, case_id, ANN, lease.token, now=bench.clock(), policy=bench.desk.policy)
    with pytest.raises(CaseTaken):
        take(bench, case_id, BEN)


def test_released_case_is_free(bench: Any) -> None:
    case_id = bench.flag("up-1")
    lease = take(bench, case_id, ANN)
    with bench.write() as connection:
        release(connection, case_id, ANN, lease.token, now=bench.clock())
    assert take(bench, case_id, BEN).token != lease.token


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.ADMIN, Role.RIGHTS_OPS, Role.SERVICE])
def test_who_does_not_decide_does_not_claim(bench: Any, role: Role) -> None:
    case_id = bench.flag("up-1")
    with pytest.raises(NotPermitted):
        take(bench, case_id, Person("x", "X", role))


def test_many_at_once_get_one_lease(bench: Any) -> None:
    case_id = bench.flag("up-1")
    people = [Person(f"p{n}", f"P{n}", Role.REVIEWER) for n in range(8)]
    barrier, outcomes = threading.Barrier(len(people)), []

    def race(person: Person) -> None:
        barrier.wait(30)
        try:
            outcomes.append(take(bench, case_id, person).token)
        except CaseTaken:
            outcomes.append(None)

    threads = [threading.Thread(target=race, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == len(people)
    assert len([token for token in outcomes if token]) == 1
