from __future__ import annotations

from classifiers.ai.sign_timing import Timing
from classifiers.ai.sign_checks import SignChecks


class TestTiming(SignChecks):
    sign = Timing()
