"""The recogniser as a whole, with the shipped network, on music made by the tests themselves."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.effects import speech, warp
from classifiers.audio import Audio
from classifiers.fingerprint import Fingerprinter, ReferencePrint, load_fingerprinter
from index.calibration import (
    AS_FITTED_S,
    AS_FITTED_TRACKS,
    LOWEST_RATE,
    false_positive_rate,
    score_at,
    search_space,
)
from index.matcher import Matcher, Proposals, SegmentMatch
from pipeline.policy import Policy

RATE_HZ = 16_000
Samples = NDArray[np.float32]


def song(seed: int, seconds: float = 24.0) -> Samples:
    """Three voices of random notes with overtones, an envelope each: float32 [samples]."""
    random = np.random.default_rng(seed)
    total = int(seconds * RATE_HZ)
    mix = np.zeros(total)
    for register in (2, 3, 4):
        at = 0
        while at < total:
            length = int(random.choice([0.2, 0.3, 0.45, 0.6]) * RATE_HZ)
            t = np.arange(min(length, total - at)) / RATE_HZ
            pitch = 55.0 * 2 ** (register - 1 + random.integers(0, 12) / 12)
            tone = sum(np.sin(2 * np.pi * pitch * k * t) / k for k in range(1, 7))
            mix[at : at + len(t)] += tone * np.exp(-3.0 * t)
            at += length
    return (0.2 * mix / np.abs(mix).max() * 4).clip(-1, 1).astype(np.float32)


@pytest.fixture(scope="module")
def fingerprinter() -> Fingerprinter:
    return load_fingerprinter()


@pytest.fixture(scope="module")
def prints(fingerprinter: Fingerprinter) -> dict[str, ReferencePrint]:
    return {f"song-{n}": fingerprinter.reference(Audio(song(n)[None], RATE_HZ)) for n in range(6)}


@pytest.fixture(scope="module")
def match(
    fingerprinter: Fingerprinter, prints: dict[str, ReferencePrint]
) -> Callable[[Samples], list[SegmentMatch]]:
    matcher = Matcher(prints)
    return lambda samples: matcher.match(fingerprinter.query(Audio(samples[None], RATE_HZ)))


def confident(matches: list[SegmentMatch]) -> list[SegmentMatch]:
    return [found for found in matches if found.false_positive_rate <= Policy().max_false_positive_rate]


def test_a_short_query_is_found_by_its_track_alone(
    fingerprinter: Fingerprinter, prints: dict[str, ReferencePrint]
) -> None:
    matcher = Matcher(prints)
    asked = fingerprinter.query(Audio(song(2)[None, 9 * RATE_HZ : 15 * RATE_HZ], RATE_HZ))
    proposed = matcher.propose(asked)
    assert proposed.tracks[0] == list(prints).index("song-2")
    assert matcher.match(asked, Proposals(lines=[], tracks=[])) == []
    (found,) = confident(matcher.match(asked, Proposals(lines=[], tracks=proposed.tracks)))
    assert found.track_id == "song-2"
    assert found.reference_start_s - found.query_start_s == pytest.approx(9.0, abs=0.1)


def test_the_sweep_finds_what_hardly_correlates(
    fingerprinter: Fingerprinter, prints: dict[str, ReferencePrint]
) -> None:
    music = song(3)[9 * RATE_HZ : 23 * RATE_HZ]
    noise = np.random.default_rng(0).standard_normal(len(music)) * np.sqrt(np.mean(music**2))
    buried = 0.02 * (music + 10 ** (23 / 20) * noise).astype(np.float32)  # a correlation of 0.061
    asked = fingerprinter.query(Audio(buried[None], RATE_HZ))
    matcher = Matcher(prints)
    (found,) = matcher.match(asked, Proposals(lines=[], tracks=[list(prints).index("song-3")]))
    assert found.reference_start_s - found.query_start_s == pytest.approx(9.0, abs=0.1)


def test_a_long_query_sweeps_nothing(fingerprinter: Fingerprinter, prints: dict[str, ReferencePrint]) -> None:
    asked = fingerprinter.query(Audio(song(2)[None], RATE_HZ))
    proposed = Matcher(prints).propose(asked)
    assert proposed.lines
    assert proposed.tracks == []


def test_an_excerpt_is_found_where_it_is(match) -> None:
    best = match(song(2)[5 * RATE_HZ : 17 * RATE_HZ])[0]
    assert best.track_id == "song-2"
    assert best.reference_start_s - best.query_start_s == pytest.approx(5.0, abs=0.1)
    assert best.shift_semitones == pytest.approx(0.0, abs=0.25)
    assert best.tempo_ratio == pytest.approx(1.0, abs=0.01)
    assert best.coverage > 0.9
    assert best.false_positive_rate <= 0.01


@pytest.mark.parametrize(
    ("change", "semitones", "tempo"),
    [
        pytest.param(lambda x: warp.transpose(x, rate_hz=RATE_HZ, semitones=2.0), 2.0, 1.0, id="pitch+2"),
        pytest.param(lambda x: warp.transpose(x, rate_hz=RATE_HZ, semitones=-2.0), -2.0, 1.0, id="pitch-2"),
        pytest.param(lambda x: warp.stretch(x, rate_hz=RATE_HZ, tempo_ratio=1.2), 0.0, 1.2, id="tempo"),
    ],
)
def test_transposition_and_tempo_are_measured(match, change, semitones: float, tempo: float) -> None:
    excerpt = song(4)[4 * RATE_HZ : 19 * RATE_HZ]
    best = match(change(excerpt[None])[0])[0]
    assert best.track_id == "song-4"
    assert best.shift_semitones == pytest.approx(semitones, abs=0.25)
    assert best.tempo_ratio == pytest.approx(tempo, rel=0.01)
    middle_s = (best.query_start_s + best.query_end_s) / 2
    there_s = (best.reference_start_s + best.reference_end_s) / 2
    assert there_s == pytest.approx(4.0 + middle_s * tempo, abs=0.15)


@pytest.mark.parametrize("seconds", [2.0, 5.0])
@pytest.mark.parametrize("start_s", [3.13, 8.46, 14.77])
def test_a_short_copy_keeps_its_tempo_and_its_place(match, start_s: float, seconds: float) -> None:
    best = match(song(3)[int(start_s * RATE_HZ) : int((start_s + seconds) * RATE_HZ)])[0]
    assert best.track_id == "song-3"
    assert best.tempo_ratio == pytest.approx(1.0, abs=0.01)
    assert best.reference_start_s - best.query_start_s == pytest.approx(start_s, abs=0.05)


def test_a_medley_gives_disjoint_segments(match) -> None:
    parts = [(1, 2.0), (3, 10.0), (5, 6.0)]
    medley = np.concatenate([song(n)[int(s * RATE_HZ) : int((s + 12) * RATE_HZ)] for n, s in parts])
    found = sorted(confident(match(medley)), key=lambda part: part.query_start_s)
    assert [part.track_id for part in found] == ["song-1", "song-3", "song-5"]
    for part, (_, start_s), at_s in zip(found, parts, (0.0, 12.0, 24.0), strict=True):
        assert part.query_start_s == pytest.approx(at_s, abs=1.0)
        assert part.query_end_s == pytest.approx(at_s + 12.0, abs=1.0)
        assert part.reference_start_s - part.query_start_s == pytest.approx(start_s - at_s, abs=0.1)
    for one, other in pairwise(found):
        assert one.query_end_s <= other.query_start_s + 1e-6


def test_music_that_is_not_in_the_catalog_is_not_found(match) -> None:
    assert not confident(match(song(77)))


def noise(seconds: float = 12.0) -> Samples:
    return np.random.default_rng(0).normal(0, 0.2, int(seconds * RATE_HZ)).astype(np.float32)


def clicks(seconds: float = 12.0) -> Samples:
    train = np.zeros(int(seconds * RATE_HZ), np.float32)
    train[:: RATE_HZ // 2] = 0.9
    return train


def tone(seconds: float = 12.0) -> Samples:
    return (0.5 * np.sin(2 * np.pi * 440.0 * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)).astype(np.float32)


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(np.zeros(12 * RATE_HZ, np.float32), id="silence"),
        pytest.param(np.zeros(0, np.float32), id="nothing"),
        pytest.param(np.zeros(100, np.float32), id="shorter than a window"),
        pytest.param(song(77)[: RATE_HZ // 2], id="half a second of music"),
        pytest.param(noise(), id="white noise"),
        pytest.param(tone(), id="pure tone"),
        pytest.param(clicks(), id="clicks"),
        pytest.param(np.full(12 * RATE_HZ, 0.7, np.float32), id="direct current"),
        pytest.param(np.tile(song(77, 2.0), 6), id="a loop of two seconds"),
        pytest.param(np.sign(noise()) * 1.0, id="clipped noise"),
    ],
)
def test_what_is_no_music_never_matches(match, samples: Samples) -> None:
    assert not confident(match(samples.astype(np.float32)))


def test_damage_that_is_no_disguise_does_not_hide_a_recording(fingerprinter, prints) -> None:
    excerpt = song(1)[3 * RATE_HZ : 15 * RATE_HZ]
    matcher = Matcher(prints)
    for name, samples in {
        "direct current": excerpt[None] * 0.5 + 0.3,
        "clipped": np.clip(excerpt[None] * 8, -1, 1),
        "one channel dead": np.stack([excerpt, np.zeros_like(excerpt)]),
        "polarity inverted": np.stack([excerpt, -excerpt]),
    }.items():
        found = matcher.match(fingerprinter.query(Audio(samples.astype(np.float32), RATE_HZ)))
        assert found, name
        assert found[0].track_id == "song-1", name


def test_an_empty_catalog_finds_nothing(fingerprinter) -> None:
    matcher = Matcher({})
    assert matcher.tracks == 0
    assert matcher.match(fingerprinter.query(Audio(song(0)[None], RATE_HZ))) == []


def test_prints_survive_their_arrays(prints: dict[str, ReferencePrint]) -> None:
    kept = prints["song-0"]
    again = ReferencePrint.from_arrays(kept.to_arrays())
    assert again.duration_s == kept.duration_s
    assert all(
        np.array_equal(a, b)
        for a, b in zip(again.to_arrays().values(), kept.to_arrays().values(), strict=True)
    )


def test_one_recording_under_two_ids_is_reported_twice(fingerprinter, prints) -> None:
    matcher = Matcher({**prints, "copy-of-2": prints["song-2"]})
    found = matcher.match(fingerprinter.query(Audio(song(2)[None, 4 * RATE_HZ : 16 * RATE_HZ], RATE_HZ)))
    assert {part.track_id for part in confident(found)} == {"song-2", "copy-of-2"}


def test_a_rate_falls_with_the_score_and_inverts() -> None:
    rates = [false_positive_rate(score) for score in np.arange(0.0, 40.0, 0.5)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 1.0
    assert rates[-1] == LOWEST_RATE
    assert false_positive_rate(score_at(0.01)) == pytest.approx(0.01)


def test_chance_has_more_places_in_long_uploads_and_large_catalogs() -> None:
    score = score_at(0.0003)
    assert search_space(1.0, 1) == search_space(AS_FITTED_S, AS_FITTED_TRACKS) == 0.0
    for longer, larger in ((1.0, 1.0), (6.0, 1.0), (1.0, 60.0), (4.0, 20.0)):
        chance = search_space(longer * AS_FITTED_S, round(larger * AS_FITTED_TRACKS))
        assert false_positive_rate(score - chance) == pytest.approx(longer * larger * 0.0003)


@pytest.mark.parametrize("before_s", [0.0, 100.0])
def test_and_a_match_counts_for_less_there(
    fingerprinter, prints, before_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Short uploads and long ones: what is found and what it measures stays, the score falls."""
    before = song(71, 100.0)[: round(before_s * RATE_HZ)]
    samples = np.concatenate([before, song(1)[4 * RATE_HZ : 16 * RATE_HZ]])
    upload = fingerprinter.query(Audio(samples[None], RATE_HZ))
    monkeypatch.setattr("index.matcher.search_space", lambda *_: 0.0)
    (raw, *_) = Matcher(prints).match(upload)
    asked: list[tuple[float, int]] = []
    monkeypatch.setattr("index.matcher.search_space", lambda *space: asked.append(space) or 3.0)
    (found, *_) = Matcher(prints).match(upload)
    assert asked == [(upload.duration_s, len(prints))]
    assert raw.score - found.score == pytest.approx(3.0, abs=0.011)
    assert found.false_positive_rate >= raw.false_positive_rate
    assert (found.track_id, found.query_start_s) == (raw.track_id, raw.query_start_s)


