"""The running job: one graph on a named Beam runner, drained by a signal, restarted when it fails.

Locally the graph runs on Beam's FnApiRunner in this process, one bundle at a time. It is named explicitly,
because `DirectRunner` chooses among three runners by itself and one of those never calls bundle finalizers:
offsets would never be committed. A bundle that fails ends the whole graph there; this module builds and runs
it again, from the offsets that were committed, so nothing is lost and what was in hand is written twice.

Any other runner is chosen by its own options (`--runner=FlinkRunner --flink_master=…`), which are passed on
to Beam as they are.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.portability import common_urns
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineState
from apache_beam.runners.worker.bundle_processor import DATA_OUTPUT_URN

from pipeline.endless_runner import EndlessFnApiRunner
from pipeline.source import ReadLog, ReadSettings, draining
from soundalike.errors import BrokerError, JobFailed, SettingsError

_log = logging.getLogger(__name__)

Build = Callable[[Any], object]
"""Takes the PCollection[Record] of the source and hangs the whole graph on it, sinks included."""

LOCAL_RUNNER = "FnApiRunner"

_UNFIT_RUNNERS = ("DirectRunner", "BundleBasedDirectRunner", "SwitchingDirectRunner")

_REMOTE_POLL_S = 0.5


@dataclass(frozen=True)
class RestartPolicy:
    """When a failed job is run again. A run of `healthy_after_s` forgives all failures before it.

    The defaults ride out about four minutes of a broker or a store being away. After that the process gives
    up with an error, so that whatever supervises it (Kubernetes, systemd, a person) gets a fresh process and
    sees it fail.
    """

    first_backoff_s: float = 1.0
    max_backoff_s: float = 30.0
    max_failures: int = 12
    healthy_after_s: float = 60.0

    def backoff_s(self, failures: int) -> float:
        """Seconds to wait after this many failures in a row (1, 2, …): doubling, up to the maximum."""
        return float(min(self.max_backoff_s, self.first_backoff_s * 2 ** (failures - 1)))


DEFAULT_RESTART = RestartPolicy()


def run_streaming(
    build: Build,
    read: ReadSettings,
    *,
    beam_args: Sequence[str] = (),
    restart: RestartPolicy = DEFAULT_RESTART,
    on_failure: Callable[[Exception], None] | None = None,
) -> int:
    """Run the graph that `build` hangs on the source until it is drained; 0 is the exit status of that.

    SIGTERM or SIGINT drains: the record in hand is finished, its outputs are acknowledged, its offset is
    committed. A second signal ends the process at once with status 128 + signal; nothing is lost, the next
    run reads again what was in hand. `on_failure` is called with the cause of each restart (a metric's
    hook).

    Raises BrokerError if the log can't be read at the start, SettingsError for an unfit runner, ValueError
    for a graph that is no single stage on the local runner, JobFailed when the restarts of `restart` are
    used up.
    """
    options = _options(beam_args)
    draining.clear()
    _require_topic(read)
    failures = 0
    with _signals_drain():
        while not draining.is_set():
            pipeline = _built(build, read, options)
            started_s = time.monotonic()
            try:
                _run(pipeline)
            except Exception as error:
                if time.monotonic() - started_s >= restart.healthy_after_s:
                    failures = 0
                failures += 1
                if on_failure is not None:
                    on_failure(error)
                if draining.is_set():
                    raise JobFailed(
                        f"failed while draining, the next run reads again what was in hand: {_cause(error)}"
                    ) from error
                if failures >= restart.max_failures:
                    raise JobFailed(
                        f"failed {failures} times in a row, lastly with: {_cause(error)}"
                    ) from error
                backoff_s = restart.backoff_s(failures)
                _log.exception("the job failed (%d in a row); again in %.1f s", failures, backoff_s)
                draining.wait(backoff_s)
            else:
                break
    return 0


def require_one_stage(pipeline: Any) -> None:
    """Raise ValueError if the local runner would not run everything after the source as one stage.

    What leaves the source's stage is buffered between two bundles: the source's offsets are committed before
    the second one, the one that writes, has run. Shuffles do that (GroupByKey, Reshuffle, state), and so
    does Flatten.
    """
    _, stages = FnApiRunner().create_stages(pipeline.to_runner_api())
    for stage in stages:
        urns = {transform.spec.urn for transform in stage.transforms}
        if common_urns.sdf_components.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS.urn not in urns:
            continue
        leaks = [t.unique_name for t in stage.transforms if t.spec.urn == DATA_OUTPUT_URN]
        if leaks:
            raise ValueError(
                f"the graph is cut at {', '.join(leaks)}: on {LOCAL_RUNNER} offsets would be committed "
                "before the outputs exist. Do without Flatten and shuffles here, or choose another runner."
            )


def _built(build: Build, read: ReadSettings, options: PipelineOptions) -> Any:
    local = options.view_as(StandardOptions).runner == LOCAL_RUNNER
    pipeline = beam.Pipeline(runner=EndlessFnApiRunner() if local else None, options=options)
    build(pipeline | "Source" >> ReadLog(read))
    if local:
        require_one_stage(pipeline)
    return pipeline


def _run(pipeline: Any) -> None:
    result = pipeline.run()  # the local runner returns from it when the source has ended
    while not PipelineState.is_terminal(result.state):
        if draining.wait(_REMOTE_POLL_S):
            result.cancel()  # the job ends with its command; the group stands at the last checkpoint
            return
    if result.state != PipelineState.DONE:
        raise JobFailed(f"the runner ended the job in state {result.state}")


def _options(beam_args: Sequence[str]) -> PipelineOptions:
    named = any(argument.split("=")[0] == "--runner" for argument in beam_args)
    options = PipelineOptions([*beam_args, *([] if named else [f"--runner={LOCAL_RUNNER}"]), "--streaming"])
    runner = options.view_as(StandardOptions).runner
    if runner in _UNFIT_RUNNERS:
        raise SettingsError(
            f"--runner={runner} can't run this job: it never commits offsets. "
            f"Leave it out for the local {LOCAL_RUNNER}, or name FlinkRunner, PortableRunner, …"
        )
    return options


def _require_topic(read: ReadSettings) -> None:
    reader = read.log.open_reader(read.topic, read.group)
    try:
        if not reader.partitions():
            raise BrokerError(f"topic {read.topic!r} does not exist; create it before reading from it")
    finally:
        reader.close()


def _cause(error: Exception) -> str:
    """The last line of a message: Beam puts a worker's whole traceback into the text of its RuntimeError."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


@contextmanager
def _signals_drain() -> Iterator[None]:
    """While it lasts, a first SIGTERM or SIGINT sets `draining`, and a second one ends the process at once.

    A thread hears of the signals through a pipe. A Python handler would have to wait until the main thread
    is back from whatever C code it is in, and the default action is no substitute: the kernel ignores it for
    process 1 of a container.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals; a job in another one is drained by its owner
        return
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    watcher = threading.Thread(target=_watch_signals, args=(read_end,), name="signals", daemon=True)
    watcher.start()
    previous_end = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    previous = {number: signal.signal(number, _heard) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_end)
        os.close(write_end)
        watcher.join()
        os.close(read_end)


def _heard(_number: int, _frame: object) -> None:
    """Handler that does nothing: the byte in the pipe has already been written."""


def _watch_signals(read_end: int) -> None:
    while received := os.read(read_end, 1):
        number = received[0]
        if number not in (signal.SIGTERM, signal.SIGINT):
            continue
        if draining.is_set():
            os._exit(128 + number)
        _log.info("%s: finishing what is in hand; once more to stop at once", signal.Signals(number).name)
        draining.set()
