"""What is done to recordings, simulated on the log-frequency spectrogram.

Transposition and tempo are translations and stretches of the picture; filters are gains by band;
noise, speech and other music are powers that add (with a random phase, so that they also cancel);
reverberation smears every band forward in time; low-rate codecs drop what their masking model
calls inaudible. Working here costs a fiftieth of doing the same to waveforms, and a batch of 192
pairs is ready in a fraction of the time that the network needs for it.

All functions take and return float32 power [batch, bands, frames] unless they say otherwise and
draw from the given generator only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Generator, Tensor
from torch.nn import functional

from classifiers.spectrogram import (
    BANDS_PER_OCTAVE,
    BANDS_PER_SEMITONE,
    FRAME_RATE_HZ,
    MARGIN_BANDS,
    VIEW_BANDS,
    VIEW_LOWEST_HZ,
)

CONTEXT_FRAMES = 48
"""Past that reverberation can bring into the window: 0.96 s."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Ranges to draw from and how often; each probability is per example."""

    shift_semitones: float = 2.2
    shift_probability: float = 0.7
    lowest_tempo: float = 0.76
    highest_tempo: float = 1.32
    tempo_probability: float = 0.6
    jitter_s: float = 0.27
    equaliser_db: float = 12.0
    equaliser_probability: float = 0.5
    filter_probability: float = 0.35
    noise_probability: float = 0.55
    noise_snr_db: tuple[float, float] = (-6.0, 22.0)
    music_probability: float = 0.35
    music_snr_db: tuple[float, float] = (-6.0, 15.0)
    speech_probability: float = 0.2
    speech_snr_db: tuple[float, float] = (-8.0, 12.0)
    reverb_probability: float = 0.45
    reverb_t60_s: tuple[float, float] = (0.15, 2.5)
    codec_probability: float = 0.35
    distortion_probability: float = 0.15
    resynthesis_probability: float = 0.12
    mask_probability: float = 0.25


def uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low


def _sometimes(count: int, probability: float, generator: Generator) -> Tensor:
    return torch.rand(count, generator=generator) < probability


def warp(
    levels_db: Tensor, *, start_frames: Tensor, tempo: Tensor, shift_bands: Tensor, frames: int
) -> Tensor:
    """Cut, stretch and transpose: dB [batch, BANDS, source frames] to dB [batch, VIEW_BANDS, frames].

    Output frame j shows source frame ``start + tempo * j``; output band b shows source band
    ``MARGIN + b - shift``, so that a positive shift raises the pitch.
    """
    batch, bands, source_frames = levels_db.shape
    at_frame = start_frames[:, None] + tempo[:, None] * torch.arange(frames)
    at_band = MARGIN_BANDS + torch.arange(VIEW_BANDS)[None, :] - shift_bands[:, None]
    grid_x = (at_frame / (source_frames - 1) * 2 - 1)[:, None, :].expand(batch, VIEW_BANDS, frames)
    grid_y = (at_band / (bands - 1) * 2 - 1)[:, :, None].expand(batch, VIEW_BANDS, frames)
    grid = torch.stack([grid_x, grid_y], dim=-1)
    warped = functional.grid_sample(
        levels_db[:, None], grid, mode="bilinear", padding_mode="border", align_corners=True
    )
    return warped[:, 0]


def add_power(power: Tensor, other: Tensor, snr_db: Tensor, generator: Generator) -> Tensor:
    """Mix `other` in at the given ratio of mean powers, interfering with a random phase in each cell."""
    own = power.mean(dim=(1, 2), keepdim=True)
    gain = (
        own / other.mean(dim=(1, 2), keepdim=True).clamp_min(1e-12) * 10.0 ** (-snr_db / 10.0)[:, None, None]
    )
    other = other * gain
    phase = torch.rand(power.shape, generator=generator) * (2.0 * math.pi)
    return (power + other + 2.0 * (power * other).sqrt() * torch.cos(phase)).clamp_min(0.0)


