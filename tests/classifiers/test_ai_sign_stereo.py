from __future__ import annotations

from classifiers.ai.sign_stereo import Stereo
from classifiers.ai.sign_checks import SignChecks


class TestStereo(SignChecks):
    sign = Stereo()
