"""Bad files: each ends in the error that says what is wrong with it, and never outside the fences."""

import contextlib
import io
import math
import os
import struct
import tempfile
import threading
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline import decode_worker
from pipeline.decode import DecodeLimits, decode, sanitise
from soundalike.errors import (
    AudioEmpty,
    AudioError,
    AudioNotFound,
    AudioTruncated,
    DecodeTimedOut,
    NotAudio,
)

RATE_HZ = 22_050
FORMATS = {
    # container: codec, sample format
    "wav": ("pcm_s16le", "s16"),
    "w64": ("pcm_s16le", "s16"),
    "aiff": ("pcm_s16be", "s16"),
    "caf": ("pcm_s16be", "s16"),
    "flac": ("flac", "s16"),
    "mp3": ("libmp3lame", "fltp"),
    "ipod": ("aac", "fltp"),
    "adts": ("aac", "fltp"),
    "ogg": ("vorbis", "fltp"),
    "asf": ("wmav2", "fltp"),
    "matroska": ("flac", "s16"),
}


@cache
def recording(container: str, duration_s: float, options: tuple[tuple[str, str], ...] = ()) -> bytes:
    """Stereo noise with a tone, so that compressed size follows duration."""
    rng = np.random.default_rng(7)
    t = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    samples = (0.2 * np.sin(2 * np.pi * 330 * t) + 0.1 * rng.standard_normal((2, t.size))).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:  # not io.BytesIO: faststart reopens what it has written
        path = Path(folder) / "recording"
        encode_noise(path, container, samples, dict(options))
        return path.read_bytes()


def encode_noise(path: Path, container: str, samples: NDArray[np.float32], options: dict[str, str]) -> None:
    codec, sample_format = FORMATS[container]
    with av.open(str(path), "w", format=container, options=options) as output:
        stream = output.add_stream(codec, rate=RATE_HZ, layout="stereo")
        stream.codec_context.format = sample_format
        stream.codec_context.bit_rate = 64_000
        stream.codec_context.options = {"strict": "experimental"}
        resampler = av.AudioResampler(format=sample_format, layout="stereo", rate=RATE_HZ)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
        for piece in (frame, None) if samples.size else ():
            for converted in resampler.resample(piece):
                output.mux(stream.encode(converted))
        output.mux(stream.encode(None))


# ---------------------------------------------------------------- truncation


