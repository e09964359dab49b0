"""Matches on suppressed references, or spans of them: shown in the evidence, accusing nobody."""

from __future__ import annotations

import math
from collections.abc import Sequence

from index.calibration import false_positive_rate
from index.suppression import Piece, Suppression, cut
from pipeline.evidence import Match, SuppressedMatch


def set_aside(
    matches: Sequence[Match], suppressions: Sequence[Suppression]
) -> tuple[tuple[Match, ...], tuple[SuppressedMatch, ...]]:
    """The matches that go on to the policy, best first, and those that were suppressed, wholly or in part.

    A match that is cut is reported in both: its pieces outside of the suppressed span go on, each with the
    score that its part of the evidence bears.
    """
    if not suppressions:
        return tuple(matches), ()
    kept: list[Match] = []
    suppressed = []
    for match in matches:
        pieces, by = cut(
            (match.query_start_s, match.query_end_s),
            (match.reference_start_s, match.reference_end_s),
            [one for one in suppressions if one.track_id == match.track_id],
        )
        if by is None:
            kept.append(match)
            continue
        suppressed.append(
            SuppressedMatch(
                **dict(match),
                suppression_id=by.suppression_id,
                suppression_kind=by.kind.value,
                suppression_reason=by.reason,
            )
        )
        kept += [_part_of(match, piece) for piece in pieces]
    return tuple(sorted(kept, key=lambda match: -match.score)), tuple(suppressed)


def _part_of(match: Match, piece: Piece) -> Match:
    """The score counts standard deviations, and those grow with the root of the seconds compared."""
    score = round(match.score * math.sqrt(piece.part), 2)
    return match.model_copy(
        update={
            "query_start_s": round(piece.query_start_s, 3),
            "query_end_s": round(piece.query_end_s, 3),
            "reference_start_s": round(piece.reference_start_s, 3),
            "reference_end_s": round(piece.reference_end_s, 3),
            "coverage": round(match.coverage * piece.part, 4),
            "score": score,
            "false_positive_rate": max(false_positive_rate(score), match.false_positive_rate),
        }
    )
