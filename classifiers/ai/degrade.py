"""What happens to recordings between the studio and an upload, drawn alike for both classes.

The public human music is mostly stereo Vorbis at 44.1 kHz, the generated mostly MP3: a detector that is
trained on files as they lie there learns codecs. So every training example, human or not, goes through
chains drawn from one and the same distribution: band limits, speed, pitch, equaliser, limiting, noise,
one or two lossy codecs at any usual bit rate, sample rate and channel count, and level.

    >>> chain = draw_chain(np.random.default_rng(1))
    >>> heard = apply_chain(audio, chain)
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

import av
import numpy as np
import soundfile
import soxr
from av.filter import Graph
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from classifiers.audio import Audio
from soundalike.errors import ModelError

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Codec:
    """container and encoder by FFmpeg's names; bit_rate in bit/s for all channels together."""

    name: str
    container: str
    encoder: str
    bit_rate: int


CODECS: Final[dict[str, Codec]] = {
    codec.name: codec
    for codec in (
        *(Codec(f"mp3-{k}k", "mp3", "libmp3lame", 1000 * k) for k in (64, 96, 128, 160, 192, 256, 320)),
        *(Codec(f"opus-{k}k", "ogg", "libopus", 1000 * k) for k in (48, 64, 96, 128)),
        *(Codec(f"aac-{k}k", "mp4", "aac", 1000 * k) for k in (64, 96, 128, 192)),
        *(Codec(f"vorbis-{k}k", "ogg", "vorbis", 1000 * k) for k in (64, 96, 128, 192)),
    )
}
"""The usual ones. Vorbis by libsndfile: the encoder in PyAV's wheels is FFmpeg's own, which nobody publishes
with, while all public human music went through libvorbis."""

VORBIS_QUALITY: Final = {64_000: 0.0, 96_000: 0.2, 128_000: 0.4, 192_000: 0.6}
"""libvorbis' own scale, for stereo at 44.1 kHz; libsndfile takes one minus this."""

PUBLISHED_IN: Final = {
    "vorbis": ("vorbis-96k", "vorbis-128k", "vorbis-192k"),
    "other": (
        *("mp3-128k", "mp3-160k", "mp3-192k", "mp3-256k", "mp3-320k"),
        *("aac-128k", "aac-192k", "opus-96k", "opus-128k"),
    ),
}
"""What recordings are published in."""
HURRIED: Final = {"libmp3lame": {"compression_level": "7"}}
"""LAME's quicker search: the same bands and bits, half the time. In training MP3 is most of the work."""

OPUS_RATE_HZ: Final = 48_000
BAND_LIMITS_HZ: Final = (7_500.0, 20_000.0)
SPEEDS: Final = (0.88, 1.12)
SEMITONES: Final = (-2.2, 2.2)


@dataclass(frozen=True, slots=True)
class Chain:
    """One way from studio to upload; what is None does not happen. Order: as the fields."""

    speed: float | None = None
    semitones: float | None = None
    tilt_db: float | None = None
    drive_db: float | None = None
    band_limit_hz: float | None = None
    noise_db: float | None = None
    mono: bool = False
    first_codec: str | None = None
    rate_hz: int = 44_100
    last_codec: str | None = None
    level_db: float = 0.0
    seed: int = 0


def draw_chain(random: Generator) -> Chain:
    """Half of the chains are no more than a codec and a level: that is what most uploads are."""
    families = ("mp3", "opus", "aac", "vorbis")

    def codec() -> str:
        family = random.choice(families)
        return str(random.choice([name for name in CODECS if name.startswith(family)]))

    def maybe(share: float, low: float, high: float) -> float | None:
        value = float(random.uniform(low, high))
        return value if random.random() < share else None

    plain = Chain(
        mono=bool(random.random() < 0.2),
        first_codec=codec() if random.random() < 0.5 else None,
        rate_hz=int(random.choice((44_100, 48_000, 32_000), p=(0.55, 0.35, 0.1))),
        last_codec=codec() if random.random() < 0.8 else None,
        level_db=float(random.uniform(-14.0, 0.0)),
        seed=int(random.integers(2**31)),
    )
    if random.random() < 0.5:
        return plain
    return replace(
        plain,
        speed=maybe(0.35, *SPEEDS),
        semitones=maybe(0.15, *SEMITONES),
        tilt_db=maybe(0.4, -9.0, 9.0),
        drive_db=maybe(0.3, 2.0, 12.0),
        band_limit_hz=maybe(0.55, *BAND_LIMITS_HZ),
        noise_db=maybe(0.3, 18.0, 50.0),
    )


