"""Codecs, there and back in memory, with the encoder's delay taken out by the container."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

import av
import numpy as np

from bench.effects import Samples
from bench.effects.warp import fit, resample
from soundalike.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Codec:
    """encoder: FFmpeg's name; bit_rate: bit/s, 0 for lossless ones; rate_hz: of the coded stream."""

    container: str
    encoder: str
    bit_rate: int
    rate_hz: int


MP3_32K: Final = Codec("mp3", "libmp3lame", 32_000, 22_050)
MP3_64K: Final = Codec("mp3", "libmp3lame", 64_000, 44_100)
MP3_192K: Final = Codec("mp3", "libmp3lame", 192_000, 44_100)
OPUS_24K: Final = Codec("ogg", "libopus", 24_000, 48_000)
OPUS_96K: Final = Codec("ogg", "libopus", 96_000, 48_000)
AAC_48K: Final = Codec("mp4", "aac", 48_000, 44_100)
AAC_128K: Final = Codec("mp4", "aac", 128_000, 48_000)
FLAC: Final = Codec("flac", "flac", 0, 48_000)
VORBIS_LOW: Final = Codec("ogg", "vorbis", 48_000, 32_000)
"""FFmpeg's own Vorbis encoder, the one in every PyAV wheel: coarser than libvorbis at the same rate."""


def encode(samples: Samples, *, rate_hz: int, codec: Codec, tags: dict[str, str] | None = None) -> bytes:
    """The recording as a complete file of `codec`; SettingsError when FFmpeg lacks the encoder."""
    prepared = np.clip(resample(samples, rate_hz=rate_hz, to_hz=codec.rate_hz), -1.0, 1.0)
    if prepared.shape[0] == 1:
        prepared = np.repeat(prepared, 2, axis=0)
    file = io.BytesIO()
    try:
        with av.open(file, "w", format=codec.container) as container:
            container.metadata.update(tags or {})
            stream = container.add_stream(codec.encoder, rate=codec.rate_hz)
            assert isinstance(stream, av.AudioStream)
            stream.layout = "stereo"
            if codec.bit_rate:
                stream.bit_rate = codec.bit_rate
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"strict": "-2"}  # FFmpeg calls its Vorbis encoder experimental
            step = codec.rate_hz
            for start in range(0, prepared.shape[1], step):
                block = np.ascontiguousarray(prepared[:, start : start + step], dtype=np.float32)
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
                frame.sample_rate = codec.rate_hz
                frame.pts = start
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    except (av.error.FFmpegError, ValueError) as error:
        raise SettingsError(
            f"this FFmpeg can't encode {codec.encoder} into {codec.container}: {error}; "
            "install PyAV from its wheel"
        ) from error
    return file.getvalue()


def decode(data: bytes, *, rate_hz: int) -> Samples:
    """Stereo samples of a file in memory at `rate_hz`."""
    pieces: list[Samples] = []
    with av.open(io.BytesIO(data), "r") as container:
        resampler = av.AudioResampler(format="fltp", layout="stereo")
        coded_hz = container.streams.audio[0].rate
        for frame in container.decode(audio=0):
            pieces.extend(
                np.asarray(part.to_ndarray(), dtype=np.float32) for part in resampler.resample(frame)
            )
    samples = np.concatenate(pieces, axis=1)
    return resample(samples, rate_hz=coded_hz, to_hz=rate_hz)


def through(samples: Samples, *, rate_hz: int, codec: Codec) -> Samples:
    """Encode and decode; length and alignment stay."""
    coded = decode(encode(samples, rate_hz=rate_hz, codec=codec), rate_hz=rate_hz)
    return fit(coded, samples.shape[1])[: samples.shape[0]]
