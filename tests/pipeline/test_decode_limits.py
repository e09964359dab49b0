"""Limits hold while decoding, and a decoder that hangs or dies costs one upload at most."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipeline import decode_process
from pipeline.decode import DecodeLimits, decode
from pipeline.decode_process import DecodeProcess
from soundalike.errors import AudioTooLarge, DecoderKilled, DecoderUnavailable, DecodeTimedOut, NotAudio

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_process_left_over() -> Iterator[None]:
    decode_process.close_idle()
    yield
    decode_process.close_idle()


@pytest.fixture(scope="session")
def silence_bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """75 minutes of stereo silence in a FLAC of half a megabyte, which decodes to 1.6 GB."""
    path = tmp_path_factory.mktemp("bomb") / "silence.flac"
    rate_hz, minutes = 44_100, 75
    with av.open(str(path), "w", format="flac") as output:
        stream = output.add_stream("flac", rate=rate_hz, layout="stereo")
        stream.codec_context.format = "s16"
        stream.codec_context.options = {"frame_size": "65535", "compression_level": "0"}
        minute = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 60 * rate_hz), np.int16), "s16", "stereo")
        minute.sample_rate, minute.time_base = rate_hz, Fraction(1, rate_hz)
        for number in range(minutes):
            minute.pts = number * 60 * rate_hz
            output.mux(stream.encode(minute))
        output.mux(stream.encode(None))
    return path


def without_promise(flac: bytes) -> bytes:
    """The number of samples in STREAMINFO (its last 36 bits before the checksum) set to 0: unknown."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]


@pytest.fixture(scope="session")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("song") / "song.wav"
    samples = (np.random.default_rng(0).standard_normal((30 * 44_100, 2)) * 3000).astype("<i2")
    with av.open(str(path), "w", format="wav") as output:
        stream = output.add_stream("pcm_s16le", rate=44_100, layout="stereo")
        stream.codec_context.format = "s16"
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "s16", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = 44_100, 0, Fraction(1, 44_100)
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


def resident_bytes(pid: int | str = "self", field: str = "VmHWM") -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise AssertionError(field)


def test_a_bomb_that_says_how_long_it_is_is_refused_at_once(silence_bomb: Path) -> None:
    assert silence_bomb.stat().st_size < 1_000_000
    decode_process.close_idle()
    decode(
        b"RIFF\x34\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\x10\0\0\0"
        + bytes(16)
    )
    started = time.monotonic()
    with pytest.raises(AudioTooLarge, match="4500 s"):
        decode(silence_bomb)
    assert time.monotonic() - started < 1.0


@pytest.mark.parametrize(
    "limits",
    [
        DecodeLimits(max_duration_s=60.0),
        DecodeLimits(max_duration_s=1e6, max_pcm_bytes=60 * 44_100 * 8),
    ],
)
def test_a_bomb_that_does_not_say_is_stopped_while_decoding(silence_bomb: Path, limits: DecodeLimits) -> None:
    data = without_promise(silence_bomb.read_bytes())
    before = resident_bytes()
    with pytest.raises(AudioTooLarge, match="limit"):
        decode(data, limits=limits)
    (process,) = decode_process._idle._processes
    held = os.fstat(process._pcm_fd).st_size
    assert held <= 60 * 44_100 * 8
    assert resident_bytes(process.pid) < 400e6
    assert resident_bytes() - before < 50e6  # nothing was copied to us


def test_the_time_limit_is_kept_by_the_decoder_itself(silence_bomb: Path) -> None:
    data = without_promise(silence_bomb.read_bytes())
    limits = DecodeLimits(max_duration_s=1e6, max_pcm_bytes=10**10, max_decode_s=0.2)
    started = time.monotonic()
    with pytest.raises(DecodeTimedOut, match=r"0\.2 s"):
        decode(data, limits=limits)
    assert time.monotonic() - started < 2.0
    assert len(decode_process._idle._processes) == 1  # it answered, and goes on


def test_limits_of_channels_and_rate(song: Path) -> None:
    with pytest.raises(AudioTooLarge, match="2 channels"):
        decode(song, limits=DecodeLimits(max_channels=1))
    with pytest.raises(AudioTooLarge, match="44100 Hz"):
        decode(song, limits=DecodeLimits(max_sample_rate_hz=44_099))
    with pytest.raises(NotAudio, match="44100 Hz"):
        decode(song, limits=DecodeLimits(min_sample_rate_hz=44_101))


