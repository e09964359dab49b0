"""From a licensed verdict to its one attribution: works, seconds, terms, and who shares in it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from index.splits import UsedWork, apportion, format_share, pro_rata
from index.tracks import Right
from pipeline.evidence import Match
from pipeline.payloads import Attribution, CreditedTerm, CreditedWork, Span, Split
from pipeline.policy import Case


def attribution(case: Case, rights_of: Callable[[str], tuple[Right, ...]]) -> Attribution:
    """What the licensed upload owes to whom: by matched seconds, then by share; sums to exactly 1.

    The fields outside of `works` name the work with the most seconds, its longest span, and the term of the
    rightsholder with the largest share of it: for readers who want one line.
    """
    shares = {track_id: _shares(rights_of(track_id)) for track_id in case.licensed_tracks}
    spans = {
        track_id: [match for match in case.matches if match.track_id == track_id]
        for track_id in case.licensed_tracks
    }
    seconds = {track_id: _matched_s(of_track) for track_id, of_track in spans.items()}
    parts = apportion({track_id: Fraction(matched_s) for track_id, matched_s in seconds.items()})
    total = pro_rata(
        [UsedWork(track_id, seconds[track_id], shares[track_id]) for track_id in case.licensed_tracks]
    )
    works = tuple(
        CreditedWork(
            track_id=track_id,
            title=spans[track_id][0].title,
            matched_s=seconds[track_id],
            share=format_share(parts[track_id]),
            spans=tuple(
                Span(
                    query_start_s=match.query_start_s,
                    query_end_s=match.query_end_s,
                    reference_start_s=match.reference_start_s,
                    reference_end_s=match.reference_end_s,
                )
                for match in spans[track_id]
            ),
            terms=_terms(case, track_id),
            splits=_splits(shares[track_id]),
        )
        for track_id in sorted(case.licensed_tracks, key=lambda one: (-seconds[one], one))
    )
    first = works[0]
    longest = max(spans[first.track_id], key=lambda match: match.query_end_s - match.query_start_s)
    term = max(
        first.terms,
        key=lambda one: (shares[first.track_id].get(one.rightsholder, Decimal(0)), one.rightsholder),
    )
    upload = case.upload
    return Attribution(
        upload_id=upload.upload_id,
        track_id=first.track_id,
        title=first.title,
        use=case.use,
        query_start_s=longest.query_start_s,
        query_end_s=longest.query_end_s,
        reference_start_s=longest.reference_start_s,
        reference_end_s=longest.reference_end_s,
        term_id=term.term_id,
        term_version=term.term_version,
        splits=_splits(total),
        works=works,
        uploader=upload.uploader,
        distributor=upload.distributor,
        ai_tool=upload.ai_tool,
        licences=upload.licences,
        territory=upload.territory,
    )


def _matched_s(matches: list[Match]) -> float:
    return round(sum(match.query_end_s - match.query_start_s for match in matches), 3)


def _shares(rights: tuple[Right, ...]) -> dict[str, Decimal]:
    """By rightsholder: one may hold several shares, as label and as publisher."""
    shares: dict[str, Decimal] = {}
    for right in rights:
        shares[right.rightsholder] = shares.get(right.rightsholder, Decimal(0)) + right.share
    return shares


def _splits(shares: dict[str, Decimal]) -> tuple[Split, ...]:
    return tuple(Split(rightsholder=holder, share=format_share(share)) for holder, share in shares.items())


def _terms(case: Case, track_id: str) -> tuple[CreditedTerm, ...]:
    return tuple(
        CreditedTerm(rightsholder=found.rightsholder, term_id=found.term_id, term_version=found.version)
        for found in case.consent
        if found.track_id == track_id and found.term_id is not None and found.version is not None
    )
