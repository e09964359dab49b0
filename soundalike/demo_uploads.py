"""The demo's story: twelve licensed recordings, what their rightsholders agreed to, and sixteen uploads.

The recordings lie in `demo_audio/` (ATTRIBUTION.md names their makers, who have nothing to do with the
accounts, terms and uploads here: those are invented). Uploads are rendered from them on the spot,
the same bytes every time with the same FFmpeg; nothing but NumPy, SciPy and PyAV is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

import numpy as np
from numpy.random import Generator

from bench.effects import Samples, mixes, rooms, speech, tone, warp
from bench.effects.codecs import AAC_128K, FLAC, MP3_32K, MP3_192K, Codec, decode, encode
from index.terms import Decision, Term, Use
from index.tracks import Right, Role
from pipeline.events import AiDisclosure, Claim
from pipeline.evidence import Verdict

DEMO_AUDIO: Final = Path(__file__).parent / "demo_audio"
RATE_HZ: Final = 48_000
"""Of the recordings as they lie there (Opus), so that untouched samples stay untouched."""
SEED: Final = 20_260_401
AGREED: Final = datetime(2026, 1, 1, tzinfo=UTC)

MACHINE_LICENSEE: Final = "nova-remix-lab"
"""The account that holds the one licence for machine-made derivatives."""
OWN_LABEL_ACCOUNT: Final = "heuchi1-official"


@dataclass(frozen=True, slots=True)
class DemoTrack:
    """One licensed recording. file: inside the audio folder."""

    track_id: str
    title: str
    artist: str
    rights: tuple[Right, ...]

    @property
    def file(self) -> str:
        return f"{self.track_id}.opus"


@dataclass(frozen=True, slots=True)
class DemoCatalog:
    """accounts: (uploader account, the rightsholder that it speaks for)."""

    tracks: tuple[DemoTrack, ...]
    terms: tuple[Term, ...]
    accounts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class DemoUpload:
    """One rendered upload and what the pipeline ought to say of it.

    file: as rendered. expected_track: track id that must be matched; None where nothing may be.
    expected_shift_semitones, expected_tempo_ratio: what was done, for the table beside what was found.
    """

    upload_id: str
    file: Path
    uploader: str
    claim: Claim
    expected_verdict: Verdict
    expected_track: str | None
    note: str
    ai_disclosure: AiDisclosure = field(default_factory=AiDisclosure)
    licences: tuple[str, ...] = ()
    expected_shift_semitones: float | None = None
    expected_tempo_ratio: float | None = None


def _sole(rightsholder: str) -> tuple[Right, ...]:
    return (Right(rightsholder, Decimal(1), Role.LABEL),)


TRACKS: Final = (
    DemoTrack("secret-garden", "Secret Garden", "DJ Helium", _sole("Gasworks Records")),
    DemoTrack("hacienda", "Hacienda", "Claude Werner", _sole("Bollen Music")),
    DemoTrack("egypt", "Egypt", "0zone0ne", _sole("Zone One Sounds")),
    DemoTrack("sky-vibe", "Sky Vibe – High Frequency", "Speedsound", _sole("Friendship Records")),
    DemoTrack("lava", "Lava", "Kalsan", _sole("Bollen Music")),
    DemoTrack("kart-grand-prix", "Kart Grand Prix", "Weirwood", _sole("Gasworks Records")),
    DemoTrack("alien-signal", "Alien Signal", "Heuchi1", _sole("Heuchi1 Eigenverlag")),
    DemoTrack(
        "scottish-bagpipes",
        "Scottish bagpipes",
        "0zone0ne and Krobonil",
        (
            Right("Zone One Sounds", Decimal("0.5"), Role.LABEL),
            Right("Krobonil Music", Decimal("0.5"), Role.LABEL),
        ),
    ),
    DemoTrack("west", "West", "Chris Leutwyler", _sole("Krobonil Music")),
    DemoTrack(
        "randomness-decides",
        "Randomness Decides",
        "paniq",
        (
            Right("Neurons Recordings", Decimal("0.6"), Role.LABEL),
            Right("paniq", Decimal("0.4"), Role.ARTIST),
        ),
    ),
    DemoTrack("rocker-ronni", "Rocker Ronni", "Tangram Games", _sole("Tangram Sound")),
    DemoTrack("ardentryst", "Ardentryst theme", "Jordan Trudgett", _sole("Friendship Records")),
)


def demo_catalog() -> DemoCatalog:
    """The licensed catalog. Both holders of *Randomness Decides* let one lab make machine derivatives;
    one label said no aloud; the others said nothing, which is a no as well."""
    allowed = tuple(
        Term(
            term_id=f"T-{number}",
            rightsholder=holder,
            use=Use.AI_DERIVATIVE,
            decision=Decision.ALLOW,
            valid_from=AGREED,
            track_id="randomness-decides",
            licensee=MACHINE_LICENSEE,
            reference=f"Remix agreement 2026 between {holder} and Nova Remix Lab (invented)",
        )
        for number, holder in ((1001, "Neurons Recordings"), (1002, "paniq"))
    )
    refused = Term(
        term_id="T-2001",
        rightsholder="Zone One Sounds",
        use=Use.AI_DERIVATIVE,
        decision=Decision.DENY,
        valid_from=AGREED,
        reference="Standing refusal of 2026 (invented)",
    )
    return DemoCatalog(
        tracks=TRACKS,
        terms=(*allowed, refused),
        accounts=((OWN_LABEL_ACCOUNT, "Heuchi1 Eigenverlag"),),
    )


Progress = Callable[[int, int, str], None]
"""Called before each rendering: how many are done, of how many, the name of the next."""


def _silent_progress(_done: int, _total: int, _name: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class _Recipe:
    """How one upload is made: `make` gives the file's bytes."""

    name: str
    suffix: str
    make: Callable[[_Desk], bytes]
    uploader: str
    title: str
    verdict: Verdict
    track: str | None
    note: str
    artist: str | None = None
    ai: AiDisclosure = field(default_factory=AiDisclosure)
    licences: tuple[str, ...] = ()
    shift_semitones: float | None = None
    tempo_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class _Desk:
    """The recordings at hand, decoded once each."""

    audio_dir: Path
    cache: dict[str, Samples] = field(default_factory=dict)

    def bytes_of(self, name: str) -> bytes:
        return (self.audio_dir / f"{name}.opus").read_bytes()

    def play(self, name: str, *, start_s: float = 0.0, duration_s: float | None = None) -> Samples:
        """float32 [2, samples] of a recording."""
        if name not in self.cache:
            self.cache[name] = decode(self.bytes_of(name), rate_hz=RATE_HZ)
        end = None if duration_s is None else round((start_s + duration_s) * RATE_HZ)
        return self.cache[name][:, round(start_s * RATE_HZ) : end]