def noise_like(power: Tensor, generator: Generator) -> Tensor:
    """Stationary noise with a random spectral slope (white to brown and a hump) and chi-square cells."""
    batch, bands, frames = power.shape
    octaves = torch.arange(bands) / BANDS_PER_OCTAVE
    slope_db = uniform(batch, -6.0, 3.0, generator)
    centre = uniform(batch, 0.0, float(octaves[-1]), generator)
    hump_db = uniform(batch, 0.0, 10.0, generator)
    profile = slope_db[:, None] * octaves + hump_db[:, None] * torch.exp(
        -((octaves[None, :] - centre[:, None]) ** 2)
    )
    # A band above the crossover averages several FFT bins: between 2 and 8 degrees of freedom.
    cells = -torch.log(torch.rand(2, batch, bands, frames, generator=generator).clamp_min(1e-6)).mean(dim=0)
    tremolo = (
        1.0
        + 0.8
        * torch.sin(torch.arange(frames) / FRAME_RATE_HZ * uniform(batch, 1.0, 25.0, generator)[:, None])
        * (_sometimes(batch, 0.3, generator)[:, None])
    )
    noise: Tensor = 10.0 ** (profile / 10.0)[:, :, None] * cells * tremolo[:, None, :]
    return noise


def speech_like(power: Tensor, generator: Generator) -> Tensor:
    """Someone talking: syllables with gliding overtones under moving formants, hisses, and pauses.

    A source and filter model (Fant 1960) with every value drawn anew for each syllable: it has the traits by
    which speech covers music, and is nobody's voice.
    """
    batch, bands, frames = power.shape
    syllables = 24
    rate_hz = uniform(batch, 2.5, 7.0, generator)[:, None]
    at = torch.arange(frames)[None, :] / FRAME_RATE_HZ * rate_hz + torch.rand(batch, 1, generator=generator)
    number = at.long().clamp_max(syllables - 1)

    def by_syllable(low: float, high: float) -> Tensor:
        """A value for each syllable, gliding to the next: [batch, 1, frames]."""
        drawn = (torch.rand(batch, syllables, generator=generator) * (high - low) + low).gather(1, number)
        return functional.avg_pool1d(drawn[:, None], 5, stride=1, padding=2, count_include_pad=False)

    kind = torch.rand(batch, syllables, generator=generator).gather(1, number)[:, None]
    voiced, hissed = kind < 0.7, (kind >= 0.7) & (kind < 0.83)  # what is left are pauses
    octave = (torch.arange(bands) / BANDS_PER_OCTAVE)[None, :, None]
    # Pitch of the voice, in octaves above the lowest band: 80 to 280 Hz, and up to a fourth of melody.
    register = uniform(batch, math.log2(80 / VIEW_LOWEST_HZ), math.log2(280 / VIEW_LOWEST_HZ), generator)
    pitch = register[:, None, None] + by_syllable(-0.2, 0.2)
    ratio = 2.0 ** (octave - pitch)
    off_bands = BANDS_PER_OCTAVE * torch.log2(ratio / ratio.round().clamp_min(1.0))
    overtones = torch.exp(-0.5 * (off_bands / 1.2) ** 2)
    envelope_db = -9.0 * (octave - pitch).clamp_min(0.0)
    for lowest_hz, highest_hz in ((250.0, 850.0), (850.0, 2400.0), (2400.0, 3600.0)):
        centre = by_syllable(math.log2(lowest_hz / VIEW_LOWEST_HZ), math.log2(highest_hz / VIEW_LOWEST_HZ))
        envelope_db = envelope_db + 18.0 * torch.exp(-0.5 * ((octave - centre) / 0.2) ** 2)
    hiss_db = 9.0 * (octave - octave.max())
    cells = -torch.log(torch.rand(2, batch, bands, frames, generator=generator).clamp_min(1e-6)).mean(dim=0)
    loudness = 10.0 ** (by_syllable(-8.0, 0.0) / 10.0)
    spoken = voiced * overtones * 10.0 ** (envelope_db / 10.0) + hissed * cells * 10.0 ** (hiss_db / 10.0)
    return loudness * spoken + 1e-6


def equalise(power: Tensor, depth_db: float, generator: Generator) -> Tensor:
    """Smooth random gains over frequency, as tone controls and small speakers give."""
    batch, bands, _ = power.shape
    position = torch.arange(bands) / bands
    gain_db = torch.zeros(batch, bands)
    for cycles in (0.5, 1.0, 2.0, 3.5):
        phase = uniform(batch, 0.0, 2 * math.pi, generator)
        amplitude = uniform(batch, -depth_db, depth_db, generator) / (1.0 + cycles)
        gain_db += amplitude[:, None] * torch.cos(2 * math.pi * cycles * position[None, :] + phase[:, None])
    return power * 10.0 ** (gain_db / 10.0)[:, :, None]


