import math

import pytest

from index.plainness import SURE_OF_TEMPO_S, plainness


@pytest.mark.parametrize(
    ("shift", "tempo", "length_s", "expected"),
    [
        pytest.param(0.0, 1.0, 10.0, 2.0, id="a copy"),
        pytest.param(0.0, 1.0, 60.0, 2.0, id="a long copy is no plainer"),
        pytest.param(0.0, 1.0, 1.0, 1.0, id="a second tells no tempo"),
        pytest.param(0.0, 1.15, 10.0, 1.0, id="stretched, its pitch kept"),
        pytest.param(2.0, 1.0, 10.0, 1.0, id="transposed, its tempo kept"),
        pytest.param(2.0, 2.0 ** (2.0 / 12.0), 10.0, 1.0, id="played faster"),
        pytest.param(2.0, 2.0 ** (-2.0 / 12.0), 10.0, 0.0, id="higher and slower"),
        pytest.param(1.3, 0.9, 10.0, 0.0, id="anything"),
    ],
)
def test_each_coincidence_counts_once(shift: float, tempo: float, length_s: float, expected: float) -> None:
    assert plainness(shift_semitones=shift, tempo_ratio=tempo, length_s=length_s) == pytest.approx(expected)


def test_short_stretches_say_less_about_the_tempo() -> None:
    lengths = (0.5, 1.0, 2.0, 5.0, 8.0, SURE_OF_TEMPO_S)
    said = [plainness(shift_semitones=3.0, tempo_ratio=1.0, length_s=length_s) for length_s in lengths]
    assert said == sorted(said)
    assert said[0] == 0.0
    assert said[2] == pytest.approx(math.log10(2.0))