def test_the_limit_of_memory_is_the_address_space_of_the_process(song: Path) -> None:
    with pytest.raises(AudioTooLarge, match="memory"):
        decode(song, limits=DecodeLimits(max_memory_bytes=1_000_000))
    assert decode(song).audio.duration_s == pytest.approx(30.0)  # the same process, unharmed


# ---------------------------------------------------------------- hangs and crashes


def idle_process(song: Path) -> DecodeProcess:
    decode(song)
    (process,) = decode_process._idle._processes
    return process


def test_a_decoder_that_hangs_is_killed(song: Path) -> None:
    pid = idle_process(song).pid
    os.kill(pid, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(DecodeTimedOut, match=r"song\.wav.*killed"):
        decode(song, limits=DecodeLimits(max_decode_s=0.3))
    assert time.monotonic() - started < 3.0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert decode(song).audio.channels == 2


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGSEGV])
def test_a_decoder_that_died_is_replaced_without_a_word(song: Path, deadly: signal.Signals) -> None:
    process = idle_process(song)
    os.kill(process.pid, deadly)
    assert decode(song).audio.duration_s == pytest.approx(30.0)
    assert idle_process(song).pid != process.pid


@pytest.mark.parametrize(
    ("deadly", "error"),
    [(signal.SIGSEGV, NotAudio), (signal.SIGABRT, NotAudio), (signal.SIGKILL, DecoderKilled)],
)
def test_who_is_blamed_for_two_crashes(
    song: Path, monkeypatch: pytest.MonkeyPatch, deadly: signal.Signals, error: type[Exception]
) -> None:
    ask = DecodeProcess.ask
    asked: list[int] = []

    def ask_the_dying(self: DecodeProcess, *args: Any, **options: Any) -> dict[str, Any]:
        asked.append(self.pid)
        os.kill(self.pid, deadly)
        return ask(self, *args, **options)

    monkeypatch.setattr(DecodeProcess, "ask", ask_the_dying)
    with pytest.raises(error, match=f"{deadly.name}"):
        decode(song)
    assert len(set(asked)) == 2
    for pid in asked:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_an_interpreter_that_does_not_start_is_not_the_files_fault(
    song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in ("/no/such/python", "/bin/false"):
        monkeypatch.setattr(sys, "executable", program)
        with pytest.raises(DecoderUnavailable, match="does not start"):
            decode(song)


def test_threads_have_a_process_each_and_few_are_kept(song: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        decoded = list(threads.map(lambda _: decode(song), range(8)))
    assert all(np.array_equal(one.audio.samples, decoded[0].audio.samples) for one in decoded)
    assert 1 <= len(decode_process._idle._processes) <= (os.cpu_count() or 1)


def test_processes_are_replaced_in_time_and_leave_no_descriptors(
    song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_process, "_RECYCLE_AFTER", 3)
    before = len(list(Path("/proc/self/fd").iterdir()))
    pids = []
    for number in range(9):
        decode(song)
        if number % 3 == 0:
            (process,) = decode_process._idle._processes
            pids.append(process.pid)
    assert len(set(pids)) == 3
    assert decode_process._idle._processes == []
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_process_inherits_no_secrets(song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    pid = idle_process(song).pid
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"PYTHONPATH" in environment
    assert b"hunter2" not in environment


def run_python(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_forked_child_uses_processes_of_its_own(song: Path) -> None:
    out = run_python(f"""
        import os
        from pathlib import Path
        from pipeline import decode_process
        from pipeline.decode import decode
        path = Path({str(song)!r})
        decode(path)
        ours = decode_process._idle._processes[0].pid
        child = os.fork()
        if not child:
            decode(path)
            os._exit(int(decode_process._idle._processes[0].pid == ours))
        _, status = os.waitpid(child, 0)
        decode(path)
        print(os.waitstatus_to_exitcode(status), decode_process._idle._processes[0].pid == ours)
    """)
    assert out.split() == ["0", "True"]


def test_processes_end_with_their_parent(song: Path) -> None:
    """Also when the parent is killed and can't clean up."""
    pid = int(
        run_python(f"""
        import os
        from pathlib import Path
        from pipeline import decode_process
        from pipeline.decode import decode
        decode(Path({str(song)!r}))
        print(decode_process._idle._processes[0].pid, flush=True)
        os._exit(0)
    """)
    )
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return  # ended; nobody has collected it yet
        time.sleep(0.05)
    pytest.fail("the decoding process outlived its parent")
