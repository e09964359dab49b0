from __future__ import annotations

from classifiers.ai.sign_checks import SignChecks
from classifiers.ai.sign_timing import Timing


class TestTiming(SignChecks):
    sign = Timing()
