"""Decode untrusted audio: a file of any accepted format in, float32 samples at its own rate out.

    decoded = decode(Path("song.m4a"))
    decoded.audio.samples       # float32 [channels, n]

Every way in which a file can be bad ends in one AudioError whose message says why. The work is done by FFmpeg
in a child process (`pipeline.decode_process`), with all limits enforced while decoding, not after.
"""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from classifiers.audio import Audio
from pipeline.decode_process import decode_in_process
from soundalike import errors

LOUDEST: Final = 1e4
"""Samples beyond ±10,000 (80 dB over full scale) are clamped: their squares would leave float32's range."""

_ERRORS: Final[dict[str, type[errors.AudioError]]] = {
    kind.__name__: kind
    for kind in (errors.NotAudio, errors.AudioTruncated, errors.AudioTooLarge, errors.DecodeTimedOut)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeLimits:
    """What one upload may cost.

    max_duration_s: seconds of audio. max_channels: 8 is 7.1. max_decode_s: wall seconds, after which the
    decoder is killed (an hour of MP3 takes 6 s on one core). max_pcm_bytes: of float32 samples; an hour of
    stereo at 48 kHz is 1.38e9. max_memory_bytes: address space of the decoding process, samples not included.
    """

    max_duration_s: float = 3600.0
    max_channels: int = 8
    min_sample_rate_hz: int = 4_000
    max_sample_rate_hz: int = 192_000
    max_decode_s: float = 60.0
    max_pcm_bytes: int = 1_500_000_000
    max_memory_bytes: int = 2_000_000_000


@dataclass(frozen=True, slots=True)
class DecodedAudio:
    """One decoded recording and what its container said.

    codec, container: such as aac in mp4, pcm_s16le in wav. layout: a name for each channel (FL, FR, FC, LFE,
    SL, …), as loudness needs it. declared_duration_s: None when the container states none (or only
    an estimate). damaged_packets: skipped while decoding. sanitised_samples: NaN, infinite or absurd ones
    that were replaced.
    """

    audio: Audio
    codec: str
    container: str
    layout: tuple[str, ...]
    declared_duration_s: float | None
    damaged_packets: int
    sanitised_samples: int


def decode(source: Path | bytes, *, limits: DecodeLimits | None = None) -> DecodedAudio:
    """Decode a file, or the bytes of one.

    Raises
    ------
    AudioNotFound: no such file, or not a regular one.
    NotAudio: no accepted format, no audio stream, or nothing of it can be decoded.
    AudioEmpty: a right container with no samples in it.
    AudioTruncated: clearly less there than promised, both numbers in the message; or damaged throughout.
    AudioTooLarge: beyond a limit of duration, channels, rate, samples or memory.
    DecodeTimedOut: beyond `limits.max_decode_s`.
    DecoderUnavailable: the decoding process can't be started (not the file's fault).
    """
    limits = limits or DecodeLimits()
    name = "this upload" if isinstance(source, bytes) else source.name
    descriptor = _descriptor_of(source)
    try:
        answer, samples = decode_in_process(descriptor, asdict(limits), limit_s=limits.max_decode_s)
    except (errors.NotAudio, errors.DecodeTimedOut) as error:
        raise type(error)(f"{name}: {error}") from error
    finally:
        os.close(descriptor)
    if samples is None:
        raise _ERRORS[answer["error"]](f"{name}: {answer['message']}")
    facts = answer["ok"]
    if samples.shape[1] == 0:
        raise errors.AudioEmpty(
            f"{name}: {facts['container']} with {facts['codec']} in it, but not one sample"
        )
    return DecodedAudio(
        audio=Audio(samples=samples, sample_rate_hz=facts["sample_rate_hz"]),
        codec=facts["codec"],
        container=facts["container"],
        layout=tuple(facts["layout"]),
        declared_duration_s=facts["declared_duration_s"],
        damaged_packets=facts["damaged_packets"],
        sanitised_samples=sanitise(samples),
    )


def sanitise(samples: NDArray[np.float32]) -> int:
    """Replace NaN and infinities by 0 and clamp to ±LOUDEST, in place; returns how many were touched."""
    if samples.size == 0 or (samples.min() >= -LOUDEST and samples.max() <= LOUDEST):
        return 0  # NaN fails the comparison; two passes without a temporary
    lost = ~np.isfinite(samples)
    samples[lost] = 0.0
    touched = int(lost.sum()) + int((np.abs(samples) > LOUDEST).sum())
    np.clip(samples, -LOUDEST, LOUDEST, out=samples)
    return touched


def _descriptor_of(source: Path | bytes) -> int:
    """An open descriptor of a regular file at position 0; the caller closes it."""
    if isinstance(source, bytes):
        with tempfile.TemporaryFile() as file:
            file.write(source)
            file.seek(0)
            return os.dup(file.fileno())
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not block us
    except (FileNotFoundError, NotADirectoryError) as error:
        raise errors.AudioNotFound(f"{source}: no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise errors.AudioNotFound(f"{source}: can't be read ({error})") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise errors.AudioNotFound(f"{source}: not a regular file; name a file")
    if os.fstat(descriptor).st_size == 0:
        os.close(descriptor)
        raise errors.NotAudio(f"{source.name}: the file is empty")
    return descriptor
