"""Where decoded frames become float32 blocks, counted against the limits before they are kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.layout import AudioLayout
from numpy.typing import NDArray

BLOCK_SAMPLES: Final = 65_536
"""Samples per channel in one block on the way to the parent: 256 KiB a channel."""

_SCALES: Final[dict[str, tuple[float, float]]] = {
    "u8": (128.0, 1.0 / 128),
    "s16": (0.0, 1.0 / 2**15),
    "s32": (0.0, 1.0 / 2**31),
    "s64": (0.0, 1.0 / 2**63),
    "flt": (0.0, 1.0),
    "dbl": (0.0, 1.0),
}
"""FFmpeg's sample formats: zero level, factor to full scale 1.0. 24 bits come left-justified in s32."""


_PLANES_IN_FRAME: Final = 8
"""AV_NUM_DATA_POINTERS of FFmpeg's AVFrame."""


class Refused(Exception):
    """The source can't be judged; `error` is the name of a class in `soundalike.errors`."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


@dataclass(frozen=True, slots=True)
class DecodeBounds:
    """What one decode may use: wall seconds, audio seconds, channels, rates, bytes of float32 samples."""

    max_decode_s: float
    max_duration_s: float
    max_channels: int
    min_sample_rate_hz: int
    max_sample_rate_hz: int
    max_pcm_bytes: int


class SampleSink:
    """Turns frames into float32 blocks of [channels, BLOCK_SAMPLES] on `descriptor`; the last one is shorter.

    The first frame fixes rate and layout (the codec's header may lie: HE-AAC states half its rate);
    frames that differ later, as in chained Ogg, are converted to it.
    """

    def __init__(self, descriptor: int, *, first: AudioFrame, bounds: DecodeBounds) -> None:
        self.sample_rate_hz = first.sample_rate
        self.layout: AudioLayout = first.layout
        self.channels = first.layout.nb_channels
        self.samples = 0
        if self.channels > bounds.max_channels:
            raise Refused(
                "AudioTooLarge", f"has {self.channels} channels; the limit is {bounds.max_channels}"
            )
        if self.sample_rate_hz > bounds.max_sample_rate_hz:
            raise Refused(
                "AudioTooLarge", f"{self.sample_rate_hz} Hz; the limit is {bounds.max_sample_rate_hz} Hz"
            )
        if self.sample_rate_hz < bounds.min_sample_rate_hz or self.channels < 1:
            raise Refused(
                "NotAudio", f"{self.sample_rate_hz} Hz and {self.channels} channels is no recording"
            )
        self._bounds = bounds
        self._descriptor = descriptor
        self._block: NDArray[np.float32] = np.empty((self.channels, BLOCK_SAMPLES), dtype=np.float32)
        self._filled = 0

    def add(self, frame: AudioFrame) -> None:
        same = frame.sample_rate == self.sample_rate_hz and frame.layout.name == self.layout.name
        for part in [frame] if same and not self._unreadable(frame) else self._converted(frame):
            planes = part.to_ndarray()
            if not part.format.is_planar:
                planes = planes.reshape(-1, self.channels).T
            zero, scale = _SCALES[part.format.name.removesuffix("p")]
            self._append(planes, zero=zero, scale=scale)

    @staticmethod
    def _unreadable(frame: AudioFrame) -> bool:
        """PyAV (18.1) counts planes up to a null pointer, and FFmpeg's table of eight has none after it."""
        return frame.format.is_planar and frame.layout.nb_channels >= _PLANES_IN_FRAME

    def _converted(self, frame: AudioFrame) -> list[AudioFrame]:
        frame.pts = None
        resampler = av.AudioResampler(format="flt", layout=self.layout, rate=self.sample_rate_hz)
        return [*resampler.resample(frame), *resampler.resample(None)]

    def _append(self, planes: NDArray[Any], *, zero: float, scale: float) -> None:
        count = planes.shape[1]
        self.samples += count
        if self.samples > self._bounds.max_duration_s * self.sample_rate_hz:
            raise Refused("AudioTooLarge", f"lasts longer than {self._bounds.max_duration_s:g} s, the limit")
        if self.samples * self.channels * 4 > self._bounds.max_pcm_bytes:
            raise Refused(
                "AudioTooLarge", f"more than {self._bounds.max_pcm_bytes} bytes of samples, the limit"
            )
        done = 0
        while done < count:
            step = min(count - done, BLOCK_SAMPLES - self._filled)
            target = self._block[:, self._filled : self._filled + step]
            part = planes[:, done : done + step]
            if zero:
                np.subtract(part, zero, out=target, casting="unsafe")
                target *= scale
            elif scale != 1.0:
                np.multiply(part, scale, out=target, casting="unsafe")
            else:
                with np.errstate(
                    over="ignore", invalid="ignore"
                ):  # doubles beyond float32: the parent sanitises
                    target[:] = part
            done += step
            self._filled += step
            if self._filled == BLOCK_SAMPLES:
                self.flush()

    def flush(self) -> None:
        """Write out what has been collected; nothing may be added after a partly filled block."""
        data = np.ascontiguousarray(self._block[:, : self._filled]).reshape(-1).data.cast("B")
        self._filled = 0
        while data:
            data = data[os.write(self._descriptor, data) :]