def _file(samples: Samples, codec: Codec) -> bytes:
    peak = float(np.abs(samples).max(initial=0.0))
    return encode(samples / np.float32(max(1.0, peak)), rate_hz=RATE_HZ, codec=codec)


def _chance(number: int) -> Generator:
    return np.random.default_rng([SEED, number])


def _noisy_room(desk: _Desk) -> bytes:
    random = _chance(1)
    dry = desk.play("rocker-ronni", start_s=5.0, duration_s=30.0)
    wet = rooms.reverberate(dry, rate_hz=RATE_HZ, t60_s=0.6, random=random)
    return _file(rooms.add_pink_noise(wet, rate_hz=RATE_HZ, snr_db=10.0, random=random), MP3_192K)


def _voice_over(desk: _Desk) -> bytes:
    music = desk.play("lava", start_s=3.0, duration_s=30.0)
    # The music 3 dB over the voice: a tutorial or a livestream rather than background music.
    return _file(speech.talk_over(music, rate_hz=RATE_HZ, ratio_db=3.0, random=_chance(2)), AAC_128K)


def _quote(desk: _Desk) -> bytes:
    quoted = desk.play("sky-vibe", start_s=14.0, duration_s=10.0)
    bed = desk.play("scooterfest")
    return _file(mixes.quote(quoted, bed, rate_hz=RATE_HZ, before_s=12.0, after_s=12.0), MP3_192K)


