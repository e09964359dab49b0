from __future__ import annotations

from classifiers.ai.sign_checks import SignChecks
from classifiers.ai.sign_comb import Comb


class TestComb(SignChecks):
    sign = Comb()
