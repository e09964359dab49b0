"""Every format is encoded here by PyAV and comes back as the signal that went in."""

import io
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.decode import decode

CHANNELS = {"mono": 1, "stereo": 2, "5.1": 6, "7.1": 8}
NAMES = {
    "mono": ("FC",),
    "stereo": ("FL", "FR"),
    "5.1": ("FL", "FR", "FC", "LFE", "BL", "BR"),
    "7.1": ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}


SAME_PLACE = {"SL": "BL", "SR": "BR"}
"""Some containers call the rear pair of 5.1 side, others back."""


def tones(*, channels: int, sample_rate_hz: int, duration_s: float = 1.0) -> NDArray[np.float32]:
    """A different quiet tone in each channel, 90 Hz apart: float32 [channels, n]."""
    t = np.arange(round(duration_s * sample_rate_hz)) / sample_rate_hz
    frequencies_hz = 110.0 + 90.0 * np.arange(channels)
    return (0.25 * np.sin(2 * np.pi * frequencies_hz[:, None] * t)).astype(np.float32)


def encode(
    samples: NDArray[np.float32],
    *,
    codec: str,
    container: str,
    sample_rate_hz: int,
    layout: str,
    sample_format: str | None = None,
    bit_rate: int | None = None,
    options: dict[str, str] | None = None,
) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options or {}) as output:
        stream = output.add_stream(codec, rate=sample_rate_hz, layout=layout)
        context = stream.codec_context
        context.format = sample_format or context.codec.audio_formats[0].name
        context.options = {"strict": "experimental"}  # FFmpeg's own Vorbis encoder
        if bit_rate:
            context.bit_rate = bit_rate
        resampler = av.AudioResampler(format=context.format, layout=layout, rate=sample_rate_hz)
        packed = np.ascontiguousarray(samples.T).reshape(1, -1)  # PyAV can't fill eight planes
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = sample_rate_hz, 0, Fraction(1, sample_rate_hz)
        for piece in (frame, None):
            for converted in resampler.resample(piece):
                output.mux(stream.encode(converted))
        output.mux(stream.encode(None))
    return file.getvalue()


LOSSLESS = [
    # codec, container, sample format, half a quantisation step
    ("pcm_u8", "wav", "u8", 1 / 128),
    ("pcm_s16le", "wav", "s16", 1 / 2**15),
    ("pcm_s24le", "wav", "s32", 1 / 2**23),
    ("pcm_s32le", "wav", "s32", 1 / 2**23),
    ("pcm_f32le", "wav", "flt", 1e-7),
    ("pcm_f64le", "wav", "dbl", 1e-7),
    ("pcm_s16le", "w64", "s16", 1 / 2**15),
    ("pcm_s8", "aiff", "u8", 1 / 128),
    ("pcm_s16be", "aiff", "s16", 1 / 2**15),
    ("pcm_s24be", "aiff", "s32", 1 / 2**23),
    ("pcm_f32be", "aiff", "flt", 1e-7),
    ("pcm_s24be", "caf", "s32", 1 / 2**23),
    ("flac", "flac", "s16", 1 / 2**15),
    ("flac", "flac", "s32", 1 / 2**23),
    ("flac", "ogg", "s16", 1 / 2**15),
    ("alac", "ipod", "s16p", 1 / 2**15),
    ("alac", "ipod", "s32p", 1 / 2**23),
]


@pytest.mark.parametrize("layout", CHANNELS)
@pytest.mark.parametrize(("codec", "container", "sample_format", "tolerance"), LOSSLESS)
def test_lossless_formats_return_every_sample(
    codec: str, container: str, sample_format: str, tolerance: float, layout: str
) -> None:
    samples = tones(channels=CHANNELS[layout], sample_rate_hz=44_100)
    data = encode(
        samples,
        codec=codec,
        container=container,
        sample_rate_hz=44_100,
        layout="7.1(wide)" if (codec, layout) == ("alac", "7.1") else layout,  # the only one it has for eight
        sample_format=sample_format,
    )
    decoded = decode(data)
    assert decoded.audio.samples.dtype == np.float32
    assert decoded.audio.samples.shape == samples.shape
    assert np.abs(decoded.audio.samples - samples).max() <= tolerance
    assert decoded.codec == codec
    assert decoded.audio.sample_rate_hz == 44_100
    assert decoded.damaged_packets == decoded.sanitised_samples == 0
    if (codec, layout) == ("alac", "7.1"):
        return
    assert [SAME_PLACE.get(name, name) for name in decoded.layout] == [
        SAME_PLACE.get(name, name) for name in NAMES[layout]
    ]


