"""CloneBench and speed measurements: Soundalike and its peers in one run."""
