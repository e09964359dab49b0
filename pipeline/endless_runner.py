"""Beam's in-process runner, made fit for a graph that never ends.

FnApiRunner merges the metrics of each bundle with those of all bundles before it through a generator that
nobody reads while the graph runs: every bundle adds two generators and its metrics to a chain that is never
let go. Measured with Beam 2.77: 22 kB a bundle, which is 3.8 GB a day for a job that idles at two bundles a
second. Merging at once keeps one value per metric, and the memory stays level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from apache_beam.runners.portability.fn_api_runner import FnApiRunner, fn_runner


class EndlessFnApiRunner(FnApiRunner):  # type: ignore[misc]  # Beam is untyped
    """FnApiRunner whose memory does not grow with the number of bundles."""

    def run_stages(self, stage_context: Any, stages: Any) -> Any:
        merge = fn_runner.consolidate_monitoring_infos
        if not hasattr(merge, "__wrapped__"):
            # There is no seam for it: the function is replaced in the module that calls it, for good. What it
            # returns is the same, a list instead of a generator.
            fn_runner.consolidate_monitoring_infos = _at_once(merge)
        return super().run_stages(stage_context, stages)


def _at_once(merge: Callable[..., Iterable[Any]]) -> Callable[..., list[Any]]:
    @wraps(merge)
    def merged(*arguments: Any, **named: Any) -> list[Any]:
        return list(merge(*arguments, **named))

    return merged