def drums(seconds: float = 24.0) -> Samples:
    """One bar of kick, snare and hat at 120 beats a minute, over and over."""
    random = np.random.default_rng(5)
    t = np.arange(RATE_HZ // 4) / RATE_HZ
    kick = np.sin(2 * np.pi * 55.0 * t * np.exp(-4 * t)) * np.exp(-12 * t)
    snare = random.normal(0, 0.5, len(t)) * np.exp(-18 * t)
    hat = np.diff(random.normal(0, 0.4, len(t) + 1)) * np.exp(-60 * t)
    bar = np.concatenate([part + hat for part in (kick, 0 * t, snare, 0 * t, kick, kick, snare, 0 * t)])
    return (0.5 * np.tile(bar, int(np.ceil(seconds * RATE_HZ / len(bar))))[: int(seconds * RATE_HZ)]).astype(
        np.float32
    )


def test_the_same_drum_loop_in_two_songs_is_no_match(fingerprinter) -> None:
    """Both songs may use it; what makes them songs differs."""
    licensed = song(30) + drums()
    upload = song(31)[: 14 * RATE_HZ] + drums()[: 14 * RATE_HZ]
    matcher = Matcher({"licensed": fingerprinter.reference(Audio(licensed[None], RATE_HZ))})
    assert not confident(matcher.match(fingerprinter.query(Audio(upload[None], RATE_HZ))))
    own = licensed[4 * RATE_HZ : 18 * RATE_HZ]
    assert confident(matcher.match(fingerprinter.query(Audio(own[None], RATE_HZ))))


def test_speech_is_no_match(match) -> None:
    talk = speech.babble(12 * RATE_HZ, rate_hz=RATE_HZ, random=np.random.default_rng(3))
    assert not confident(match((0.3 * talk / np.abs(talk).max()).astype(np.float32)))
