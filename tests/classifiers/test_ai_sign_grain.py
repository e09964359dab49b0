from __future__ import annotations

from classifiers.ai.sign_checks import SignChecks
from classifiers.ai.sign_grain import Grain


class TestGrain(SignChecks):
    sign = Grain()
