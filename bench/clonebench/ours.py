"""Soundalike's own recogniser behind CloneBench's seam."""

from __future__ import annotations

from bench.clonebench.systems import Hit
from bench.effects import Samples
from classifiers.audio import Audio
from classifiers.fingerprint import ReferencePrint, load_fingerprinter
from index.matcher import Matcher


class Soundalike:
    name = "soundalike"

    def __init__(self, model: str | None = None) -> None:
        self._fingerprinter = load_fingerprinter(model)
        self._prints: dict[str, ReferencePrint] = {}
        self._matcher: Matcher | None = None
        self.version = f"{self._fingerprinter.name} {self._fingerprinter.sha256[:12]}"

    def add(self, track_id: str, samples: Samples, rate_hz: int) -> None:
        self._prints[track_id] = self._fingerprinter.reference(Audio(samples, rate_hz))
        self._matcher = None

    def query(self, samples: Samples, rate_hz: int) -> list[Hit]:
        if self._matcher is None:
            self._matcher = Matcher(self._prints)
        found = self._matcher.match(self._fingerprinter.query(Audio(samples, rate_hz)))
        return [
            Hit(
                track_id=match.track_id,
                score=match.score,
                query_start_s=match.query_start_s,
                reference_start_s=match.reference_start_s,
                shift_semitones=match.shift_semitones,
                tempo_ratio=match.tempo_ratio,
                false_positive_rate=match.false_positive_rate,
            )
            for match in found
        ]
