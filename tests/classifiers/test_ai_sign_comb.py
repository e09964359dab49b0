from __future__ import annotations

from classifiers.ai.sign_comb import Comb
from classifiers.ai.sign_checks import SignChecks


class TestComb(SignChecks):
    sign = Comb()
