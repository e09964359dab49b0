"""FFmpeg, fenced: one open file in, blocks of samples out, or the reason why not.

Runs only inside `pipeline.decode_worker`. Two of the four fences against a playlist dressed up as a song
stand here (the worker holds the others): only the demuxers and decoders listed below are tried (no HLS, DASH,
concat, SDP, image sequences, video), and FFmpeg's protocol whitelist is empty, so that no URL or
path inside a file is ever opened.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, TypeAlias, cast

import av
import av.error
from av.audio.codeccontext import AudioCodecContext
from av.audio.layout import AudioLayout
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet

from pipeline.container_promise import Promise, read_promise
from pipeline.sample_sink import DecodeBounds, Refused, SampleSink

CONTAINERS: Final = {
    "wav": "wav",
    "w64": "w64",
    "aiff": "aiff",
    "caf": "caf",
    "flac": "flac",
    "mp3": "mp3",
    "aac": "adts",
    "mov,mp4,m4a,3gp,3g2,mj2": "mp4",
    "ogg": "ogg",
    "asf": "asf",
    "matroska,webm": "matroska",
    "wv": "wavpack",
}
"""FFmpeg's demuxers that are tried, each with the container's name in the evidence."""

DECODERS: Final = frozenset(
    {
        *("aac", "aac_latm", "ac3", "eac3", "alac", "flac", "wavpack", "vorbis", "opus", "libopus"),
        *("mp3", "mp3float", "mp2float", "mp1float"),
        *("wmav1", "wmav2", "wmapro", "wmalossless", "wmavoice"),
        *("pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be"),
        *("pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be"),
        *("pcm_alaw", "pcm_mulaw", "adpcm_ms", "adpcm_ima_wav"),
    }
)

_OPTIONS: Final = {
    "format_whitelist": ",".join(CONTAINERS),
    "codec_whitelist": ",".join(sorted(DECODERS)),
    "protocol_whitelist": "none",  # no protocol has this name; an unset list would mean "all"
    "max_streams": "32",
}

_TOLERATED_DAMAGED_SHARE: Final = 0.1
_TOLERATED_DAMAGED_PACKETS: Final = 3
"""A scratched MP3 loses single frames; beyond three and a tenth of all it is no longer the recording."""

_TRUNCATED_SHARE: Final = 0.05
_TRUNCATED_S: Final = 1.0
"""Missing more than 5 % **and** more than a second is a truncation; less is padding or rounding."""

_PacketOrError: TypeAlias = "Packet[AudioStream] | av.error.FFmpegError"


_DEFAULT_LAYOUTS: Final = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What was decoded. `samples` is per channel; `layout` names each channel (FL, FR, LFE, …)."""

    codec: str
    container: str
    sample_rate_hz: int
    channels: int
    layout: tuple[str, ...]
    samples: int
    declared_duration_s: float | None
    damaged_packets: int


