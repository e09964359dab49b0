"""The desk's own rules in one typed object: deadlines, second opinions, golden cases, sessions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from review.reasons import NOTE_REQUIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskPolicy:
    """Defaults suit a small team.

    lease_s: how long a claimed case is held without a sign of life; the page renews at a third of it.
    undo_s: how long a decision can be taken back; it is published when that has passed.
    sla_s: a flag should be decided within this time; the queue gives age weight in proportion to it.
    second_opinion_share: share of the cases that a second reviewer judges without seeing the first opinion.
    second_opinion_harm: from this harm (0..1) on, every case gets one.
    golden_share: share of a reviewer's "next" that are cases with a known answer.
    documents_s: how long an uploader may take to send documents; then the case is open again without them.
    media_keep_s: how long copies of audio are kept after the last case that plays them was closed.
    media_url_s: how long a signed audio address works; longer than a sitting on one case.
    """

    lease_s: float = 600.0
    undo_s: float = 30.0
    sla_s: float = 24 * 3600.0
    second_opinion_share: float = 0.1
    second_opinion_harm: float = 0.75
    golden_share: float = 0.03
    note_required: frozenset[str] = NOTE_REQUIRED
    session_s: float = 10 * 3600.0
    documents_s: float = 14 * 86_400.0
    media_keep_s: float = 365 * 86_400.0
    media_url_s: float = 3600.0
    login_attempts: int = 10
    login_window_s: float = 300.0
    requests_per_minute: int = 1200
    """Of one person or program. Twenty a second is more than hands can do, and less than hurts others."""
    reference_flood: int = 50
    """Open cases on one reference from where the queue warns that the reference itself may be at fault."""

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.lease_s)

    @property
    def undo(self) -> timedelta:
        return timedelta(seconds=self.undo_s)

    @property
    def documents(self) -> timedelta:
        return timedelta(seconds=self.documents_s)

    @property
    def media_keep(self) -> timedelta:
        return timedelta(seconds=self.media_keep_s)

    @property
    def sla(self) -> timedelta:
        return timedelta(seconds=self.sla_s)
