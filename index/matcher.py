"""Which spans of an upload reuse which spans of the catalog.

Search (embeddings, FAISS) proposes, the Hough transform draws lines, the contour verifies them,
grows them along the upload and measures transposition, tempo and both ends. Where that leaves a short
upload without a sure match, the contour looks for itself in the tracks that the search named most, and a
score is held against what wrong ones of these reach. What comes out is a list of segments, best first;
segments of one track never overlap in the upload.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from torch import Tensor, from_numpy

from classifiers.contour import Stretchable, unpack
from classifiers.embedder import WINDOW_S
from classifiers.fingerprint import WHOLE, QueryPrint, ReferencePrint
from index.align import BLOCK_HOP_S, BLOCK_S, Line, Pairs, find_lines
from index.calibration import false_positive_rate, search_space
from index.cohort import SURE_ANYHOW, normalised
from index.likeness import likeness
from index.plainness import plainness
from index.references import References, ReferencesInMemory
from index.segment import Segment, grow
from index.sweep import COST, Place, best_place, promising_tracks
from index.verify import Alignment, measure, sight, standing

NEIGHBOURS = 20
SINGLE_BLOCK_S = 15.0
"""Shorter queries are one block."""
LINES_A_QUERY = 24
"""Hypotheses verified for a single block; of the right ones 99 % are among the first 15."""
LINES_A_BLOCK = 4
LINES_IN_ALL = 48
LEAST_PROMINENCE = 3.2
"""Of the first look. On 90 hard queries of the tune split 98 % of right lines had it, half of the wrong."""
LEAST_CORRELATION = 0.07
"""Of the measured line: 99 % of the right lines, half of the wrong. Both spare looking everywhere else. What
the sweep found has been looked for everywhere: with noise as loud as the music the right place has 0.05 to
0.07, and of 64 such excerpts of the tune split 58 instead of 52 were found without the limit.
"""
ACCEPTED_SCORE = 4.0
ACCEPTED_IN_LONG = 5.0
"""What a block's line needs to be grown into a segment, in queries of one block and in longer ones; the
calibration judges the segment. Growing lines of 4 to 5 cost a long upload 0.2 s.
"""
SURE_SCORE = 10.0
"""About one false match in a thousand: a short query that has such a match is spared the sweep, and where it
stays sure whatever the cohort says also the cohort.
"""
MOST_SEGMENTS = 64
SHORTEST_SEGMENT_S = 1.5


@dataclass(frozen=True, slots=True)
class Proposals:
    """What the search makes of a query.

    lines: worth verifying, most promising first, each with the query seconds it was found in. tracks: worth
    sweeping, most promising first; none for queries longer than one block.
    """

    lines: list[tuple[Line, tuple[float, float]]]
    tracks: list[int]


@dataclass(frozen=True, slots=True)
class SegmentMatch:
    """One span of the query on one span of a reference; see `pipeline.evidence.Match` for the meanings."""

    track_id: str
    query_start_s: float
    query_end_s: float
    reference_start_s: float
    reference_end_s: float
    shift_semitones: float
    tempo_ratio: float
    coverage: float
    score: float
    false_positive_rate: float


class Matcher:
    """One generation of the catalog, ready to be searched from several threads."""

    def __init__(self, references: References | Mapping[str, ReferencePrint]) -> None:
        self._references = ReferencesInMemory(references) if isinstance(references, Mapping) else references
        # Unpacking a reference costs a millisecond and 32 times its memory: keep those in use.
        self._signs = lru_cache(maxsize=64)(self._unpack)

    @property
    def tracks(self) -> int:
        return self._references.tracks

    def _unpack(self, track: int) -> Tensor:
        return from_numpy(unpack(self._references.contour(track)))

    def match(self, query: QueryPrint, proposals: Proposals | None = None) -> list[SegmentMatch]:
        """Segments of the query found in the catalog, best score first; empty when nothing is."""
        stretchable = Stretchable(query.power_db)
        proposed = self.propose(query) if proposals is None else proposals
        accepted: list[tuple[int, Segment]] = []
        for line, span in proposed.lines[:LINES_IN_ALL]:
            self._follow(query, stretchable, line, span, accepted)
        chance = search_space(query.duration_s, self.tracks)
        short = query.duration_s <= SINGLE_BLOCK_S
        if short and all(segment.score - chance < SURE_ANYHOW for _, segment in accepted):
            accepted = self._swept(query, stretchable, proposed.tracks, accepted, chance)
        return self._report(query, _after_chance(accepted, chance))

    def propose(self, query: QueryPrint) -> Proposals:
        """Where in the catalog the query's windows point to."""
        near = self._references.search(query.vectors, NEIGHBOURS)
        count, k = near.track.shape
        if count == 0 or k == 0:
            return Proposals([], [])
        known = near.track.ravel() >= 0
        half = WINDOW_S / 2.0
        pairs = Pairs(
            query_s=np.repeat(query.starts_s + half, k)[known],
            reference_s=near.start_s.ravel()[known] + np.float32(half),
            track=near.track.ravel()[known],
            transposition=np.repeat(query.transpositions, k)[known],
            similarity=near.similarity.ravel()[known],
        )
        if query.duration_s <= SINGLE_BLOCK_S:
            span = (0.0, query.duration_s)
            lines = find_lines(pairs, start_s=0.0, end_s=span[1] + 1.0, most=LINES_A_QUERY)
            as_it_is = (query.transpositions == 0.0) & (query.parts == WHOLE)
            tracks = promising_tracks(near, as_it_is, duration_s=self._references.duration_s)
            return Proposals([(line, span) for line in lines], tracks)
        blocks = np.arange(0.0, max(query.duration_s - BLOCK_S / 2.0, 1.0), BLOCK_HOP_S)
        found = []
        for start in blocks.tolist():
            span = (start, min(start + BLOCK_S, query.duration_s))
            found += [
                (line, span)
                for line in find_lines(pairs, start_s=start, end_s=start + BLOCK_S, most=LINES_A_BLOCK)
            ]
        supports = [_support(line, [other for other, _ in found]) for line, _ in found]
        order = sorted(range(len(found)), key=lambda number: -supports[number])
        return Proposals([found[number] for number in order], [])

    def _swept(
        self,
        query: QueryPrint,
        stretchable: Stretchable,
        tracks: list[int],
        accepted: list[tuple[int, Segment]],
        chance: float,
    ) -> list[tuple[int, Segment]]:
        """What was accepted, held against all places of these tracks, and what is found there if none of it
        is sure.

        chance: what will be taken off the scores.
        """
        places = [best_place(stretchable, track, self._signs(track)) for track in tracks]
        judged = _on_one_scale(accepted, places)
        if any(segment.score - chance >= SURE_SCORE for _, segment in judged):
            return judged
        found = list(accepted)
        for place in places:
            line, span = _copy_at(place), (0.0, query.duration_s)
            self._follow(query, stretchable, line, span, found, cost=COST, least_correlation=0.0)
        return _on_one_scale(found, places)

    def _follow(
        self,
        query: QueryPrint,
        stretchable: Stretchable,
        line: Line,
        span: tuple[float, float],
        accepted: list[tuple[int, Segment]],
        *,
        cost: float = 0.0,
        least_correlation: float = LEAST_CORRELATION,
    ) -> None:
        """Adds the segment that a line grows into to those `accepted`, if it stands and is news.

        cost: off its score, for how the line was come by.
        """
        if len(accepted) == MOST_SEGMENTS:
            return
        if any(track == line.track and segment.explains(line) for track, segment in accepted):
            return
        found = self._verify(stretchable, line, span, least_correlation)
        if found is None:
            return
        segment = self._alike(query, line.track, grow(stretchable, self._signs(line.track), found, span))
        if segment.end_s - segment.start_s >= min(SHORTEST_SEGMENT_S, 0.5 * query.duration_s):
            accepted.append((line.track, replace(segment, score=segment.score - cost)))

    def _verify(
        self, query: Stretchable, line: Line, span: tuple[float, float], least_correlation: float
    ) -> Alignment | None:
        start_s, end_s = span
        signs = self._signs(line.track)
        hypothesis = Alignment(
            query_s=line.query_s,
            reference_s=line.reference_s,
            tempo_ratio=line.tempo_ratio,
            shift_semitones=-line.transposition,
            correlation=0.0,
        )
        seen = sight(query, signs, start_s=start_s, end_s=end_s, near=hypothesis)
        if seen.prominence < LEAST_PROMINENCE:
            return None
        found = measure(query, signs, start_s=start_s, end_s=end_s, near=seen)
        if found.correlation < least_correlation:
            return None
        stands = standing(query, signs, start_s=start_s, end_s=end_s, found=found)
        plain = plainness(
            shift_semitones=found.shift_semitones, tempo_ratio=found.tempo_ratio, length_s=end_s - start_s
        )
        least = ACCEPTED_SCORE if query.duration_s <= SINGLE_BLOCK_S else ACCEPTED_IN_LONG
        if stands.surprise + plain < least:
            return None
        if stands.best_correlation > found.correlation and abs(stands.best_s - found.reference_s) > 0.5:
            elsewhere = replace(found, reference_s=stands.best_s)
            better = measure(
                query,
                signs,
                start_s=start_s,
                end_s=end_s,
                near=elsewhere,
            )
            return max(found, better, key=lambda alignment: alignment.correlation)
        return found

    def _alike(self, query: QueryPrint, track: int, segment: Segment) -> Segment:
        alike = likeness(
            query,
            self._references,
            track,
            start_s=segment.start_s,
            end_s=segment.end_s,
            origin_s=segment.origin_s,
            tempo_ratio=segment.tempo_ratio,
            shift_semitones=segment.shift_semitones,
        )
        return replace(segment, score=segment.score + alike)

    def _report(self, query: QueryPrint, accepted: list[tuple[int, Segment]]) -> list[SegmentMatch]:
        matches: list[SegmentMatch] = []
        for track, segment in sorted(accepted, key=lambda entry: -entry[1].score):
            track_id = self._references.track_id(track)
            start_s, end_s = segment.start_s, segment.end_s
            for other in matches:
                start_s, end_s = _trim(start_s, end_s, other, same_track=other.track_id == track_id)
            if end_s - start_s < min(SHORTEST_SEGMENT_S, 0.5 * query.duration_s):
                continue
            matches.append(
                SegmentMatch(
                    track_id=track_id,
                    query_start_s=round(start_s, 3),
                    query_end_s=round(end_s, 3),
                    reference_start_s=round(max(segment.reference_at(start_s), 0.0), 3),
                    reference_end_s=round(
                        min(segment.reference_at(end_s), self._references.duration_s(track)), 3
                    ),
                    shift_semitones=round(segment.shift_semitones, 3),
                    tempo_ratio=round(segment.tempo_ratio, 4),
                    coverage=round(min((end_s - start_s) / query.duration_s, 1.0), 4),
                    score=round(segment.score, 2),
                    false_positive_rate=false_positive_rate(segment.score),
                )
            )
        return matches


