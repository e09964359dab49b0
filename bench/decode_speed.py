"""How fast uploads are decoded, and what the separate process costs.

    python -m bench.decode_speed [--seconds 180] [--repeats 3]

For each format a synthetic stereo recording is encoded and then decoded twice: by `pipeline.decode.decode`,
in its fenced child process, and by a bare PyAV loop in this process, the fastest thing that could stand in
its place. The best of the repeats is shown, in audio seconds per wall second. On a busy machine, many repeats
of a short recording (--seconds 30 --repeats 20) come closest to the truth.
"""

from __future__ import annotations

import argparse
import struct
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from bench.arguments import above_zero, at_least
from classifiers.audio import Audio
from pipeline.decode import decode
from pipeline.decode_process import close_idle
from pipeline.loudness import integrated_lufs

_RATE_HZ: Final = 44_100
_CHUNK_S: Final = 1.0

FORMATS: Final = {
    # name: encoder, container, sample format, rate, bits per second
    "WAV 16 bit": ("pcm_s16le", "wav", "s16", _RATE_HZ, None),
    "AIFF 24 bit": ("pcm_s24be", "aiff", "s32", _RATE_HZ, None),
    "FLAC": ("flac", "flac", "s16", _RATE_HZ, None),
    "ALAC": ("alac", "ipod", "s16p", _RATE_HZ, None),
    "MP3 192k": ("libmp3lame", "mp3", "fltp", _RATE_HZ, 192_000),
    "AAC 192k": ("aac", "ipod", "fltp", _RATE_HZ, 192_000),
    "Vorbis": ("vorbis", "ogg", "fltp", _RATE_HZ, None),
    "Opus 128k": ("libopus", "ogg", "flt", 48_000, 128_000),
    "WMA 128k": ("wmav2", "asf", "fltp", _RATE_HZ, 128_000),
}


def music(*, start_s: float, duration_s: float, sample_rate_hz: int) -> NDArray[np.float32]:
    """Something between a chord and noise, float32 [2, n]: busy enough for the coders."""
    t = start_s + np.arange(round(duration_s * sample_rate_hz)) / sample_rate_hz
    chord = sum(np.sin(2 * np.pi * hz * t) for hz in (220.0, 277.2, 329.6, 440.0))
    noise = np.random.default_rng(int(start_s)).standard_normal((2, t.size))
    return (0.1 * chord + 0.05 * noise).astype(np.float32)


def encode(path: Path, name: str, duration_s: float) -> None:
    codec, container, sample_format, rate_hz, bit_rate = FORMATS[name]
    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate_hz, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.format = av.AudioFormat(sample_format)
        stream.codec_context.options = {"strict": "experimental"}
        if bit_rate:
            stream.codec_context.bit_rate = bit_rate
        resampler = av.AudioResampler(format=sample_format, layout="stereo", rate=rate_hz)
        samples_done = 0
        while samples_done < duration_s * rate_hz:
            chunk = music(start_s=samples_done / rate_hz, duration_s=_CHUNK_S, sample_rate_hz=rate_hz)
            frame = av.AudioFrame.from_ndarray(chunk, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, samples_done, Fraction(1, rate_hz)
            samples_done += chunk.shape[1]
            for converted in resampler.resample(frame):
                output.mux(stream.encode(converted))
        output.mux(stream.encode(None))


def decode_here(path: Path) -> NDArray[np.float32]:
    """The unfenced alternative: PyAV in this process, samples float32 [2, n]."""
    pieces = []
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            piece = frame.to_ndarray()
            planes = piece if frame.format.is_planar else piece.reshape(-1, 2).T
            scale = 1.0 if planes.dtype.kind == "f" else 0.5 ** (8 * planes.dtype.itemsize - 1)
            pieces.append(np.multiply(planes, scale, dtype=np.float32))
    return np.concatenate(pieces, axis=1)


def best_s(action: Callable[[], object], repeats: int) -> float:
    """Wall seconds of the fastest of `repeats` runs."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return min(times)


def tiny_wav() -> bytes:
    """A tenth of a second at 8 kHz: what is measured with it is the way there and back."""
    body = bytes(1600)
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16_000, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", len(head) + 8 + len(body))
        + head
        + b"data"
        + struct.pack("<I", 1600)
        + body
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=above_zero, default=180.0, help="length of the test recordings")
    parser.add_argument("--repeats", type=at_least(1), default=3, help="the best of so many runs counts")
    arguments = parser.parse_args()

    tiny = tiny_wav()

    def start_and_decode() -> None:
        close_idle()
        decode(tiny)

    print(f"start of a decoding process: {best_s(start_and_decode, 3) * 1e3:.0f} ms, once")
    print(f"way there and back for a tiny file: {best_s(lambda: decode(tiny), 200) * 1e3:.2f} ms")
    print(f"{'format':12} {'decode()':>10} {'bare PyAV':>10}  cost of the fences")
    decoded = None
    with tempfile.TemporaryDirectory() as folder:
        for name in FORMATS:
            path = Path(folder) / "recording"
            encode(path, name, arguments.seconds)
            fenced_s = best_s(lambda path=path: decode(path), arguments.repeats)  # type: ignore[misc]
            bare_s = best_s(lambda path=path: decode_here(path), arguments.repeats)  # type: ignore[misc]
            speeds = [f"{arguments.seconds / taken:8.0f} x" for taken in (fenced_s, bare_s)]
            print(f"{name:12} {speeds[0]} {speeds[1]}  {(fenced_s - bare_s) * 1e3:+.0f} ms")
            decoded = decode(path)
    assert decoded is not None
    audio: Audio = decoded.audio
    taken_s = best_s(lambda: integrated_lufs(audio, layout=decoded.layout), arguments.repeats)
    print(f"loudness of {audio.duration_s:.0f} s stereo: {taken_s * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
