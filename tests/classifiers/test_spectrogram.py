import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from classifiers.audio import Audio
from classifiers.resample import EAR_SAMPLE_RATE_HZ, to_mono
from classifiers.spectrogram import (
    BANDS,
    BANDS_PER_OCTAVE,
    BANDS_PER_SEMITONE,
    FLOOR_DB,
    FRAME_RATE_HZ,
    band_frequencies_hz,
    log_frequency_db,
)


def sine(frequency_hz: float, seconds: float = 2.0, amplitude: float = 1.0) -> np.ndarray:
    t = np.arange(int(seconds * EAR_SAMPLE_RATE_HZ)) / EAR_SAMPLE_RATE_HZ
    return (amplitude * np.sin(2 * np.pi * frequency_hz * t)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(band=st.integers(2, BANDS - 3))
def test_a_sine_peaks_in_its_own_band(band: int) -> None:
    picture = log_frequency_db(sine(band_frequencies_hz()[band]))
    loudest = int(picture[:, 50].argmax())
    # Below 110 Hz the bands are narrower than an FFT bin, so that a neighbour may win.
    assert abs(loudest - band) <= (2 if band < 2 * BANDS_PER_OCTAVE else 1)


def test_transposing_is_a_translation() -> None:
    low = log_frequency_db(sine(440.0) + sine(660.0))[:, 50]
    high = log_frequency_db(sine(440.0 * 2 ** (3 / 12)) + sine(660.0 * 2 ** (3 / 12)))[:, 50]
    moved = torch.roll(low, 3 * BANDS_PER_SEMITONE)
    assert torch.corrcoef(torch.stack([moved, high]))[0, 1] > 0.97
    assert torch.corrcoef(torch.stack([low, high]))[0, 1] < 0.8


def test_frames_are_fifty_a_second_and_levels_are_decibels() -> None:
    loud, soft = log_frequency_db(sine(1000.0)), log_frequency_db(sine(1000.0, amplitude=0.1))
    assert loud.shape == (BANDS, int(2.0 * FRAME_RATE_HZ) + 1)
    assert float(loud[:, 50].max() - soft[:, 50].max()) == pytest.approx(20.0, abs=0.01)


def test_silence_is_the_floor_and_nothing_is_nothing() -> None:
    assert torch.all(log_frequency_db(np.zeros(16_000, np.float32)) == FLOOR_DB)
    assert log_frequency_db(np.zeros(0, np.float32)).shape == (BANDS, 0)


def test_downmix_survives_an_inverted_channel() -> None:
    tone = sine(500.0)
    mono = to_mono(Audio(samples=np.stack([tone, -tone]), sample_rate_hz=EAR_SAMPLE_RATE_HZ))
    assert np.allclose(np.abs(mono), np.abs(tone))


def test_downmix_averages_and_keeps_a_dead_channel_from_hiding_music() -> None:
    tone = sine(500.0)
    dead = to_mono(Audio(samples=np.stack([tone, 0 * tone]), sample_rate_hz=EAR_SAMPLE_RATE_HZ))
    assert np.allclose(dead, tone / 2)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_resampling_keeps_time_and_pitch(rate: int) -> None:
    t = np.arange(2 * rate) / rate
    tone = np.sin(2 * np.pi * 1000.0 * t).astype(np.float32)
    mono = to_mono(Audio(samples=tone[None], sample_rate_hz=rate))
    assert mono.dtype == np.float32
    assert abs(len(mono) - 2 * EAR_SAMPLE_RATE_HZ) <= 2
    spectrum = np.abs(np.fft.rfft(mono))
    assert np.argmax(spectrum) == pytest.approx(2000, abs=2)