def draw_history(*, vorbis: bool, random: Generator) -> tuple[str, ...]:
    """Codecs before the chain, so that both classes have been published in the same ones.

    vorbis: the file's own codec is Vorbis, as that of all public human music here is; generated music is MP3
    mostly. Without this a detector learns that what Vorbis left behind is human, and accuses through MP3.
    """
    plans: tuple[tuple[str, ...], ...] = (
        ((), ("other",))
        if vorbis
        else ((), ("vorbis",), ("vorbis",), ("vorbis", "other"), ("vorbis", "other"))
    )
    plan = plans[int(random.integers(len(plans)))]
    return tuple(str(random.choice(PUBLISHED_IN[kind])) for kind in plan)


def republish(audio: Audio, *codecs: str, hurried: bool = False) -> Audio:
    """`audio` after each of the codecs in turn."""
    samples, rate_hz = audio.samples[:2], audio.sample_rate_hz
    for name in codecs:
        samples, rate_hz = through_codec(
            unclipped(samples), rate_hz=rate_hz, codec=CODECS[name], hurried=hurried
        )
    return Audio(samples, rate_hz)


def apply_chain(audio: Audio, chain: Chain, *, hurried: bool = False) -> Audio:
    """`audio` as it would be received after `chain`; length changes with speed, and by codec padding."""
    random = np.random.default_rng(chain.seed)
    samples = audio.samples[:2]
    rate_hz = audio.sample_rate_hz
    if chain.speed is not None:
        samples = resample(samples, rate_hz=rate_hz * chain.speed, to_hz=rate_hz)
    if chain.semitones is not None:
        samples = transpose(samples, rate_hz=rate_hz, semitones=chain.semitones)
    if chain.tilt_db is not None:
        samples = tilt(samples, rate_hz=rate_hz, decibels=chain.tilt_db)
    if chain.drive_db is not None:
        samples = limit(samples, drive_db=chain.drive_db)
    if chain.band_limit_hz is not None:
        samples = low_pass(samples, rate_hz=rate_hz, cutoff_hz=chain.band_limit_hz)
    if chain.noise_db is not None:
        samples = add_noise(samples, snr_db=chain.noise_db, random=random)
    if chain.mono:
        samples = samples.mean(axis=0, keepdims=True)
    samples = unclipped(samples)
    if chain.first_codec is not None:
        samples, rate_hz = through_codec(
            samples, rate_hz=rate_hz, codec=CODECS[chain.first_codec], hurried=hurried
        )
    samples, rate_hz = resample(samples, rate_hz=rate_hz, to_hz=chain.rate_hz), chain.rate_hz
    if chain.last_codec is not None:
        samples, rate_hz = through_codec(
            unclipped(samples), rate_hz=rate_hz, codec=CODECS[chain.last_codec], hurried=hurried
        )
    gain = np.float32(10 ** (chain.level_db / 20))
    return Audio(np.ascontiguousarray(unclipped(samples) * gain), rate_hz)


def resample(samples: Samples, *, rate_hz: float, to_hz: float) -> Samples:
    if rate_hz == to_hz:
        return samples
    out: Samples = soxr.resample(np.ascontiguousarray(samples.T), rate_hz, to_hz, quality="HQ")
    return np.ascontiguousarray(out.T)


def transpose(samples: Samples, *, rate_hz: int, semitones: float) -> Samples:
    """Pitch by resampling, tempo back by FFmpeg's overlap-add (`atempo`)."""
    ratio = 2.0 ** (semitones / 12)
    faster = resample(samples, rate_hz=rate_hz * ratio, to_hz=rate_hz)
    graph = Graph()
    layout = "mono" if faster.shape[0] == 1 else "stereo"
    source = graph.add_abuffer(
        sample_rate=rate_hz, format="fltp", layout=layout, time_base=Fraction(1, rate_hz)
    )
    tempo = graph.add("atempo", f"{1 / ratio:.6f}")
    planar = graph.add("aformat", "sample_fmts=fltp")  # atempo hands out interleaved samples
    sink = graph.add("abuffersink")
    source.link_to(tempo)
    tempo.link_to(planar)
    planar.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(faster), format="fltp", layout=layout)
    frame.sample_rate = rate_hz
    frame.pts = 0
    graph.push(frame)
    graph.push(None)
    pieces: list[Samples] = []
    while True:
        try:
            pieces.append(np.asarray(graph.pull().to_ndarray(), dtype=np.float32))
        except (av.error.BlockingIOError, av.error.EOFError):
            break
    return np.concatenate(pieces, axis=1)


def tilt(samples: Samples, *, rate_hz: int, decibels: float) -> Samples:
    """A straight slope over log frequency: `decibels` between 100 Hz and 10 kHz."""
    frequencies_hz = np.fft.rfftfreq(samples.shape[1], 1 / rate_hz)
    octaves = np.log10(np.clip(frequencies_hz, 30.0, None) / 1000.0)
    gain = 10.0 ** (0.5 * decibels * octaves / 20)
    return np.asarray(np.fft.irfft(np.fft.rfft(samples) * gain, n=samples.shape[1]), dtype=np.float32)


