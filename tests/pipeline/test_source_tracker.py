"""The slot's tracker, restriction and coder: what Beam is told, without Beam."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.log import Record
from pipeline.source import END, SlotPlan, SlotRestriction, SlotRestrictionCoder, SlotTracker


def record(partition: int, offset: int, *, span: int = 1) -> Record:
    return Record("uploads", partition, offset, None, b"", span=span)


def test_a_claimed_record_moves_its_partition_past_it() -> None:
    tracker = SlotTracker(SlotRestriction({0: 5}))
    assert tracker.try_claim(record(0, 5))
    assert tracker.try_claim(record(1, 100, span=40)), "a partition that was added while it ran"
    assert tracker.try_claim(record(0, 9)), "offsets may have gaps: transactions and compaction leave some"
    assert tracker.current_restriction().next_offsets == {0: 10, 1: 140}


def test_a_record_can_not_be_claimed_twice() -> None:
    tracker = SlotTracker(SlotRestriction({0: 5}))
    with pytest.raises(ValueError, match="uploads/0@4 was claimed before: the slot stands at 5"):
        tracker.try_claim(record(0, 4))


def test_a_checkpoint_keeps_the_rest_and_stops_this_call() -> None:
    tracker = SlotTracker(SlotRestriction({0: 5}))
    tracker.try_claim(record(0, 5))
    split = tracker.try_split(0)
    assert split == (SlotRestriction({0: 6}, ended=True), SlotRestriction({0: 6}))
    assert not tracker.try_claim(record(0, 6)), "that one belongs to the residual now"
    assert tracker.check_done()
    assert tracker.try_split(0) is None


def test_an_untouched_slot_still_has_a_residual() -> None:
    """Beam takes a falsy residual for "nothing left to do", and would let the slot end."""
    split = SlotTracker(SlotRestriction()).try_split(0)
    assert split is not None
    assert split[1]
    assert not split[1].ended


def test_an_endless_log_is_not_split_in_the_middle() -> None:
    tracker = SlotTracker(SlotRestriction({0: 5}))
    assert tracker.try_split(0.5) is None
    assert tracker.try_claim(record(0, 5))


def test_the_end_is_final() -> None:
    tracker = SlotTracker(SlotRestriction({0: 5}))
    with pytest.raises(ValueError, match="neither deferred nor ended"):
        tracker.check_done()
    assert tracker.try_claim(END)
    assert tracker.check_done()
    assert not tracker.try_claim(END)
    assert tracker.try_split(0) is None


@given(st.dictionaries(st.integers(0, 10_000), st.integers(0, 2**63 - 1)), st.booleans())
def test_a_restriction_survives_its_coder(next_offsets: dict[int, int], ended: bool) -> None:
    coder, restriction = SlotRestrictionCoder(), SlotRestriction(next_offsets, ended)
    assert coder.decode(coder.encode(restriction)) == restriction


def test_a_restriction_is_readable_in_a_checkpoint() -> None:
    encoded = SlotRestrictionCoder().encode(SlotRestriction({1: 7, 0: 3}))
    assert encoded == b'{"next_offsets": {"0": 3, "1": 7}, "ended": false}'


@pytest.mark.parametrize(("total", "indices"), [(0, (0,)), (2, ()), (2, (2,)), (2, (-1,))])
def test_impossible_slots_are_refused(total: int, indices: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="slots"):
        SlotPlan(total, indices)
