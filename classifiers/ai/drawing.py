"""The picture behind an assessment: the spectrum with what was found in it, and the score along time."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from classifiers.ai.calibration import ACCUSING
from classifiers.ai.detector import Assessment
from classifiers.ai.listening import BIN_HZ, BINS, listen
from classifiers.audio import Audio
from soundalike.errors import SettingsError

WIDTH_IN, HEIGHT_IN, DPI = 11.0, 9.0, 110
RANGE_DB: Final = 80.0


def draw(audio: Audio, assessment: Assessment, path: Path, *, title: str) -> None:
    """Write a PNG. SettingsError without matplotlib, or when the file can't be written."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 -- slow, and only for pictures
    except ImportError as error:
        raise SettingsError("pictures need matplotlib: pip install matplotlib") from error
    listening = listen(audio)
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), layout="constrained")
    axes = figure.subplots(3, 1, height_ratios=(3, 2, 2))
    figure.suptitle(f"{title}\n{headline(assessment)}", fontsize=11)

    looks = listening.mid_db.mean(axis=1)  # [looks, BINS]
    edges_s = [start_s for start_s, _ in listening.edges_s] + [listening.edges_s[-1][1]]
    edges_khz = np.arange(BINS + 1) * BIN_HZ / 1000
    shade = axes[0].pcolormesh(
        edges_s, edges_khz, looks.T, vmin=-RANGE_DB, vmax=0, cmap="magma", rasterized=True
    )
    figure.colorbar(shade, ax=axes[0], label="dB below the loudest")
    axes[0].axhline(listening.band_limit_hz / 1000, color="cyan", lw=0.8, ls=":", label="ends here")
    axes[0].set(ylabel="kHz", title="level of each segment")
    axes[0].legend(loc="upper right", fontsize=7)

    if assessment.known:
        for start_s, end_s, probability in assessment.segments:  # silent ones are left out, so no line
            axes[1].hlines(probability, start_s, end_s, color="tab:blue")
        assert assessment.low is not None
        assert assessment.high is not None
        axes[1].axhspan(assessment.low, assessment.high, color="tab:blue", alpha=0.15, label="the recording")
        axes[1].axhline(ACCUSING, color="tab:red", lw=0.8, ls="--", label="where the policy acts")
        axes[1].legend(loc="center right", fontsize=7)
    axes[1].set(
        ylim=(0, 1), xlim=(0, edges_s[-1]), xlabel="s", ylabel="probability", title="score along time"
    )

    names = [sign.name for sign in assessment.signs]
    values = [sign.value for sign in assessment.signs]
    colours = ["tab:red" if value > 0 else "tab:green" for value in values]
    axes[2].barh(range(len(names)), values, color=colours)
    axes[2].set_yticks(range(len(names)), names)
    axes[2].axvline(0, color="black", lw=0.6)
    axes[2].set(xlim=(-4.2, 4.2), xlabel="log odds: left human, right machine-made", title="signs")
    try:
        figure.savefig(path, format="png", dpi=DPI)
    except OSError as error:
        raise SettingsError(f"can't write the picture {path}: {error.strerror or error}") from error


def headline(assessment: Assessment) -> str:
    """One line for a person."""
    if not assessment.known:
        return f"no ground to speak ({assessment.reason})"
    said = (
        f"machine-made with probability {assessment.probability:.2f} "
        f"({assessment.low:.2f}–{assessment.high:.2f}); "
        f"{assessment.false_positive_rate:.1%} of human music sounds like this or more so"
    )
    return f"{said}\n{assessment.reason}" if assessment.reason else said
