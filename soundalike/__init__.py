"""Soundalike: the moderation pipeline between "upload" and "published".

This package is the front door (command line, settings). `soundalike.errors` is the one module
that every other room may import; nothing else here is imported by them.
"""

import os

# Read by OpenMP when torch and FAISS load it, which is later. Its threads otherwise spin while they wait for
# each other: with a busy neighbour on two cores a query took 31 s and 6.1 CPU s instead of 12 and 2.3.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
