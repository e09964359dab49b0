"""What a reviewer can decide, and why: the closed vocabulary of actions and reason codes.

Actions are what people do at the desk; `PUBLISHED_AS` is what the `decisions` topic says about it. Codes are
a contract with whoever counts them: add to them, never rename.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from soundalike.errors import DecisionRefused

Published = Literal["confirm", "dismiss", "escalate", "overturn"]


class Action(StrEnum):
    CONFIRM = "confirm"
    DISMISS = "dismiss"
    ESCALATE = "escalate"
    DOCUMENTS = "documents"
    UPHOLD = "uphold"
    OVERTURN = "overturn"


@dataclass(frozen=True, slots=True)
class Reason:
    code: str
    label: str


_CONFIRM = (
    Reason("clone", "Clone: imitates a recording"),
    Reason("verbatim", "Verbatim copy"),
    Reason("voice", "Voice likeness"),
    Reason("undeclared_ai", "Undeclared AI"),
    Reason("slop", "Slop: mass-produced filler"),
)
_DISMISS = (
    Reason("false_match", "False match"),
    Reason("own_work", "Uploader's own work"),
    Reason("licensed_elsewhere", "Cover or use licensed elsewhere"),
    Reason("public_domain", "Public domain"),
    Reason("not_ai", "Not AI"),
    Reason("other", "Another reason"),
)

REASONS: dict[Action, tuple[Reason, ...]] = {
    Action.CONFIRM: _CONFIRM,
    Action.DISMISS: _DISMISS,
    Action.ESCALATE: (
        Reason("unsure", "Not sure: needs a lead"),
        Reason("legal", "Legal question"),
        Reason("high_profile", "High profile"),
    ),
    Action.DOCUMENTS: (
        Reason("licence", "Licence needed"),
        Reason("ownership", "Proof of ownership needed"),
        Reason("identity", "Proof of identity needed"),
    ),
    Action.UPHOLD: _CONFIRM,
    Action.OVERTURN: _DISMISS,
}

PUBLISHED_AS: dict[Action, Published] = {
    Action.CONFIRM: "confirm",
    Action.DISMISS: "dismiss",
    Action.ESCALATE: "escalate",
    Action.DOCUMENTS: "escalate",  # the reason text names the papers that are asked for
    Action.UPHOLD: "confirm",
    Action.OVERTURN: "overturn",
}

FLAG_ACTIONS = (Action.CONFIRM, Action.DISMISS, Action.ESCALATE, Action.DOCUMENTS)
LEAD_ACTIONS = (Action.CONFIRM, Action.DISMISS, Action.DOCUMENTS)
APPEAL_ACTIONS = (Action.UPHOLD, Action.OVERTURN)

NOTE_REQUIRED: frozenset[str] = frozenset(
    {"dismiss:other", "escalate:legal", "documents:*", "uphold:*", "overturn:*"}
)
"""Default policy: where words have to explain a code. `action:*` means every code of the action."""

MAX_NOTE_CHARACTERS = 3900
"""`Decision.reason` holds 4000, and the code stands before the note."""


def notes_required(rules: Iterable[str]) -> frozenset[str]:
    """Rules of the form `action:code` or `action:*`. Raises DecisionRefused for one that can never apply."""
    known = {f"{action}:*" for action in REASONS}
    known |= {f"{action}:{reason.code}" for action, reasons in REASONS.items() for reason in reasons}
    chosen = frozenset(rules)
    if unknown := sorted(chosen - known):
        raise DecisionRefused(f"no decision is called {unknown[0]}; write one of {', '.join(sorted(known))}")
    return chosen


def check_decision(
    action: Action, reason_code: str, note: str, *, allowed: tuple[Action, ...], note_required: frozenset[str]
) -> str:
    """The note as it is kept. Raises DecisionRefused, in words that the form can show."""
    if action not in allowed:
        raise DecisionRefused(f"this case can't be answered with {action}; possible: {', '.join(allowed)}")
    codes = [reason.code for reason in REASONS[action]]
    if reason_code not in codes:
        raise DecisionRefused(f"{action} needs a reason code: one of {', '.join(codes)}")
    kept = note.replace("\0", "").strip()
    if len(kept) > MAX_NOTE_CHARACTERS:
        raise DecisionRefused(f"the note has {len(kept)} characters; at most {MAX_NOTE_CHARACTERS} are kept")
    if not kept and not note_required.isdisjoint({f"{action}:{reason_code}", f"{action}:*"}):
        raise DecisionRefused(f"{action} for {reason_code} needs a note: say in a sentence why")
    return kept


def label_of(action: str, code: str) -> str:
    """The words for a code; the code itself if this release does not know it."""
    known = {reason.code: reason.label for reason in REASONS.get(Action(action), ())}
    return known.get(code, code)
