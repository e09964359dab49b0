from __future__ import annotations

from classifiers.ai.sign_texture import Texture
from classifiers.ai.sign_checks import SignChecks


class TestTexture(SignChecks):
    sign = Texture()
