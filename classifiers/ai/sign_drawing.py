"""A picture for each sign: what the second ear looked at in this recording, for people who have to judge it.

    pictures = draw_signs(audio, ("comb", "texture"))
    pictures["comb"].png            # bytes of a PNG, about 900 x 420 pixels
    pictures["comb"].caption        # one sentence that says what to look for

Pictures show measurements, not conclusions: the same features stand in human music too, and the caption says
what would be typical of either.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from classifiers.ai.blurred_lattice import HIGH_HZ, MOMENTS, prominence
from classifiers.ai.listening import BIN_HZ, BINS, DEPTH_DB, Listening, listen
from classifiers.ai.sign_comb import FINE_BIN_HZ, flattened_spectrum
from classifiers.ai.sign_repeats import RATE_HZ, STROKE_S, Repeats, whitened
from classifiers.ai.sign_stride import LOWEST_TONE_HZ, Found, Stride
from classifiers.ai.stride_band import Band, to_band
from classifiers.audio import Audio
from soundalike.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_IN, HEIGHT_IN, DPI = 6.0, 2.8, 150
BANDS_HZ: Final = ((200, 800), (800, 2000), (2000, 4000), (4000, 8000), (8000, 12_000), (12_000, 15_500))
RAYLEIGH_DB: Final = 5.57
"""Standard deviation of the level of Gaussian noise in a spectrogram's cell."""
SMOOTH_BINS: Final = 15
LEAST_SHOWN_DB: Final = 11.0
STRIDE: Final = Stride()
REPEATS: Final = Repeats()
SHOWN_MS: Final = (5.0, 35.0)
"""Of a stroke: its beginning, at which single swings can be told apart."""


@dataclass(frozen=True, slots=True)
class Picture:
    caption: str
    png: bytes


