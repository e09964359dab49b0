"""What the job says about itself: Prometheus metrics, served on a port of its own.

`Metrics` holds one `CollectorRegistry` and speaks in events of the domain (`metrics.verdict(...)`); nothing
is registered at import. Inside the Beam graph use `process_metrics()`: Beam pickles each DoFn and works with
unpickled copies, so a `Metrics` held by a DoFn would be neither picklable (locks) nor the one that is served.
The process-wide one is; on a runner with several worker processes each process serves its own.

Labels have few values by construction: verdicts, rule names, error reasons, stages, partitions. Never an id.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib import metadata

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from pipeline.evidence import AiAssessment, Verdict
from pipeline.health import JobHealth
from pipeline.metrics_server import HealthCheck, MetricsServer

STAGE_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""From parsing one event (well under 1 ms) to decoding and embedding an hour-long mix (tens of seconds)."""

AGE_BUCKETS_S = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
"""Dense where the promise lies ("within seconds"), then up to the backlog that an outage leaves."""


PROBABILITY_BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
"""A drift of the whole histogram means other music or another detector; the last three are where it acts."""


class Metrics:
    """All counters of one process. Thread-safe, as prometheus_client is."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.health = JobHealth()
        registry = self.registry
        self._uploads = Counter("soundalike_uploads", "Upload events read", registry=registry)
        self._verdicts = Counter(
            "soundalike_verdicts",
            "Verdicts given, by the rule that fired",
            ["verdict", "rule"],
            registry=registry,
        )
        self._undecodable = Counter(
            "soundalike_undecodable",
            "Uploads whose audio can't be judged, by reason",
            ["reason"],
            registry=registry,
        )
        self._ai_probability = Histogram(
            "soundalike_ai_probability", "What the second ear says of uploads that it has ground to judge",
            buckets=PROBABILITY_BUCKETS, registry=registry,
        )  # fmt: skip
        self._ai_unknown = Counter(
            "soundalike_ai_unknown", "Uploads that the second ear has no ground to judge", registry=registry
        )
        self._ai_grounds = Counter(
            "soundalike_ai_grounds",
            "Uploads that count as machine-made, by ground; one upload may have several",
            ["ground"],
            registry=registry,
        )
        self._provenance = Counter(
            "soundalike_provenance",
            "Claims about origin that are there, by kind and state",
            ["kind", "state"],
            registry=registry,
        )
        self._dead_letters = Counter(
            "soundalike_dead_letters",
            "Records moved to the dead-letter topic",
            ["stage", "reason"],
            registry=registry,
        )
        self._stage_seconds = Histogram(
            "soundalike_stage_seconds", "Time that one upload spends in a stage", ["stage"],
            buckets=STAGE_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self._age_seconds = Histogram(
            "soundalike_end_to_end_seconds", "From the time of the upload event to its verdict",
            buckets=AGE_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self._lag = Gauge(
            "soundalike_kafka_lag_records",
            "Records not yet read, by partition",
            ["topic", "partition"],
            registry=registry,
        )
        self._generation = Gauge(
            "soundalike_index_generation", "Generation of the catalog that is served", registry=registry
        )
        self._tracks = Gauge(
            "soundalike_index_tracks", "Tracks in the catalog that is served", registry=registry
        )
        self._stale = Gauge(
            "soundalike_index_stale",
            "1 while the catalog that is served lags behind what is stored for longer than allowed",
            registry=registry,
        )
        self._refused_shards = Gauge(
            "soundalike_index_refused_shards", "Damaged shards that are not served", registry=registry
        )
        self._audio_seconds = Counter(
            "soundalike_audio_seconds", "Seconds of audio judged", registry=registry
        )
        self._restarts = Counter(
            "soundalike_job_restarts", "Times the job was restarted after a failure", registry=registry
        )
        self._catalog_changes = Counter(
            "soundalike_catalog_changes",
            "Changes of the catalog read from its topic",
            ["change", "outcome"],
            registry=registry,
        )
        self._catalog_delay = Histogram(
            "soundalike_catalog_change_seconds", "From the time of a catalog event to its being in effect",
            buckets=AGE_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self._quarantined = Gauge(
            "soundalike_quarantined_references",
            "References that flooded and wait for a person",
            registry=registry,
        )
        build = Info("soundalike_build", "Version of the software", registry=registry)
        build.info({"version": _version()})

    def upload_read(self) -> None:
        """An upload event was read, well-formed or not."""
        self._uploads.inc()

    def verdict(
        self, verdict: Verdict, *, rule: str, uploaded_at: datetime | None = None, now: float | None = None
    ) -> None:
        """A verdict was given. `uploaded_at`: the upload event's time, for the age; `now`: epoch s.

        Clocks differ: a time in the future counts as age 0.
        """
        self._verdicts.labels(verdict=verdict.value, rule=rule).inc()
        if uploaded_at is not None:
            age_s = (time.time() if now is None else now) - uploaded_at.timestamp()
            self._age_seconds.observe(max(0.0, age_s))

    def origin(self, ai: AiAssessment) -> None:
        """What was found out about who or what made an upload. Absent claims are not counted."""
        if ai.probability is None:
            self._ai_unknown.inc()
        else:
            self._ai_probability.observe(ai.probability)
        for ground in ai.grounds:
            self._ai_grounds.labels(ground=ground).inc()
        for claim in ai.provenance:
            if claim.state != "absent":
                self._provenance.labels(kind=claim.kind, state=claim.state).inc()

    def undecodable(self, reason: str) -> None:
        """An upload's audio can't be judged; `reason` is the error's stable code."""
        self._undecodable.labels(reason=reason).inc()

    def dead_letter(self, *, stage: str, reason: str) -> None:
        """A record went to the dead-letter topic."""
        self._dead_letters.labels(stage=stage, reason=reason).inc()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the body as one upload's stay in stage `name`; a failing body counts too."""
        with self._stage_seconds.labels(stage=name).time():
            yield
        self.health.moved()

    def stage_took(self, name: str, seconds: float) -> None:
        """The same for a time that was measured elsewhere, in seconds."""
        self._stage_seconds.labels(stage=name).observe(seconds)

    def audio_judged(self, seconds: float) -> None:
        """So many seconds of audio were judged."""
        self._audio_seconds.inc(seconds)

    def lag(self, *, topic: str, partition: int, records: int) -> None:
        """Records of a partition that wait to be read."""
        self._lag.labels(topic=topic, partition=str(partition)).set(max(0, records))
        self.health.moved()

    def partition_lost(self, *, topic: str, partition: int) -> None:
        """Another process reads this partition now: its lag is no longer ours to tell."""
        with suppress(KeyError):  # told before its first lag
            self._lag.remove(topic, str(partition))

    def index(self, *, generation: int, tracks: int) -> None:
        """This generation of the catalog is served from now on."""
        self._generation.set(generation)
        self._tracks.set(tracks)

    def index_health(self, *, is_stale: Callable[[], bool], refused_shards: Callable[[], int]) -> None:
        """From now on both are asked at each scrape."""
        self._stale.set_function(lambda: float(is_stale()))
        self._refused_shards.set_function(lambda: float(refused_shards()))

    def catalog_change(
        self, change: str, *, outcome: str, said_at: datetime | None = None, now: datetime | None = None
    ) -> None:
        """A change of the catalog is in effect, or was `stale`; `said_at`: the time of its event."""
        self._catalog_changes.labels(change=change, outcome=outcome).inc()
        if said_at is not None and outcome == "applied":
            now_s = time.time() if now is None else now.timestamp()
            self._catalog_delay.observe(max(0.0, now_s - said_at.timestamp()))

    def quarantined(self, references: int) -> None:
        """So many references wait for a person."""
        self._quarantined.set(references)

    def job_failed(self, error: BaseException) -> None:
        """The job stopped; its supervisor starts it again."""
        self._restarts.inc()
        self.health.failed(error)


_lock = threading.Lock()
_of_process: Metrics | None = None


def process_metrics() -> Metrics:
    """The one `Metrics` of this process, made at the first call."""
    global _of_process  # noqa: PLW0603 (why it has to be: the module's docstring)
    with _lock:
        if _of_process is None:
            _of_process = Metrics()
        return _of_process


def serve(
    port: int, addr: str = "127.0.0.1", *, metrics: Metrics | None = None, health: HealthCheck | None = None
) -> MetricsServer:
    """Serve `metrics` (default: this process's) on `addr:port` until `close()`; port 0 takes a free one.

    Raises SettingsError if the address can't be listened on.
    """
    return MetricsServer((metrics or process_metrics()).registry, port=port, addr=addr, health=health)


def _version() -> str:
    try:
        return metadata.version("soundalike")
    except metadata.PackageNotFoundError:  # run from a source tree that was not installed
        return "unknown"
