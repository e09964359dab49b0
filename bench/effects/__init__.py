"""What is done to recordings on their way into an upload, as plain functions on samples.

All take and return float32 [channels, samples]; randomness comes from a generator that the caller seeds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
