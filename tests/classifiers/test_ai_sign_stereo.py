from __future__ import annotations

from classifiers.ai.sign_checks import SignChecks
from classifiers.ai.sign_stereo import Stereo


class TestStereo(SignChecks):
    sign = Stereo()