def filter_bands(power: Tensor, generator: Generator) -> Tensor:
    """Low-pass between 1 and 4 kHz, high-pass between 130 and 900 Hz, or both (a telephone)."""
    batch, bands, _ = power.shape
    octave = torch.arange(bands) / BANDS_PER_OCTAVE
    kind = torch.randint(0, 3, (batch,), generator=generator)
    slope_db = uniform(batch, 12.0, 90.0, generator)[:, None]
    low_edge = uniform(batch, 0.2, 3.0, generator)[:, None]
    high_edge = uniform(batch, 3.2, 5.2, generator)[:, None]
    below = (low_edge - octave).clamp_min(0.0) * slope_db * (kind != 0)[:, None]
    above = (octave - high_edge).clamp_min(0.0) * slope_db * (kind != 1)[:, None]
    return power * 10.0 ** (-(below + above) / 10.0)[:, :, None]


def reverberate(power: Tensor, t60_s: tuple[float, float], generator: Generator) -> Tensor:
    """Exponentially decaying tail, shorter at high frequencies, mixed with the direct sound."""
    batch, bands, frames = power.shape
    t60 = torch.exp(uniform(batch, math.log(t60_s[0]), math.log(t60_s[1]), generator))
    damping = uniform(batch, 0.3, 1.0, generator)
    by_band = t60[:, None] * (1.0 - (1.0 - damping[:, None]) * torch.arange(bands) / bands)
    time_s = torch.arange(frames) / FRAME_RATE_HZ
    tail = 10.0 ** (-6.0 * time_s / by_band[:, :, None].clamp_min(0.05))
    tail = tail * (0.5 + torch.rand(batch, 1, frames, generator=generator))
    tail = tail / tail.sum(dim=2, keepdim=True)
    size = 2 * frames
    wet = torch.fft.irfft(torch.fft.rfft(power, size) * torch.fft.rfft(tail, size), size)[..., :frames]
    # The diffuse field's cells fluctuate as noise does.
    wet = wet.clamp_min(0.0) * (
        0.4 + 0.6 * -torch.log(torch.rand(power.shape, generator=generator).clamp_min(1e-6))
    )
    share = uniform(batch, 0.2, 1.0, generator)[:, None, None]
    mixed: Tensor = share * wet + (1.0 - share) * power
    return mixed


def code(power: Tensor, generator: Generator) -> Tensor:
    """A low-rate codec: cells far under their neighbourhood vanish, the rest is coarsely quantised."""
    batch = power.shape[0]
    level_db = 10.0 * torch.log10(power.clamp_min(1e-10))
    masker = functional.max_pool2d(level_db[:, None], (13, 5), stride=1, padding=(6, 2))[:, 0]
    depth_db = uniform(batch, 10.0, 30.0, generator)[:, None, None]
    noise_db = uniform(batch, 0.5, 3.0, generator)[:, None, None] * torch.randn(
        power.shape, generator=generator
    )
    kept = 10.0 ** ((level_db + noise_db) / 10.0)
    return torch.where(level_db > masker - depth_db, kept, torch.full_like(power, 1e-10))


def distort(power: Tensor, generator: Generator) -> Tensor:
    """Overtones and loudness levelling, as clipping and hard limiting leave them."""
    batch, bands, _ = power.shape
    result = power.clone()
    for overtone in (2, 3, 5):
        step = round(BANDS_PER_OCTAVE * math.log2(overtone))
        gain = 10.0 ** (uniform(batch, -35.0, -12.0, generator) / 10.0)
        result[:, step:] += power[:, : bands - step] * gain[:, None, None]
    loudness = result.mean(dim=1, keepdim=True).clamp_min(1e-10)
    flattening = uniform(batch, 0.0, 0.7, generator)[:, None, None]
    return result * loudness ** (-flattening) * loudness.mean(dim=2, keepdim=True) ** flattening


def resynthesise(power: Tensor, generator: Generator) -> Tensor:
    """A neural vocoder: only what 64 to 100 mel bands hold survives, and cells fluctuate anew.

    Below 1 kHz mel bands are tens of hertz wide, ours a few: neighbouring partials melt together. How much
    of them a vocoder guesses back differs, so the melted picture is mixed with the true one.
    """
    smear = _mel_smear(int(torch.randint(64, 101, (1,), generator=generator))).to(power.device)
    melted = torch.einsum("cb,nbf->ncf", smear, power)
    guessed = uniform(power.shape[0], 0.0, 0.7, generator)[:, None, None]
    chance = -torch.log(torch.rand(2, *power.shape, generator=generator).clamp_min(1e-6)).mean(dim=0)
    return (guessed * power + (1.0 - guessed) * melted) * (0.3 + 0.7 * chance)