def draw_signs(audio: Audio, names: Iterable[str]) -> dict[str, Picture]:
    """A picture for every name that can be drawn. SettingsError without matplotlib."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 -- slow, and only for pictures
    except ImportError as error:
        raise SettingsError("pictures need matplotlib: pip install matplotlib") from error
    listening = listen(audio)
    pictures = {}
    for name in names:
        if name not in _DRAWN:
            continue
        figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
        axes = figure.subplots()
        axes.tick_params(labelsize=8)
        caption = _DRAWN[name](axes, listening)
        axes.xaxis.label.set_fontsize(8)
        axes.yaxis.label.set_fontsize(8)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=DPI)
        pictures[name] = Picture(caption, buffer.getvalue())
    return pictures


def _comb(axes: Axes, listening: Listening) -> str:
    flat = flattened_spectrum(listening).mean(axis=0)
    hz = np.arange(flat.size) * FINE_BIN_HZ
    shown = (hz >= 5000) & (hz <= 6500)
    axes.plot(hz[shown] / 1000, flat[shown], color="#1c55b8", lw=0.9)
    axes.set(xlabel="kHz", ylabel="dB above the running mean")
    axes.grid(alpha=0.3)
    return (
        "The averaged spectrum, flattened, a stretch of it: lines at one even spacing through the whole"
        " spectrum come from strided decoders; unevenly spaced ones from held notes."
    )


def _scatter(axes: Axes, listening: Listening) -> str:
    rest_db = listening.mid_db - uniform_filter1d(listening.mid_db, SMOOTH_BINS, axis=2, mode="nearest")
    heard = listening.mid_db > -DEPTH_DB + 1
    scatter = []
    for low_hz, high_hz in BANDS_HZ:
        band = slice(round(low_hz / BIN_HZ), round(high_hz / BIN_HZ))
        cells = rest_db[..., band][heard[..., band]]
        scatter.append(float(cells.std()) if cells.size else 0.0)
    places = np.arange(len(BANDS_HZ))
    axes.bar(places, scatter, color="#1c55b8", width=0.6)
    axes.axhline(RAYLEIGH_DB, color="#a52a2a", lw=1.2, ls="--", label="natural noise (Rayleigh, 5.6 dB)")
    axes.set_xticks(places, [f"{low / 1000:g}–{high / 1000:g}" for low, high in BANDS_HZ])
    axes.set(xlabel="band in kHz", ylabel="scatter of cells in dB")
    axes.legend(fontsize=7, loc="lower right")
    return (
        "How much neighbouring cells of the spectrogram differ: hiss, breath and cymbals scatter by the"
        " dashed line; much less or more is noise from a learnt palette, or tones that fill the band."
    )


def _grain(axes: Axes, listening: Listening) -> str:
    level_db = listening.mid_db.reshape(-1, BINS)
    low, high = round(2000 / BIN_HZ), round(8000 / BIN_HZ)
    frames = level_db[: min(len(level_db), 400), low:high]
    rest_db = frames - uniform_filter1d(frames, SMOOTH_BINS, axis=1, mode="nearest")
    axes.imshow(
        rest_db.T, origin="lower", aspect="auto", cmap="magma", vmin=-15, vmax=15,
        extent=(0, len(frames) * 0.025, 2, 8), interpolation="nearest",
    )  # fmt: skip
    axes.set(xlabel="s", ylabel="kHz")
    return (
        "Fine structure with the level taken out: music is irregular here; faint steady lines or a lattice"
        " that does not follow the notes is the frame grid of a decoder."
    )


def _attacks(axes: Axes, listening: Listening) -> str:
    look = _liveliest(listening)
    level_db = listening.mid_db[look]
    colours = ("#1c55b8", "#17693a", "#c25b12", "#8a2bb0")
    for (low_hz, high_hz), colour in zip(BANDS_HZ[1:5], colours, strict=True):
        band = level_db[:, round(low_hz / BIN_HZ) : round(high_hz / BIN_HZ)].mean(axis=1)
        rise = np.maximum(np.diff(band), 0)
        axes.plot(np.arange(rise.size) * 0.025, rise, lw=1.0, color=colour,
                  label=f"{low_hz / 1000:g}–{high_hz / 1000:g} kHz")  # fmt: skip
    axes.set(xlabel="s", ylabel="rise in dB per 25 ms")
    axes.legend(fontsize=7, ncols=4, loc="upper right")
    axes.grid(alpha=0.3)
    return (
        "Rises of level by band in the liveliest part: a struck note rises in all bands at once; rises that"
        " are soft or fall apart from band to band are blurred by a decoder's frames."
    )


def _stride(axes: Axes, listening: Listening) -> str:
    if draw_stride(axes, listening).blurs:
        return (
            "All multiples of one rate laid over each other, as they stand in short spectra: a peak in the"
            " middle is what is heard of a decoder's tones that are soft, or that a shift of pitch blurred."
            " A sequencer, a synthesiser or the vocoder itself can look alike, so it counts and accuses"
            " nobody."
        )
    return (
        "Tones of the sound, a sixtieth of a hertz wide: those at exact multiples of one rate, all through"
        " the band, are what a decoder adds to each of its strides. A synthesiser that holds one pitch can"
        " look alike."
    )


def _draw_blurred(axes: Axes, listening: Listening, spacing_hz: float) -> None:
    spots = to_band(listening.stretch, rate_hz=listening.sample_rate_hz)
    power, bin_hz = spots.short_power(MOMENTS)
    over = prominence(power, bin_hz=bin_hz)
    off_hz = np.arange(-spacing_hz / 2, spacing_hz / 2, bin_hz / 2)
    low, high = HIGH_HZ[0], min(HIGH_HZ[1], (over.size - 2) * bin_hz) - spacing_hz
    at_hz = spacing_hz * np.arange(np.ceil(low / spacing_hz), np.floor(high / spacing_hz) + 1)
    mean = over[np.rint((at_hz[:, None] + off_hz) / bin_hz).astype(int)].mean(axis=0)
    label = f"mean of {at_hz.size} multiples of {spacing_hz:.2f} Hz"
    axes.plot(off_hz, mean, color="#1c55b8", lw=1.1, label=label)
    axes.axvline(0.0, color="#a52a2a", lw=1.0, ls="--")
    axes.legend(fontsize=7)
    axes.set(xlabel="Hz from the nearest multiple", ylabel="standard deviations of chance", xmargin=0.0)
    axes.grid(alpha=0.3)


def draw_stride(axes: Axes, listening: Listening) -> Found:
    """The tones of the stretch, and which of them the stride's rate explains; or a blurred lattice."""
    found = STRIDE.find(listening)
    if found.blurs:
        _draw_blurred(axes, listening, found.blurred.spacing_hz)
    else:
        _draw_tones(axes, listening, found)
    return found


