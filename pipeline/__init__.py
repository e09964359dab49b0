"""The way of an upload: events in, one Beam graph, verdicts out."""
