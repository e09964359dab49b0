"""Sounds that are regular, quiet in colour or artificial, and yet no music of a generative model.

Computers have made tones since the fifties: chip music, synthesisers, test signals, dictation. They
have exact harmonics, empty bands and no room, which is what a careless detector takes for a machine's trace.
These recipes stand on the human side in training, drawn at random so that no fixed example is learnt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

from classifiers.audio import Audio

RATE_HZ: Final = 44_100
Mono = NDArray[np.float64]


def chiptune(*, duration_s: float, random: Generator) -> Audio:
    """Two pulse waves, a triangle and a noise drum, as consoles of the eighties played them."""
    time_s = _time(duration_s)
    out = np.zeros_like(time_s)
    scale = 220.0 * 2.0 ** (random.choice((0, 2, 3, 5, 7, 8, 10, 12), size=64) / 12)
    step_s = float(random.uniform(0.08, 0.25))
    step = (time_s / step_s).astype(int) % 64
    for voice, octave in enumerate((1.0, 2.0)):
        duty = float(random.choice((0.125, 0.25, 0.5)))
        phase = np.cumsum(scale[(step * (voice + 1)) % 64] * octave) / RATE_HZ
        out += np.where(phase % 1.0 < duty, 0.2, -0.2)
    bass = np.cumsum(scale[(step // 4) % 64] / 2) / RATE_HZ
    out += 0.3 * (np.floor(15.99 * (2 * np.abs(2 * (bass % 1.0) - 1))) / 16 - 0.5)
    noise = np.repeat(random.standard_normal(time_s.size // 6 + 1), 6)[: time_s.size]
    out += 0.2 * noise * np.exp(-(time_s % (2 * step_s)) * 30)
    return _mono(out)


def solo_synth(*, duration_s: float, random: Generator) -> Audio:
    """One analogue-like voice: two detuned saws through a resonant low-pass, or a pair of FM operators."""
    time_s = _time(duration_s)
    step_s = float(random.uniform(0.2, 1.2))
    notes_hz = 110.0 * 2.0 ** (random.integers(0, 30, size=64) / 12)
    frequency = notes_hz[(time_s / step_s).astype(int) % 64]
    phase = np.cumsum(frequency) / RATE_HZ
    since_s = time_s % step_s
    if random.random() < 0.5:
        detune = 1 + float(random.uniform(0.001, 0.01))
        wave = 0.5 * (_saw(phase, frequency) + _saw(phase * detune, frequency))
        sections = butter(2, float(random.uniform(1500, 12000)), fs=RATE_HZ, output="sos")
        wave = sosfilt(sections, wave)
    else:
        ratio = float(random.choice((1.0, 2.0, 3.0, 1.41, 3.5)))
        index = float(random.uniform(1.0, 6.0)) * np.exp(-since_s * 3)
        wave = np.sin(2 * np.pi * phase + index * np.sin(2 * np.pi * phase * ratio))
    envelope = np.minimum(since_s / 0.01, 1.0) * np.exp(-since_s * float(random.uniform(0.5, 4.0)))
    return _mono(0.5 * wave * envelope)


def speech_like(*, duration_s: float, random: Generator) -> Audio:
    """A pulse train through three moving formants, with pauses and hiss: a voice that says nothing."""
    time_s = _time(duration_s)
    syllable_s = 0.2
    syllable = (time_s / syllable_s).astype(int)
    count = int(syllable[-1]) + 1
    pitch_hz = float(random.uniform(85, 230)) * (1 + 0.15 * np.sin(2 * np.pi * 0.4 * time_s))
    source = np.diff(np.floor(np.cumsum(pitch_hz) / RATE_HZ), prepend=0.0)
    source += 0.01 * random.standard_normal(time_s.size)
    loud = (random.random(count) < 0.8).astype(float)
    out = np.zeros_like(time_s)
    for index in range(count):
        part = syllable == index
        piece = source[part]
        for centre_hz in (random.uniform(300, 800), random.uniform(900, 2300), random.uniform(2400, 3500)):
            radius = float(np.exp(-np.pi * 90 / RATE_HZ))
            angle = 2 * np.pi * float(centre_hz) / RATE_HZ
            piece = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], piece)
        out[part] = loud[index] * piece * np.hanning(piece.size)
    hiss = random.standard_normal(time_s.size) * (random.random(count) < 0.15)[syllable]
    peak = float(np.abs(out).max()) or 1.0
    return _mono(0.5 * out / peak + 0.03 * hiss + 1e-4 * random.standard_normal(time_s.size))


def noise(*, duration_s: float, random: Generator) -> Audio:
    """White, pink or band-passed noise: mono, or with any correlation between two channels."""
    count = round(duration_s * RATE_HZ)
    samples = random.standard_normal((2, count))
    blend = float(random.choice((0.0, 0.5, 1.0)))
    samples[1] = blend * samples[0] + (1 - blend) * samples[1]
    kind = random.integers(3)
    if kind == 1:
        spectrum = np.fft.rfft(samples)
        samples = np.fft.irfft(spectrum / np.sqrt(np.arange(spectrum.shape[1]) + 1.0), n=count)
    elif kind == 2:
        low_hz = float(random.uniform(100, 4000))
        samples = sosfilt(butter(2, (low_hz, low_hz * 3), "bandpass", fs=RATE_HZ, output="sos"), samples)
    return Audio((0.3 * samples / np.abs(samples).max()).astype(np.float32), RATE_HZ)


def drone(*, duration_s: float, random: Generator) -> Audio:
    """A still chord of sines or an exactly harmonic tone, in stereo, with slow beats."""
    time_s = _time(duration_s)
    base_hz = float(random.uniform(40, 250))
    partials = np.arange(1, int(random.integers(3, 60)))
    slope = float(random.uniform(0.5, 2.0))
    out = np.zeros((2, time_s.size))
    for partial in partials:
        for side in range(2):
            wobble = 1 + 0.3 * np.sin(2 * np.pi * random.uniform(0.05, 0.5) * time_s + random.uniform(0, 6))
            tone = np.sin(2 * np.pi * base_hz * partial * time_s + random.uniform(0, 6))
            out[side] += wobble * tone / partial**slope
    out += 10 ** (-float(random.uniform(50, 90)) / 20) * random.standard_normal(out.shape)
    return Audio((0.5 * out / np.abs(out).max()).astype(np.float32), RATE_HZ)


def pad(*, duration_s: float, random: Generator) -> Audio:
    """Slow chords of detuned saws or sines with breath, darkened, under a long reverb: ambient music."""
    lead_s = 3.0
    time_s = _time(duration_s + lead_s)
    out = np.zeros((2, time_s.size))
    root_hz = float(random.uniform(40, 160))
    for voice in range(int(random.integers(3, 7))):
        note_hz = root_hz * 2 ** (random.choice((0, 3, 5, 7, 10, 12, 14, 15, 17, 19, 24)) / 12)
        saws = random.random() < 0.6
        rise_s = float(random.uniform(0.3, 3))
        since_s = time_s - (float(random.uniform(0, duration_s + lead_s - 1)) if voice > 1 else 0.0)
        swell = np.clip(since_s / rise_s, 0, 1) * np.exp(
            -np.maximum(since_s, 0) * float(random.uniform(0, 0.5))
        )
        tremolo_hz = float(random.uniform(0.05, 0.5))
        swell *= 1 + float(random.uniform(0, 0.5)) * np.sin(2 * np.pi * tremolo_hz * time_s)
        for side in range(2):
            for _ in range(int(random.integers(1, 4))):
                detune = 2 ** (float(random.normal(0, 6)) / 1200)
                vibrato = np.sin(2 * np.pi * float(random.uniform(0.1, 5)) * time_s + random.uniform(0, 6))
                phase = np.cumsum(note_hz * detune * (1 + 0.002 * vibrato)) / RATE_HZ
                wave = 2 * ((phase + random.random()) % 1) - 1 if saws else np.sin(2 * np.pi * phase)
                out[side] += swell * wave
    cutoff_hz = float(np.exp(random.uniform(np.log(600), np.log(14_000))))
    out = sosfilt(butter(int(random.integers(1, 4)), cutoff_hz, fs=RATE_HZ, output="sos"), out)
    if random.random() < 0.7:
        low_hz = float(np.exp(random.uniform(np.log(200), np.log(6_000))))
        high_hz = min(low_hz * float(random.uniform(1.5, 6)), 20_000.0)
        sections = butter(1, (low_hz, high_hz), "bandpass", fs=RATE_HZ, output="sos")
        breath = sosfilt(sections, random.standard_normal((2, time_s.size)))
        breath *= 1 + 0.8 * np.sin(
            2 * np.pi * float(random.uniform(0.05, 0.4)) * time_s + random.uniform(0, 6)
        )
        out += (
            breath * out.std() / max(float(breath.std()), 1e-9) * 10 ** (-float(random.uniform(6, 40)) / 20)
        )
    wet, decay_s = float(random.uniform(0.2, 0.95)), float(random.uniform(1.5, 3))
    out = add_reverb(out, rate_hz=RATE_HZ, wet=wet, decay_s=decay_s, random=random)
    out = out[:, round(lead_s * RATE_HZ) :]
    return Audio((0.5 * out / max(float(np.abs(out).max()), 1e-9)).astype(np.float32), RATE_HZ)


def add_reverb(
    samples: NDArray[np.float64], *, rate_hz: int, wet: float, decay_s: float, random: Generator
) -> NDArray[np.float64]:
    """A room of decaying noise, different left and right, as loud as what it replaces; float64 [2, samples].

    wet: its share in [0, 1]. decay_s: until it is 60 dB down. A mono recording comes back in stereo.
    """
    time_s = np.arange(round(decay_s * rate_hz)) / rate_hz
    room = random.standard_normal((2, time_s.size)) * 10 ** (-3 * time_s / decay_s)
    spectrum, frequency_hz = np.fft.rfft(room), np.fft.rfftfreq(time_s.size, 1 / rate_hz)
    dark_hz = float(random.uniform(2_000, 12_000))
    room = np.fft.irfft(spectrum / np.sqrt(1 + (frequency_hz / dark_hz) ** 2), n=time_s.size)
    room /= np.sqrt(np.square(room).sum(axis=1, keepdims=True))
    echo = np.stack(
        [
            fftconvolve(samples[min(side, len(samples) - 1)], room[side])[: samples.shape[1]]
            for side in range(2)
        ]
    )
    gain = np.sqrt(np.square(samples).mean() / max(float(np.square(echo).mean()), 1e-12))
    return np.asarray((1 - wet) * samples + wet * gain * echo)


RECIPES: Final[dict[str, Callable[..., Audio]]] = {
    "chiptune": chiptune,
    "solo-synth": solo_synth,
    "speech-like": speech_like,
    "noise": noise,
    "drone": drone,
    "pad": pad,
}


def _time(duration_s: float) -> Mono:
    return np.arange(round(duration_s * RATE_HZ)) / RATE_HZ


def _saw(phase: Mono, frequency_hz: Mono) -> Mono:
    """Band-limited by hand: the jump is smoothed over one sample (PolyBLEP)."""
    fraction = phase % 1.0
    width = frequency_hz / RATE_HZ
    after = np.clip(fraction / width, 0, 1)
    before = np.clip((1 - fraction) / width, 0, 1)
    return 2 * fraction - 1 + (1 - after) ** 2 - (1 - before) ** 2


def _mono(wave: Mono) -> Audio:
    peak = max(float(np.abs(wave).max()), 1.0)
    return Audio((wave / peak).astype(np.float32)[None], RATE_HZ)