@pytest.mark.parametrize("sample_rate_hz", [8_000, 11_025, 22_050, 48_000, 96_000, 176_400, 192_000])
@pytest.mark.parametrize(
    ("codec", "container", "sample_format"),
    [
        ("pcm_s16le", "wav", "s16"),
        ("flac", "flac", "s32"),
        ("alac", "ipod", "s16p"),
        ("pcm_s16be", "aiff", "s16"),
    ],
)
def test_lossless_formats_at_every_rate(
    codec: str, container: str, sample_format: str, sample_rate_hz: int
) -> None:
    samples = tones(channels=2, sample_rate_hz=sample_rate_hz)
    decoded = decode(
        encode(
            samples,
            codec=codec,
            container=container,
            sample_rate_hz=sample_rate_hz,
            layout="stereo",
            sample_format=sample_format,
        )
    )
    assert decoded.audio.sample_rate_hz == sample_rate_hz
    assert decoded.audio.samples.shape == samples.shape
    assert np.abs(decoded.audio.samples - samples).max() < 1e-4
    assert decoded.declared_duration_s == pytest.approx(1.0, abs=0.01)


LOSSY = [
    # codec, container, layout, rates, name of the codec, name of the container
    ("libmp3lame", "mp3", "mono", (8_000, 16_000, 24_000, 44_100, 48_000), "mp3", "mp3"),
    ("libmp3lame", "mp3", "stereo", (11_025, 22_050, 32_000, 44_100), "mp3", "mp3"),
    ("aac", "adts", "stereo", (44_100,), "aac", "adts"),
    ("aac", "ipod", "mono", (8_000, 44_100), "aac", "mp4"),
    ("aac", "ipod", "stereo", (22_050, 48_000, 96_000), "aac", "mp4"),
    ("aac", "ipod", "5.1", (48_000,), "aac", "mp4"),
    ("aac", "ipod", "7.1", (48_000,), "aac", "mp4"),
    ("vorbis", "ogg", "stereo", (8_000, 44_100, 96_000, 192_000), "vorbis", "ogg"),
    ("libopus", "ogg", "mono", (48_000,), "opus", "ogg"),
    ("libopus", "ogg", "stereo", (48_000,), "opus", "ogg"),
    ("libopus", "ogg", "5.1", (48_000,), "opus", "ogg"),
    ("libopus", "ogg", "7.1", (48_000,), "opus", "ogg"),
    ("libopus", "webm", "stereo", (48_000,), "opus", "matroska"),
    ("wmav2", "asf", "mono", (22_050, 44_100), "wmav2", "asf"),
    ("wmav2", "asf", "stereo", (32_000, 48_000), "wmav2", "asf"),
    ("wmav1", "asf", "stereo", (44_100,), "wmav1", "asf"),
]


@pytest.mark.parametrize(
    ("codec", "container", "layout", "sample_rate_hz", "codec_name", "container_name"),
    [(*case[:3], rate, *case[4:]) for case in LOSSY for rate in case[3]],
)
def test_lossy_formats_keep_length_channels_and_tones(
    codec: str, container: str, layout: str, sample_rate_hz: int, codec_name: str, container_name: str
) -> None:
    channels = CHANNELS[layout]
    samples = tones(channels=channels, sample_rate_hz=sample_rate_hz, duration_s=2.0)
    decoded = decode(
        encode(
            samples,
            codec=codec,
            container=container,
            sample_rate_hz=sample_rate_hz,
            layout=layout,
            bit_rate=32_000 if sample_rate_hz == 22_050 else min(sample_rate_hz, 64_000) * channels,
        )
    )
    assert (decoded.codec, decoded.container) == (codec_name, container_name)
    assert decoded.audio.sample_rate_hz == sample_rate_hz
    assert decoded.audio.channels == channels
    assert decoded.audio.duration_s == pytest.approx(2.0, abs=0.15)  # priming that ADTS and ASF can't tell
    middle = decoded.audio.samples[:, sample_rate_hz // 2 : sample_rate_hz // 2 + sample_rate_hz]
    spectra = np.abs(np.fft.rfft(middle * np.hanning(sample_rate_hz), axis=1))
    loudest_hz = spectra.argmax(axis=1)  # one second: bins of 1 Hz
    expected_hz = 110 + 90 * np.arange(channels)
    order = [NAMES[layout].index(name) for name in decoded.layout]
    for row, source in enumerate(order):
        if decoded.layout[row] != "LFE":  # a codec may low-pass it
            assert abs(loudest_hz[row] - expected_hz[source]) <= 2


def test_a_variable_rate_mp3_without_frame_count_is_whole() -> None:
    """FFmpeg guesses its duration from the first frames' bit rate; the guess must not count as a promise."""
    rate = 44_100
    quiet_then_noise = tones(channels=2, sample_rate_hz=rate, duration_s=8.0) * 1e-3
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 8 * rate)).astype(np.float32)
    for samples in (np.hstack([quiet_then_noise, noise]), np.hstack([noise, quiet_then_noise])):
        data = encode(
            samples,
            codec="libmp3lame",
            container="mp3",
            sample_rate_hz=rate,
            layout="stereo",
            options={"write_xing": "0"},
        )
        assert b"Xing" not in data[:5000]
        decoded = decode(data)
        assert decoded.declared_duration_s is None
        assert decoded.audio.duration_s == pytest.approx(16.0, abs=0.2)


