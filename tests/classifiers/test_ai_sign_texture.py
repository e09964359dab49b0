from __future__ import annotations

from classifiers.ai.sign_checks import SignChecks
from classifiers.ai.sign_texture import Texture


class TestTexture(SignChecks):
    sign = Texture()
