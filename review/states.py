"""The life of a case, as one pure function.

    open ──confirm/dismiss──▶ closed            (one opinion suffices)
    open ──confirm/dismiss──▶ second ──agrees──▶ closed
                                     └─differs─▶ lead ──▶ closed
    open, second ──escalate──▶ lead
    any ──documents──▶ documents ──papers arrive──▶ open
    any of these ──newer flag of the same upload──▶ superseded

`second` is shown to reviewers as `open`: who judges second must not know that somebody judged first.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from review.reasons import APPEAL_ACTIONS, FLAG_ACTIONS, LEAD_ACTIONS, Action


class State(StrEnum):
    OPEN = "open"
    SECOND = "second"
    LEAD = "lead"
    DOCUMENTS = "documents"
    CLOSED = "closed"
    SUPERSEDED = "superseded"


class Kind(StrEnum):
    FLAG = "flag"
    APPEAL = "appeal"
    GOLDEN = "golden"


LIVE = (State.OPEN, State.SECOND, State.LEAD, State.DOCUMENTS)
FOR_REVIEWERS = (State.OPEN, State.SECOND)
FOR_LEADS = (State.OPEN, State.SECOND, State.LEAD)


@dataclass(frozen=True, slots=True)
class Step:
    """What an opinion does: the state after it, whether the world is told, and the name of its round."""

    state: State
    published: bool
    round: str


def actions_for(kind: Kind, state: State) -> tuple[Action, ...]:
    """What can be decided now."""
    if state not in FOR_LEADS:
        return ()
    if kind is Kind.APPEAL:
        return APPEAL_ACTIONS
    return LEAD_ACTIONS if state is State.LEAD else FLAG_ACTIONS


def step(
    kind: Kind, state: State, action: Action, *, needs_second: bool, first_action: Action | None
) -> Step:
    """first_action: what the first reviewer decided, when `state` is SECOND."""
    if kind is not Kind.FLAG:
        return Step(State.CLOSED, published=kind is Kind.APPEAL, round=kind)
    name = {State.OPEN: "first", State.SECOND: "second"}.get(state, "lead")
    if action is Action.DOCUMENTS:
        return Step(State.DOCUMENTS, published=True, round=name)
    if action is Action.ESCALATE:
        return Step(State.LEAD, published=True, round=name)
    if state is State.OPEN and needs_second:
        return Step(State.SECOND, published=False, round=name)
    if state is State.SECOND and action is not first_action:
        return Step(State.LEAD, published=False, round=name)
    return Step(State.CLOSED, published=True, round=name)
