"""Ears: arrays in, numbers out. Knows nothing of Kafka, Beam or SQL."""