def _derivative(desk: _Desk) -> bytes:
    """A stand-in for what a style-transfer service returns: 10 % faster, a semitone higher, other sound."""
    random = _chance(3)
    source = desk.play("randomness-decides", start_s=4.0, duration_s=28.0)
    semitone = 2.0 ** (1 / 12)
    longer = warp.stretch(source, rate_hz=RATE_HZ, tempo_ratio=1.1 / semitone)
    higher = warp.speed(longer, rate_hz=RATE_HZ, ratio=semitone)
    coloured = tone.equalise(higher, rate_hz=RATE_HZ, extreme_db=6.0, random=random)
    return _file(tone.chorus(coloured, rate_hz=RATE_HZ, random=random), MP3_192K)


def _truncated(desk: _Desk) -> bytes:
    whole = _file(desk.play("ardentryst", duration_s=30.0), FLAC)
    return whole[: len(whole) // 2]


def _text(_desk: _Desk) -> bytes:
    return b"This is a shopping list, not a song.\n\n- 2 lemons\n- rosin\n- a spare set of strings\n" * 40


def _silence(_desk: _Desk) -> bytes:
    return _file(np.zeros((2, 20 * RATE_HZ), dtype=np.float32), FLAC)


def _nightcore(desk: _Desk) -> bytes:
    return _file(
        warp.speed(desk.play("scottish-bagpipes", duration_s=35.0), rate_hz=RATE_HZ, ratio=1.25), MP3_192K
    )


def _transposed(desk: _Desk) -> bytes:
    source = desk.play("egypt", duration_s=28.0)
    return _file(warp.transpose(source, rate_hz=RATE_HZ, semitones=2.0), MP3_192K)


def _faster(desk: _Desk) -> bytes:
    source = desk.play("kart-grand-prix", duration_s=32.0)
    return _file(warp.stretch(source, rate_hz=RATE_HZ, tempo_ratio=1.15), AAC_128K)


MACHINE: Final = AiDisclosure(vocals=False, instruments=True, post_production=True)
NIGHTCORE_SEMITONES: Final = float(12 * np.log2(1.25))

RECIPES: Final = (
    _Recipe(
        "untouched-copy",
        ".opus",
        lambda desk: desk.bytes_of("secret-garden"),
        "listener-4711",
        "my new track",
        Verdict.FLAGGED,
        "secret-garden",
        "the file itself, uploaded by a stranger",
        shift_semitones=0.0,
        tempo_ratio=1.0,
    ),
    _Recipe(
        "mp3-32k",
        ".mp3",
        lambda desk: _file(desk.play("hacienda"), MP3_32K),
        "listener-4711",
        "hacienda (old tape)",
        Verdict.FLAGGED,
        "hacienda",
        "MP3 at 32 kbit/s",
        shift_semitones=0.0,
        tempo_ratio=1.0,
    ),
    _Recipe(
        "pitch-plus-2",
        ".mp3",
        _transposed,
        "uploader-0815",
        "desert nights",
        Verdict.FLAGGED,
        "egypt",
        "two semitones up, same tempo",
        shift_semitones=2.0,
        tempo_ratio=1.0,
    ),
    _Recipe(
        "tempo-1.15",
        ".m4a",
        _faster,
        "uploader-0815",
        "final lap",
        Verdict.FLAGGED,
        "kart-grand-prix",
        "15 % faster, same pitch",
        shift_semitones=0.0,
        tempo_ratio=1.15,
    ),
    _Recipe(
        "nightcore",
        ".mp3",
        _nightcore,
        "nightcore-daily",
        "highland rush (nightcore)",
        Verdict.FLAGGED,
        "scottish-bagpipes",
        "played 1.25 times as fast: higher and faster",
        shift_semitones=NIGHTCORE_SEMITONES,
        tempo_ratio=1.25,
    ),
    _Recipe(
        "noise-and-reverb",
        ".mp3",
        _noisy_room,
        "bootleg-tapes",
        "live in the kitchen",
        Verdict.FLAGGED,
        "rocker-ronni",
        "in a room, with noise 10 dB below",
        shift_semitones=0.0,
        tempo_ratio=1.0,
    ),
    _Recipe(
        "voice-over",
        ".m4a",
        _voice_over,
        "talk-show",
        "episode 12",
        Verdict.FLAGGED,
        "lava",
        "somebody talks over it",
        shift_semitones=0.0,
        tempo_ratio=1.0,
    ),
    _Recipe(
        "dj-quote",
        ".mp3",
        _quote,
        "dj-nobody",
        "club mix vol. 3",
        Verdict.FLAGGED,
        "sky-vibe",
        "10 s from second 12 on, inside other music",
        shift_semitones=0.0,
        tempo_ratio=1.0,
    ),
    _Recipe(
        "unrelated-1",
        ".opus",
        lambda desk: desk.bytes_of("xeon"),
        "new-artist-1",
        "Xeon",
        Verdict.CLEAR,
        None,
        "not in the catalog",
    ),
    _Recipe(
        "unrelated-2",
        ".opus",
        lambda desk: desk.bytes_of("boom-boom-boom"),
        "new-artist-2",
        "Boom boom boom",
        Verdict.CLEAR,
        None,
        "not in the catalog",
    ),
    _Recipe(
        "ai-licensed",
        ".mp3",
        _derivative,
        MACHINE_LICENSEE,
        "Randomness Decides (machine remix)",
        Verdict.LICENSED,
        "randomness-decides",
        "AI-declared, by the lab that both rightsholders licensed",
        artist="paniq × Nova",
        ai=MACHINE,
        licences=("T-1001", "T-1002"),
        shift_semitones=1.0,
        tempo_ratio=1.1,
    ),
    _Recipe(
        "ai-unlicensed",
        ".mp3",
        _derivative,
        "cheap-ai-covers",
        "Chance decides",
        Verdict.FLAGGED,
        "randomness-decides",
        "the same file from an account without a licence",
        ai=MACHINE,
        shift_semitones=1.0,
        tempo_ratio=1.1,
    ),
    _Recipe(
        "own-upload",
        ".opus",
        lambda desk: desk.bytes_of("alien-signal"),
        OWN_LABEL_ACCOUNT,
        "Alien Signal",
        Verdict.CLEAR,
        "alien-signal",
        "the rightsholder's own account",
        artist="Heuchi1",
        shift_semitones=0.0,
        tempo_ratio=1.0,
    ),
    _Recipe(
        "truncated",
        ".flac",
        _truncated,
        "flaky-uplink",
        "untitled",
        Verdict.UNDECODABLE,
        None,
        "half of a FLAC file",
    ),
    _Recipe(
        "text",
        ".mp3",
        _text,
        "listener-4711",
        "definitely a song",
        Verdict.UNDECODABLE,
        None,
        "a text file named .mp3",
    ),
    _Recipe(
        "silence", ".flac", _silence, "new-artist-3", "4'33''", Verdict.CLEAR, None, "twenty silent seconds"
    ),
)


def render_uploads(audio_dir: Path, out_dir: Path, progress: Progress = _silent_progress) -> list[DemoUpload]:
    """Write every upload into `out_dir`, in the order of the story. Files that exist are overwritten."""
    out_dir.mkdir(parents=True, exist_ok=True)
    desk = _Desk(audio_dir)
    made: dict[Callable[[_Desk], bytes], bytes] = {}
    uploads = []
    for number, recipe in enumerate(RECIPES):
        progress(number, len(RECIPES), recipe.name)
        path = out_dir / f"{recipe.name}{recipe.suffix}"
        if recipe.make not in made:  # two accounts upload the same derivative
            made[recipe.make] = recipe.make(desk)
        path.write_bytes(made[recipe.make])
        uploads.append(
            DemoUpload(
                upload_id=f"demo-{number + 1:02d}-{recipe.name}",
                file=path,
                uploader=recipe.uploader,
                claim=Claim(artist=recipe.artist or recipe.uploader, title=recipe.title),
                expected_verdict=recipe.verdict,
                expected_track=recipe.track,
                note=recipe.note,
                ai_disclosure=recipe.ai,
                licences=recipe.licences,
                expected_shift_semitones=recipe.shift_semitones,
                expected_tempo_ratio=recipe.tempo_ratio,
            )
        )
    progress(len(RECIPES), len(RECIPES), "done")
    return uploads