@lru_cache(maxsize=40)
def _mel_smear(mels: int) -> Tensor:
    """What goes into mel bands (0 to 8 kHz, O'Shaughnessy's scale) and comes out again: [bands, bands]."""
    bands_hz = VIEW_LOWEST_HZ * 2.0 ** (torch.arange(VIEW_BANDS) / BANDS_PER_OCTAVE)
    position = 2595.0 * torch.log10(1.0 + bands_hz / 700.0)
    step = 2595.0 * math.log10(1.0 + 8000.0 / 700.0) / (mels + 1)
    centres = step * torch.arange(1, mels + 1)
    into = (1.0 - (position[None, :] - centres[:, None]).abs() / step).clamp_min(0.0)  # [mels, bands]
    into = into / into.sum(dim=1, keepdim=True).clamp_min(1e-9)
    back = (1.0 - (position[:, None] - centres[None, :]).abs() / step).clamp_min(0.0)
    back = back / back.sum(dim=1, keepdim=True).clamp_min(1e-9)
    return back @ into


def mask(power: Tensor, generator: Generator) -> Tensor:
    """Silence one short span of time or of frequency (drop-outs, cuts, SpecAugment)."""
    batch, bands, frames = power.shape
    in_time = _sometimes(batch, 0.5, generator)[:, None, None]
    width_t = uniform(batch, 4.0, 30.0, generator)[:, None]
    start_t = uniform(batch, 0.0, float(frames), generator)[:, None]
    width_b = uniform(batch, 6.0, 40.0, generator)[:, None]
    start_b = uniform(batch, -20.0, float(bands), generator)[:, None]
    t, b = torch.arange(frames)[None, :], torch.arange(bands)[None, :]
    hit_t = ((t >= start_t) & (t < start_t + width_t))[:, None, :] & in_time
    hit_b = ((b >= start_b) & (b < start_b + width_b))[:, :, None] & ~in_time
    return torch.where(hit_t | hit_b, power * 1e-4, power)


def degrade(power: Tensor, settings: Augmentation, generator: Generator) -> Tensor:
    """One random chain per example, in the order in which the world does it."""
    batch = power.shape[0]
    # Another example of the batch plays along; as it was before anything was done to it.
    strangers = power.roll(int(torch.randint(1, max(batch, 2), (1,), generator=generator)), dims=0)

    def some(probability: float, power: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Change only the examples that were drawn: most changes concern a third of a batch."""
        drawn = _sometimes(batch, probability, generator).nonzero()[:, 0]
        if len(drawn) == 0:
            return power
        return power.index_copy(0, drawn, change(power[drawn], drawn))

    def music(part: Tensor, drawn: Tensor) -> Tensor:
        snr = uniform(len(part), *settings.music_snr_db, generator)
        return add_power(part, strangers[drawn], snr, generator)

    def noise(part: Tensor, _drawn: Tensor) -> Tensor:
        snr = uniform(len(part), *settings.noise_snr_db, generator)
        return add_power(part, noise_like(part, generator), snr, generator)

    def speech(part: Tensor, _drawn: Tensor) -> Tensor:
        snr = uniform(len(part), *settings.speech_snr_db, generator)
        return add_power(part, speech_like(part, generator), snr, generator)

    power = some(settings.distortion_probability, power, lambda part, _: distort(part, generator))
    power = some(settings.music_probability, power, music)
    power = some(settings.speech_probability, power, speech)
    power = some(settings.resynthesis_probability, power, lambda part, _: resynthesise(part, generator))
    power = some(
        settings.reverb_probability,
        power,
        lambda part, _: reverberate(part, settings.reverb_t60_s, generator),
    )
    power = some(settings.noise_probability, power, noise)
    power = some(
        settings.equaliser_probability,
        power,
        lambda part, _: equalise(part, settings.equaliser_db, generator),
    )
    power = some(settings.filter_probability, power, lambda part, _: filter_bands(part, generator))
    power = some(settings.codec_probability, power, lambda part, _: code(part, generator))
    return some(settings.mask_probability, power, lambda part, _: mask(part, generator))


def draw_tempo(count: int, settings: Augmentation, generator: Generator) -> Tensor:
    low, high = math.log(settings.lowest_tempo), math.log(settings.highest_tempo)
    drawn = torch.exp(uniform(count, low, high, generator))
    return torch.where(_sometimes(count, settings.tempo_probability, generator), drawn, torch.ones(count))


def draw_shift_bands(count: int, settings: Augmentation, generator: Generator) -> Tensor:
    drawn = (
        uniform(count, -settings.shift_semitones, settings.shift_semitones, generator) * BANDS_PER_SEMITONE
    )
    return torch.where(_sometimes(count, settings.shift_probability, generator), drawn, torch.zeros(count))
