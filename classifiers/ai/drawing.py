"""The picture behind an assessment: the spectrum with what was found in it, and the score along time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from classifiers.ai.calibration import ACCUSING
from classifiers.ai.detector import REPEATS, STRIDE, Assessment
from classifiers.ai.listening import BIN_HZ, BINS, HIGHEST_HZ, Listening, decibels, listen, power
from classifiers.ai.mixed import HUMAN_AT_MOST, MACHINE_AT_LEAST, MIXED
from classifiers.ai.sign_drawing import draw_stride
from classifiers.ai.sign_repeats import RETURNED
from classifiers.audio import Audio
from soundalike.errors import SettingsError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN, DPI = 11.0, 110
SPECTRUM_IN, SCORE_IN, TONES_IN, SIGN_IN = 4.2, 2.4, 2.2, 0.3
RANGE_DB: Final = 80.0
COLUMNS: Final = 1_000
MACHINE, PEOPLE, UNDECIDED = "tab:red", "tab:green", "tab:blue"


def draw(audio: Audio, assessment: Assessment, path: Path, *, title: str, marks: Sequence[str] = ()) -> None:
    """Write a PNG. SettingsError without matplotlib, or when the file can't be written.

    marks: what the file says of its origin, a line each. Of what there is no ground to speak only the
    spectrum is shown.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 -- slow, and only for pictures
    except ImportError as error:
        raise SettingsError("pictures need matplotlib: pip install matplotlib") from error
    listening = listen(audio)
    signs_in = 1.0 + SIGN_IN * len(assessment.signs)
    heights = [SPECTRUM_IN, SCORE_IN, TONES_IN, signs_in] if assessment.known else [SPECTRUM_IN]
    figure = Figure(figsize=(WIDTH_IN, sum(heights) + 0.8), layout="constrained")
    spectrum, *rest = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    figure.suptitle("\n".join((title, headline(assessment), *marks)), fontsize=11)
    _draw_spectrum(figure, spectrum, audio, listening)
    if assessment.known:
        score, tones, signs = rest
        _draw_score(score, assessment, end_s=listening.edges_s[-1][1])
        what = "blurred lattice" if draw_stride(tones, listening).blurs else "tones"
        start_s = listening.stretch_start_s
        tones.set_title(f"{what}, {start_s:.0f}–{start_s + listening.stretch_s:.0f} s")
        _draw_signs(signs, assessment)
    try:
        figure.savefig(path, format="png", dpi=DPI)
    except OSError as error:
        raise SettingsError(f"can't write the picture {path}: {error.strerror or error}") from error


def headline(assessment: Assessment) -> str:
    """What is said of it, in a few lines for a person."""
    if not assessment.known:
        return f"no ground to speak ({assessment.reason})"
    said = (
        f"machine-made with probability {assessment.probability:.2f} "
        f"({assessment.low:.2f}–{assessment.high:.2f}); "
        f"{assessment.false_positive_rate:.1%} of human recordings score as high"
    )
    more = [assessment.reason] if assessment.reason else []
    return "\n".join(
        (said, *more, *(f"{MIXED}: {sign.detail}" for sign in assessment.signs if sign.name == MIXED))
    )


def _draw_spectrum(figure: Figure, axes: Axes, audio: Audio, listening: Listening) -> None:
    """Levels along time; on them the stride's tones, and the strokes that come back."""
    level_db = _levels(audio)
    shade = axes.imshow(
        level_db.T, origin="lower", aspect="auto", cmap="magma", vmin=-RANGE_DB, vmax=0,
        extent=(0, audio.duration_s, 0, level_db.shape[1] * BIN_HZ / 1000), interpolation="nearest",
    )  # fmt: skip
    figure.colorbar(shade, ax=axes, label="dB below the loudest")
    if listening.band_limit_hz < HIGHEST_HZ:
        axes.axhline(listening.band_limit_hz / 1000, color="cyan", lw=1.0, ls=":", label="ends here")
    start_s, found = listening.stretch_start_s, STRIDE.find(listening)
    if found.strength > 0:
        label = f"tones at multiples of {found.lattice.spacing_hz:.2f} Hz"
        on_khz = np.array(found.lattice.on_hz) / 1000
        axes.hlines(on_khz, start_s, start_s + listening.stretch_s, color="cyan", lw=0.7, label=label)
    again = REPEATS.find(listening)
    back = again.likeness >= RETURNED
    if back.any():
        at_s = start_s + np.unique(np.concatenate((again.at_s[back], again.again_s[back])))
        label = "strokes that come back"
        axes.plot(at_s, np.full(at_s.size, 0.3), "^", color="lime", ms=5, label=label)
    axes.set(
        xlabel="s", ylabel="kHz", ylim=(0, HIGHEST_HZ / 1000), title="spectrum, and what was found in it"
    )
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper right", fontsize=8, framealpha=0.9)


def _levels(audio: Audio) -> NDArray[np.float32]:
    """dB under the loudest of some windows all through the recording, float32 [windows, bins of BIN_HZ]."""
    window = round(audio.sample_rate_hz / BIN_HZ)
    middle = audio.samples[:2].mean(axis=0)
    middle = np.pad(middle, (0, max(window - middle.size, 0)))
    count = int(np.clip(2 * middle.size // window, 1, COLUMNS))
    starts = np.linspace(0, middle.size - window, count).astype(int)
    cut = middle[starts[:, None] + np.arange(window)] * np.hanning(window)
    level = power(np.fft.rfft(cut, axis=1)[:, :BINS].astype(np.complex64))
    return decibels(np.maximum(level / max(float(level.max()), 1e-12), np.float32(1e-12)))


def _draw_score(axes: Axes, assessment: Assessment, *, end_s: float) -> None:
    assert assessment.low is not None
    assert assessment.high is not None
    for start_s, stop_s, probability in assessment.segments:  # silent ones are left out, so no line
        sounds_like = MACHINE if probability >= MACHINE_AT_LEAST else PEOPLE
        color = UNDECIDED if HUMAN_AT_MOST < probability < MACHINE_AT_LEAST else sounds_like
        axes.hlines(probability, start_s, stop_s, color=color, lw=3.0)
    axes.axhspan(assessment.low, assessment.high, color="tab:blue", alpha=0.15, label="the recording")
    axes.axhline(ACCUSING, color=MACHINE, lw=0.8, ls="--", label="where the policy acts")
    axes.legend(loc="center right", fontsize=8)
    axes.set(ylim=(-0.03, 1.03), xlim=(0, end_s), xlabel="s", ylabel="probability", title="score along time")


def _draw_signs(axes: Axes, assessment: Assessment) -> None:
    shown = [sign for sign in assessment.signs if sign.name != MIXED]  # a share, and in the headline
    names, values = [sign.name for sign in shown], [sign.value for sign in shown]
    axes.barh(range(len(names)), values, color=[MACHINE if value > 0 else PEOPLE for value in values])
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()  # as they are listed: what speaks the loudest first
    axes.axvline(0, color="black", lw=0.6)
    axes.set(
        xlim=(-4.2, 4.2),
        xlabel="log odds by this sign alone: left for people, right for a machine",
        title="signs",
    )