def _on_one_scale(found: list[tuple[int, Segment]], places: list[Place]) -> list[tuple[int, Segment]]:
    """What is found in a short query, with scores that mean what those of long ones do, if they mean any."""
    scored = [(track, segment, normalised(segment.score, places, track=track)) for track, segment in found]
    return [
        (track, replace(segment, score=score)) for track, segment, score in scored if score >= ACCEPTED_SCORE
    ]


def _after_chance(found: list[tuple[int, Segment]], chance: float) -> list[tuple[int, Segment]]:
    """What is left of it when so much is taken off every score."""
    judged = [(track, replace(segment, score=segment.score - chance)) for track, segment in found]
    return [(track, segment) for track, segment in judged if segment.score >= ACCEPTED_SCORE]


def _copy_at(place: Place) -> Line:
    """The line of a copy that begins there."""
    return Line(
        track=place.track,
        query_s=0.0,
        reference_s=place.reference_s,
        tempo_ratio=1.0,
        transposition=0.0,
        votes=0.0,
    )


def _support(line: Line, others: list[Line]) -> float:
    """Votes of all blocks for the straight continuation of a line."""
    total = 0.0
    for other in others:
        if other.track != line.track:
            continue
        apart = other.query_s - line.query_s
        expected = line.reference_s + line.tempo_ratio * apart
        if abs(other.reference_s - expected) < 1.0 + 0.04 * abs(apart):
            total += other.votes
    return total


def _trim(start_s: float, end_s: float, other: SegmentMatch, *, same_track: bool) -> tuple[float, float]:
    """Give way to a better match, unless both sound at once (a mash-up, or one recording under two ids)."""
    overlap = min(end_s, other.query_end_s) - max(start_s, other.query_start_s)
    if overlap <= 0.0 or (not same_track and overlap > 0.5 * (end_s - start_s)):
        return start_s, end_s
    if start_s < other.query_start_s:
        return start_s, other.query_start_s
    return other.query_end_s, max(end_s, other.query_end_s)