def limit(samples: Samples, *, drive_db: float) -> Samples:
    """Soft clipping of the peaks, as loud masters have it."""
    peak = float(np.abs(samples).max()) or 1.0
    drive = 10 ** (drive_db / 20)
    return np.asarray(np.tanh(samples / peak * drive) / np.tanh(drive), dtype=np.float32)


def low_pass(samples: Samples, *, rate_hz: int, cutoff_hz: float) -> Samples:
    if cutoff_hz >= 0.49 * rate_hz:
        return samples
    sections = butter(10, cutoff_hz, "lowpass", fs=rate_hz, output="sos")
    return np.asarray(sosfilt(sections, samples, axis=1), dtype=np.float32)


def add_noise(samples: Samples, *, snr_db: float, random: Generator) -> Samples:
    """White for even draws, pink for odd: the same energy ratio to the recording."""
    noise = random.standard_normal(samples.shape).astype(np.float32)
    if random.integers(2):
        spectrum = np.fft.rfft(noise)
        noise = np.fft.irfft(
            spectrum / np.sqrt(np.arange(spectrum.shape[1]) + 1.0), n=samples.shape[1]
        ).astype(np.float32)
    wanted = float(np.sqrt(np.mean(np.square(samples)))) * 10 ** (-snr_db / 20)
    return samples + noise * np.float32(wanted / max(float(np.sqrt(np.mean(np.square(noise)))), 1e-12))


def unclipped(samples: Samples) -> Samples:
    peak = float(np.abs(samples).max()) if samples.size else 0.0
    return samples / np.float32(peak) if peak > 1.0 else samples


def through_codec(
    samples: Samples, *, rate_hz: int, codec: Codec, hurried: bool = False
) -> tuple[Samples, int]:
    """Encode and decode in memory. Opus runs at 48 kHz, and so does what comes back."""
    if codec.encoder == "libopus":
        samples, rate_hz = resample(samples, rate_hz=rate_hz, to_hz=OPUS_RATE_HZ), OPUS_RATE_HZ
    elif rate_hz not in (16_000, 22_050, 24_000, 32_000, 44_100, 48_000):
        samples, rate_hz = resample(samples, rate_hz=rate_hz, to_hz=44_100), 44_100
    if codec.encoder == "vorbis":
        return _through_vorbis(samples, rate_hz=rate_hz, codec=codec), rate_hz
    layout = "mono" if samples.shape[0] == 1 else "stereo"
    bit_rate = codec.bit_rate // (2 if layout == "mono" else 1)
    file = io.BytesIO()
    try:
        with av.open(file, "w", format=codec.container) as container:
            stream = container.add_stream(codec.encoder, rate=rate_hz)
            assert isinstance(stream, av.AudioStream)
            stream.layout = layout
            stream.bit_rate = bit_rate
            if hurried:
                stream.options = dict(HURRIED.get(codec.encoder, {}))
            for start in range(0, samples.shape[1], rate_hz):
                block = np.ascontiguousarray(samples[:, start : start + rate_hz], dtype=np.float32)
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
                frame.sample_rate = rate_hz
                frame.pts = start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.error.FFmpegError, ValueError) as error:
        raise ModelError(
            f"this FFmpeg can't encode {codec.name} at {rate_hz} Hz: {error}; install PyAV from its wheel"
        ) from error
    return _decode(file.getvalue(), layout=layout), rate_hz


def _through_vorbis(samples: Samples, *, rate_hz: int, codec: Codec) -> Samples:
    file = io.BytesIO()
    quality = VORBIS_QUALITY[codec.bit_rate]
    with soundfile.SoundFile(
        file,
        "w",
        samplerate=rate_hz,
        channels=samples.shape[0],
        format="OGG",
        subtype="VORBIS",
        compression_level=1.0 - quality,
    ) as writer:
        # In blocks: libsndfile 1.2 keeps a block on the stack while it encodes Vorbis, and overflows it.
        for start in range(0, samples.shape[1], rate_hz):
            writer.write(samples[:, start : start + rate_hz].T)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32", always_2d=True)
    return np.ascontiguousarray(decoded.T)


def _decode(data: bytes, *, layout: str) -> Samples:
    with av.open(io.BytesIO(data), "r") as container:
        resampler = av.AudioResampler(format="fltp", layout=layout)
        pieces = [
            np.asarray(part.to_ndarray(), dtype=np.float32)
            for frame in container.decode(audio=0)
            for part in resampler.resample(frame)
        ]
    return np.concatenate(pieces, axis=1)