@pytest.mark.parametrize("container", [name for name in FORMATS if name != "adts"])
def test_a_file_cut_at_sixty_percent_is_truncated(container: str) -> None:
    data = recording(container, 20.0)
    assert decode(data).audio.duration_s == pytest.approx(20.0, abs=0.2)
    with pytest.raises(AudioTruncated, match="promises"):
        decode(data[: len(data) * 6 // 10])


@pytest.mark.parametrize("container", ["wav", "w64", "aiff", "caf", "flac", "mp3", "matroska"])
def test_the_message_of_a_truncation_has_both_numbers(container: str) -> None:
    data = recording(container, 20.0)
    with pytest.raises(AudioTruncated) as caught:
        decode(data[: len(data) // 2])
    numbers = [float(word) for word in str(caught.value).split() if word.replace(".", "").isdigit()]
    assert numbers == [pytest.approx(20.0, abs=0.2), pytest.approx(10.0, abs=0.3)]


def test_an_mp4_whose_index_lies_first_is_truncated_too() -> None:
    data = recording("ipod", 20.0, options=(("movflags", "faststart"),))
    assert data.index(b"moov") < data.index(b"mdat")
    with pytest.raises(AudioTruncated, match=r"20\.\d+ s"):
        decode(data[: len(data) // 2])


@pytest.mark.parametrize("container", ["wav", "aiff", "caf", "flac", "mp3", "matroska"])
def test_a_missing_half_second_is_tolerated(container: str) -> None:
    data = recording(container, 20.0)
    decoded = decode(data[: math.floor(len(data) * 19.5 / 20.0)])
    assert decoded.audio.duration_s == pytest.approx(19.5, abs=0.3)
    assert decoded.declared_duration_s == pytest.approx(20.0, abs=0.3)


def test_a_wav_written_to_a_pipe_promises_nothing() -> None:
    data = recording("wav", 2.0)
    at = data.index(b"data")
    for unknown in (b"\xff\xff\xff\xff", b"\0\0\0\0"):
        streamed = data[: at + 4] + unknown + data[at + 8 :]
        assert decode(streamed).audio.duration_s == pytest.approx(2.0, abs=0.01)


# ---------------------------------------------------------------- damage


def test_a_few_damaged_frames_in_the_middle_are_counted_and_tolerated() -> None:
    data = bytearray(recording("ipod", 20.0))
    middle = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    data[middle : middle + 300] = b"\xff" * 300
    decoded = decode(bytes(data))
    assert 1 <= decoded.damaged_packets <= 4
    assert decoded.audio.duration_s == pytest.approx(20.0, abs=0.5)


def test_a_file_damaged_throughout_is_no_recording() -> None:
    data = bytearray(recording("ipod", 20.0))
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    rng = np.random.default_rng(3)
    data[start:end] = rng.bytes(end - start)
    with pytest.raises((AudioTruncated, NotAudio)):
        decode(bytes(data))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"This is not music.\n" * 500,
        b"\0" * 5_000,
        b"ID3\3\0\0\0\0\0\0",
        b"RIFF",
        b"OggS",
        b"fLaC",
    ],
)
def test_what_is_not_audio_is_called_so(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(content)
    with pytest.raises(NotAudio, match=r"song\.mp3"):
        decode(path)


def test_a_picture_and_a_silent_film_hold_no_audio() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(5):
            output.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        output.mux(stream.encode(None))
    with pytest.raises(NotAudio, match="no audio stream"):
        decode(file.getvalue())


def wav(body: bytes, *, channels: int = 1, rate_hz: int = 8_000, form: int = 1, bits: int = 16) -> bytes:
    frame = channels * bits // 8
    head = struct.pack("<HHIIHH", form, channels, rate_hz, rate_hz * frame, frame, bits)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def test_containers_without_a_sample_are_empty() -> None:
    rate_44100 = bytes.fromhex("400eac44000000000000")
    common = b"COMM" + struct.pack(">IHIH", 18, 2, 0, 16) + rate_44100
    chunks = b"AIFF" + common + b"SSND" + struct.pack(">III", 8, 0, 0)
    aiff = b"FORM" + struct.pack(">I", len(chunks)) + chunks
    for data in (wav(b""), aiff):
        with pytest.raises(AudioEmpty):
            decode(data)


def test_impossible_samples_are_replaced_and_counted() -> None:
    values = [0.5, math.nan, math.inf, -math.inf, 3e38, -0.25, 1.5]
    decoded = decode(wav(struct.pack("<7f", *values), form=3, bits=32))
    assert decoded.sanitised_samples == 4
    assert decoded.audio.samples.tolist() == [[0.5, 0.0, 0.0, 0.0, 1e4, -0.25, 1.5]]
    doubles = decode(wav(struct.pack("<3d", 1e300, math.nan, 0.5), form=3, bits=64))
    assert doubles.sanitised_samples == 2
    assert doubles.audio.samples[0, 2] == 0.5


def test_sound_samples_are_left_alone() -> None:
    samples = np.array([[0.5, -1.2, 0.0]], dtype=np.float32)
    assert sanitise(samples) == 0
    assert samples.tolist() == [[0.5, pytest.approx(-1.2), 0.0]]


@pytest.mark.parametrize("rate_hz", [1, 100, 3_999])
def test_a_rate_that_no_recording_has_is_refused(rate_hz: int) -> None:
    with pytest.raises(NotAudio):
        decode(wav(bytes(2000), rate_hz=rate_hz))


def test_what_can_not_be_opened_is_not_found(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing.mp3", tmp_path, tmp_path / "pipe", Path("a\0b")):
        with pytest.raises(AudioNotFound):
            decode(path)


# ---------------------------------------------------------------- playlists dressed up as songs


@pytest.fixture
def bait(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A server and a file that nobody may read: (URL, path, requests seen)."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(recording("adts", 2.0))

        def log_message(self, *_: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    path = tmp_path / "private.aac"
    path.write_bytes(recording("adts", 2.0))
    yield f"http://127.0.0.1:{listener.server_address[1]}/secret.aac", path, asked
    listener.shutdown()
    listener.server_close()
    thread.join(5)


def playlists(url: str, path: Path) -> dict[str, bytes]:
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:2.0,\n{}\n#EXT-X-ENDLIST\n"
    return {
        "HLS of a URL": hls.format(url).encode(),
        "HLS of a file": hls.format(path.as_uri()).encode(),
        "concat of a file": f"ffconcat version 1.0\nfile '{path}'\n".encode(),
        "concat of a URL": f"ffconcat version 1.0\nfile '{url}'\n".encode(),
        "SDP": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        b"m=audio 5004 RTP/AVP 0\r\n",
        "DASH": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        '<AdaptationSet mimeType="audio/mp4"><Representation id="1">'
        f"<BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>".encode(),
        "M3U": f"#EXTM3U\n{url}\n".encode(),
        "PLS": f"[playlist]\nFile1={url}\nNumberOfEntries=1\n".encode(),
        "IMF": b'<?xml version="1.0"?><AssetMap xmlns="http://www.smpte-ra.org/schemas/429-9/2007/AM"/>',
        "lavfi": f"amovie={path}".encode(),
    }


def test_no_file_can_make_the_decoder_open_another(bait: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    url, path, asked = bait
    for name, content in playlists(url, path).items():
        disguised = tmp_path / "song.mp3"
        disguised.write_bytes(content)
        for source in (disguised, content):
            with pytest.raises(NotAudio):
                decode(source)
        assert asked == [], name


def test_the_bait_is_taken_without_the_fences(bait: tuple[str, Path, list[str]], tmp_path: Path) -> None:
    """The premise of the test above: plain FFmpeg does follow these lists."""
    url, path, asked = bait
    lists = playlists(url, path)
    (tmp_path / "a.m3u8").write_bytes(lists["HLS of a URL"])
    allowed = {"protocol_whitelist": "file,http,tcp", "extension_picky": "0"}
    with contextlib.suppress(av.FFmpegError), av.open(str(tmp_path / "a.m3u8"), options=allowed):
        pass
    assert asked
    (tmp_path / "c.m3u8").write_bytes(lists["HLS of a file"])
    with av.open(str(tmp_path / "c.m3u8")) as opened:
        assert next(opened.decode(audio=0)).samples
    (tmp_path / "b.txt").write_bytes(lists["concat of a file"])
    with av.open(str(tmp_path / "b.txt"), format="concat", options={"safe": "0"}) as opened:
        assert next(opened.decode(audio=0)).samples


def test_while_decoding_no_descriptor_can_be_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def misled(*_: object) -> None:
        (tmp_path / "anything").write_bytes(b"")

    monkeypatch.setattr(decode_worker, "decode_descriptor", misled)
    request = {
        "max_decode_s": 1.0,
        "max_duration_s": 1.0,
        "max_channels": 2,
        "min_sample_rate_hz": 1,
        "max_sample_rate_hz": 2,
        "max_pcm_bytes": 1,
        "max_memory_bytes": 2**40,
    }
    with (tmp_path / "pcm").open("wb") as pcm, pytest.raises(OSError, match="Too many open files"):
        decode_worker.answer(request, source_fd=0, pcm_fd=pcm.fileno())
    (tmp_path / "anything").write_bytes(b"")  # lifted again


# ---------------------------------------------------------------- properties

SMALL = DecodeLimits(max_duration_s=30.0, max_decode_s=5.0, max_pcm_bytes=20_000_000)


def decodes_or_is_refused(data: bytes) -> None:
    try:
        decoded = decode(data, limits=SMALL)
    except DecodeTimedOut:
        raise
    except AudioError as error:
        assert "crashes" not in str(error)
        return
    audio = decoded.audio
    assert audio.samples.dtype == np.float32
    assert 1 <= audio.channels <= SMALL.max_channels
    assert 0 < audio.duration_s <= SMALL.max_duration_s
    assert np.isfinite(audio.samples).all()
    assert len(decoded.layout) == audio.channels


MAGICS = [
    *(b"", b"RIFF\xff\xff\xff\xffWAVE", b"OggS\0", b"fLaC", b"ID3\3\0\0", b"\xff\xfb\x90", b"\xff\xf1\x50"),
    *(b"\0\0\0\x20ftypM4A ", b"FORM\0\0\xff\xffAIFF", b"caff\0\1\0\0", b"\x1a\x45\xdf\xa3", b"wvpk"),
    bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
]


@settings(max_examples=150, deadline=None)
@given(magic=st.sampled_from(MAGICS), tail=st.binary(max_size=3_000))
def test_random_bytes_are_audio_or_refused(magic: bytes, tail: bytes) -> None:
    decodes_or_is_refused(magic + tail)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(container=st.sampled_from(sorted(FORMATS)), data=st.data())
def test_flipped_cut_and_doubled_files_are_audio_or_refused(container: str, data: st.DataObject) -> None:
    content = bytearray(recording(container, 0.5))
    positions = st.integers(0, len(content) - 1) | st.integers(0, 200)  # headers are where it hurts
    for position in data.draw(st.lists(positions, max_size=8)):
        content[position % len(content)] = data.draw(st.integers(0, 255))
    start = data.draw(st.just(0) | st.integers(0, len(content)))
    end = data.draw(st.just(len(content)) | st.integers(start, len(content)))
    repeats = data.draw(st.sampled_from([1, 1, 1, 2, 3]))
    decodes_or_is_refused(bytes(content[start:end]) * repeats)