class DescriptorSource:
    """The minimal file that PyAV needs, over a descriptor: nothing is opened, nothing is named."""

    name = ""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, size: int) -> bytes:
        return os.read(self._descriptor, size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Damaged headers send FFmpeg to impossible places: told by a negative number, as it is used to."""
        try:
            return os.lseek(self._descriptor, offset, whence)
        except (OSError, OverflowError):
            return -errno.EINVAL

    def tell(self) -> int:
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)


def decode_descriptor(source_fd: int, pcm_fd: int, bounds: DecodeBounds) -> StreamFacts:
    """Decode the first (or default) audio stream completely, writing its samples to `pcm_fd`.

    Raises Refused with NotAudio, AudioTruncated, AudioTooLarge, DecodeTimedOut. No samples is no error here.
    """
    deadline = time.monotonic() + bounds.max_decode_s
    source = DescriptorSource(source_fd)
    promise = read_promise(cast("BinaryIO", source))
    source.seek(0)
    try:
        container = av.open(source, mode="r", options=dict(_OPTIONS), metadata_errors="replace")
    except av.error.MemoryError:
        raise
    except (av.error.FFmpegError, ValueError) as error:
        if promise.missing_share > 0.0:
            raise Refused(
                "AudioTruncated",
                f"the container promises {promise.end_byte} bytes, the file has {promise.size_bytes},"
                " and what is needed to decode it lies in the missing part",
            ) from error
        raise Refused("NotAudio", "no audio format that is accepted, or a damaged header") from error
    with container:
        stream = _choose_stream(container)
        channels = _settle_layout(stream.codec_context)
        if channels > bounds.max_channels:
            raise Refused("AudioTooLarge", f"{channels} channels; the limit is {bounds.max_channels}")
        declared_s = _stated_duration_s(container, stream) if promise.states_duration else None
        if declared_s is not None and declared_s > bounds.max_duration_s:
            raise Refused(
                "AudioTooLarge", f"lasts {declared_s:.0f} s; the limit is {bounds.max_duration_s:g} s"
            )
        return _decode_stream(
            container,
            stream,
            promise=promise,
            declared_s=declared_s,
            pcm_fd=pcm_fd,
            bounds=bounds,
            deadline=deadline,
        )


def _choose_stream(container: InputContainer) -> AudioStream:
    playable = [
        s for s in container.streams.audio if s.codec_context is not None and s.codec_context.name in DECODERS
    ]
    if not playable:
        found = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise Refused("NotAudio", f"holds no audio stream that can be decoded (found: {found})")
    return next((s for s in playable if s.disposition & av.stream.Disposition.default), playable[0])


def _channel_names(layout: AudioLayout) -> tuple[str, ...]:
    """A name for each channel; a file that does not say gets FFmpeg's default order for its count."""
    names = tuple(channel.name for channel in layout.channels)
    if "NONE" not in names:
        return names
    default = _DEFAULT_LAYOUTS.get(layout.nb_channels)
    return tuple(channel.name for channel in av.AudioLayout(default).channels) if default else names


def _settle_layout(codec: AudioCodecContext) -> int:
    """Replace a channel order of the file's own by the default one; returns the number of channels.

    PyAV (18.1) copies FFmpeg's layout by value and frees the map of such an order twice: each frame of an
    AIFF or CAF with one would corrupt the heap. Read once and overwritten here, it is freed once.
    """
    layout = codec.layout
    if "+" in layout.name:  # as in "8 channels (FL+FR+SL+…)"; orders that FFmpeg knows have a name
        codec.layout = _DEFAULT_LAYOUTS.get(layout.nb_channels, f"{layout.nb_channels}C")
    return layout.nb_channels


def _stated_duration_s(container: InputContainer, stream: AudioStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return max(0.0, float(stream.duration * stream.time_base))
    if container.duration is not None and len(container.streams) == 1:
        return max(0.0, container.duration / av.time_base)
    return None


def _packets(container: InputContainer, stream: AudioStream) -> Iterator[_PacketOrError]:
    """The packets of a stream, and last, if the container could not be read to its end, the error."""
    try:
        yield from container.demux(stream)
    except av.error.MemoryError:
        raise
    except av.error.FFmpegError as error:
        yield error


def _decode_stream(
    container: InputContainer,
    stream: AudioStream,
    *,
    promise: Promise,
    declared_s: float | None,
    pcm_fd: int,
    bounds: DecodeBounds,
    deadline: float,
) -> StreamFacts:
    sink: SampleSink | None = None
    packets = damaged = 0
    stopped = promise.cut
    for packet in _packets(container, stream):
        if time.monotonic() > deadline:
            raise Refused("DecodeTimedOut", f"takes longer than {bounds.max_decode_s:g} s to decode")
        if isinstance(packet, av.error.FFmpegError):
            stopped = True
            break
        packets += 1
        try:
            frames = packet.decode()
        except av.error.MemoryError:
            raise
        except av.error.FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            sink = sink or SampleSink(pcm_fd, first=frame, bounds=bounds)
            sink.add(frame)
    if sink is not None:
        sink.flush()

    decoded_s = sink.samples / sink.sample_rate_hz if sink is not None else 0.0
    if promise.missing_share > 0.0:
        declared_s = max(declared_s or 0.0, decoded_s / (1.0 - promise.missing_share))
    _judge_completeness(
        decoded_s=decoded_s, declared_s=declared_s, packets=packets, damaged=damaged, stopped=stopped
    )
    codec = stream.codec_context
    return StreamFacts(
        codec=codec.codec.canonical_name,
        container=CONTAINERS[container.format.name],
        sample_rate_hz=sink.sample_rate_hz if sink is not None else codec.sample_rate,
        channels=sink.channels if sink is not None else 1,
        layout=_channel_names(sink.layout) if sink is not None else (),
        samples=sink.samples if sink is not None else 0,
        declared_duration_s=declared_s,
        damaged_packets=damaged,
    )


def _judge_completeness(
    *, decoded_s: float, declared_s: float | None, packets: int, damaged: int, stopped: bool
) -> None:
    if decoded_s == 0.0 and damaged:
        raise Refused("NotAudio", f"none of its {packets} packets can be decoded")
    missing_s = (declared_s or 0.0) - decoded_s
    if declared_s is not None and missing_s > max(_TRUNCATED_S, _TRUNCATED_SHARE * declared_s):
        raise Refused(
            "AudioTruncated",
            f"the container promises {declared_s:.2f} s and {decoded_s:.2f} s could be decoded",
        )
    if stopped:
        promised = "more" if declared_s is None else f"{declared_s:.2f} s"
        raise Refused(
            "AudioTruncated",
            f"the container breaks off: it promises {promised} and {decoded_s:.2f} s could be decoded",
        )
    if damaged > max(_TOLERATED_DAMAGED_PACKETS, _TOLERATED_DAMAGED_SHARE * packets):
        raise Refused(
            "AudioTruncated",
            f"{damaged} of {packets} packets are damaged; {decoded_s:.2f} s could be decoded",
        )