def with_cover_art(samples: NDArray[np.float32], sample_rate_hz: int) -> bytes:
    """An MP3 whose ID3 tag holds a picture that FFmpeg shows as a video stream."""
    mp3 = encode(samples, codec="libmp3lame", container="mp3", sample_rate_hz=sample_rate_hz, layout="stereo")
    picture = io.BytesIO()
    with av.open(picture, "w", format="image2pipe") as output:
        stream = output.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "rgb24"
        output.mux(stream.encode(av.VideoFrame(64, 64, "rgb24")))
        output.mux(stream.encode(None))
    body = b"\0image/png\0\3\0" + picture.getvalue()
    frame = b"APIC" + struct.pack(">IH", len(body), 0) + body
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\3\0\0" + size + frame + mp3


def test_cover_art_is_ignored() -> None:
    samples = tones(channels=2, sample_rate_hz=44_100, duration_s=2.0)
    data = with_cover_art(samples, 44_100)
    with av.open(io.BytesIO(data)) as opened:
        assert len(opened.streams.video) == 1  # the test's own premise
    decoded = decode(data)
    assert decoded.codec == "mp3"
    assert decoded.audio.duration_s == pytest.approx(2.0, abs=0.06)


def two_streams(*, second_is_default: bool) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        streams = [output.add_stream("flac", rate=44_100, layout=layout) for layout in ("mono", "stereo")]
        for number, stream in enumerate(streams):
            stream.codec_context.format = "s16"
            is_default = number == int(second_is_default)
            stream.disposition = av.stream.Disposition.default if is_default else av.stream.Disposition(0)
        for stream, layout in zip(streams, ("mono", "stereo"), strict=True):
            samples = tones(channels=CHANNELS[layout], sample_rate_hz=44_100)
            packed = np.ascontiguousarray((samples.T * 32_767).astype(np.int16)).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = 44_100, 0, Fraction(1, 44_100)
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(("second_is_default", "channels"), [(False, 1), (True, 2)])
def test_the_default_audio_stream_is_taken(second_is_default: bool, channels: int) -> None:
    assert decode(two_streams(second_is_default=second_is_default)).audio.channels == channels


def link(codec: str, container: str, layout: str, rate: int) -> bytes:
    samples = tones(channels=CHANNELS[layout], sample_rate_hz=rate, duration_s=2.0)
    return encode(samples, codec=codec, container=container, sample_rate_hz=rate, layout=layout)


def test_chained_ogg_is_one_recording() -> None:
    decoded = decode(link("vorbis", "ogg", "stereo", 44_100) * 2)
    assert decoded.audio.duration_s == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize(("layout", "rate"), [("stereo", 22_050), ("mono", 44_100), ("mono", 48_000)])
def test_a_stream_that_changes_its_form_keeps_the_first_one(layout: str, rate: int) -> None:
    decoded = decode(link("aac", "adts", "stereo", 44_100) + link("aac", "adts", layout, rate))
    assert (decoded.audio.sample_rate_hz, decoded.audio.channels) == (44_100, 2)
    assert decoded.audio.duration_s == pytest.approx(4.0, abs=0.2)
    end = decoded.audio.samples[:, 3 * 44_100 : 3 * 44_100 + 22_050]
    spectrum = np.abs(np.fft.rfft(end[0] * np.hanning(end.shape[1])))
    assert spectrum.argmax() * 2 == pytest.approx(110, abs=4)  # still the first tone, at its pitch


def test_no_decoder_writes_outside_full_scale_by_convention() -> None:
    """Integer full scale is 1.0: the most negative 16-bit sample is exactly -1."""
    header = (
        b"RIFF" + struct.pack("<I", 44) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    )
    data = header + b"data" + struct.pack("<I", 8) + struct.pack("<4h", -32768, 0, 16384, 32767)
    assert decode(data).audio.samples.tolist() == [[-1.0, 0.0, 0.5, 32767 / 32768]]
