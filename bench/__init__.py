"""CloneBench and speed measurements: Soundalike and its peers in one run."""

import soundalike  # noqa: F401 -- says how OpenMP waits, before torch and FAISS load it