def _draw_tones(axes: Axes, listening: Listening, found: Found) -> None:
    looked_at = listening.stretch_side if found.side else listening.stretch
    band = Band.levelled(looked_at, rate_hz=listening.sample_rate_hz)
    over, bin_hz = (np.zeros(0, dtype=np.float32), 1.0) if band is None else (band.over, band.bin_hz)
    first = round(LOWEST_TONE_HZ / bin_hz)
    height = 20 * np.log10(np.maximum(over[first:], 1.0))
    shown = np.flatnonzero(height > LEAST_SHOWN_DB)  # a million bins, most of them chance
    khz = (shown + first) * bin_hz / 1000
    axes.vlines(khz, LEAST_SHOWN_DB, height[shown], color="#9aa4b2", lw=0.7)
    on = np.array(found.lattice.on_hz)
    if on.size:
        tops = height[np.clip(np.round(on / bin_hz).astype(int) - first, 0, height.size - 1)]
        label = f"multiples of {found.lattice.spacing_hz:.2f} Hz"
        axes.vlines(on / 1000, LEAST_SHOWN_DB, tops, color="#a52a2a", lw=1.2, label=label)
        axes.legend(fontsize=7)
    where = "; the channels' difference" if found.side else ""
    axes.set(
        xlabel=f"frequency in kHz{where}", ylabel="dB above the neighbourhood", ylim=(LEAST_SHOWN_DB, None)
    )
    axes.grid(alpha=0.3)


def _repeats(axes: Axes, listening: Listening) -> str:
    found = REPEATS.find(listening)
    if not len(found.likeness):
        axes.text(0.5, 0.5, "no strokes to compare", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return "Too few strokes begin in the minute that is looked at, so this sign is silent."
    band = whitened(listening.stretch, rate_hz=listening.sample_rate_hz)
    middle = int(np.argsort(found.likeness)[len(found.likeness) // 2])
    length = round(STROKE_S * RATE_HZ)
    stroke, again = (band[round(at_s[middle] * RATE_HZ) :][:length] for at_s in (found.at_s, found.again_s))
    again = np.pad(again, (0, length - again.size))
    if stroke @ again < 0:  # the same waveform upside down is the same to the sign
        again = -again
    ms = 1000 * np.arange(length) / RATE_HZ
    for cut, at_s, colour, word in (
        (stroke, found.at_s, "#1c55b8", "a stroke"),
        (again, found.again_s, "#c25b12", "the closest to it"),
    ):
        label = f"{word}, {listening.stretch_start_s + at_s[middle]:.2f} s"
        axes.plot(ms, cut / max(float(np.linalg.norm(cut)), 1e-9), color=colour, lw=1.0, label=label)
    axes.set(xlabel="ms", ylabel="1 to 3.6 kHz, levelled", xlim=SHOWN_MS, yticks=[])
    axes.legend(
        fontsize=7, loc="upper right", title=f"likeness {found.likeness[middle]:.2f}", title_fontsize=7
    )
    return (
        "The stroke of median likeness and what comes closest to it in the minute: samplers and loops play"
        " the same waveform again, which speaks for people; decoders and players do not."
    )


def _liveliest(listening: Listening) -> int:
    changes: NDArray[np.float32] = np.maximum(np.diff(listening.mid_db.mean(axis=2), axis=1), 0).sum(axis=1)
    return int(changes.argmax())


_DRAWN: Final[dict[str, Callable[[Axes, Listening], str]]] = {
    "comb": _comb,
    "texture": _scatter,
    "grain": _grain,
    "attacks": _attacks,
    "stride": _stride,
    "repeats": _repeats,
}
