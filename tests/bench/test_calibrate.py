from pathlib import Path

import numpy as np
import pytest

from bench.calibrate import draw, fit_tail
from soundalike.errors import SettingsError


def test_an_exponential_tail_is_recovered() -> None:
    random = np.random.default_rng(0)
    scores = 4.0 + random.exponential(0.5, size=20_000)
    fit = fit_tail(scores)
    assert fit.score_per_decade == pytest.approx(0.5 * np.log(10), rel=0.08)
    at_one_percent = fit.score_at_one + 2 * fit.score_per_decade
    assert np.mean(scores >= at_one_percent) == pytest.approx(0.01, rel=0.25)


def test_queries_without_a_match_count() -> None:
    random = np.random.default_rng(0)
    scores = np.where(random.random(20_000) < 0.3, 4.0 + random.exponential(0.5, size=20_000), 0.0)
    fit = fit_tail(scores)
    assert fit.with_a_match == np.count_nonzero(scores)
    at_one_percent = fit.score_at_one + 2 * fit.score_per_decade
    assert np.mean(scores >= at_one_percent) == pytest.approx(0.01, rel=0.25)


def test_too_few_queries_are_refused() -> None:
    with pytest.raises(SettingsError, match="at least 100"):
        fit_tail(np.ones(10))


def test_a_larger_draw_holds_the_smaller() -> None:
    files = [Path(f"{number}.ogg") for number in range(50)]
    few, many = draw(files, 10), draw(files, 40)
    assert many[:10] == few
    assert len(set(many)) == 40
    assert few != files[:10]
    assert draw(files, None) == files
    with pytest.raises(SettingsError, match="has 50"):
        draw(files, 51)
