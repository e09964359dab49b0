"""Metrics: what is counted, how it is served, and that nothing happens at import."""

import pickle
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.evidence import AiAssessment, Provenance, Verdict
from pipeline.metrics import AGE_BUCKETS_S, STAGE_BUCKETS_S, Metrics, process_metrics, serve
from pipeline.metrics_server import MetricsServer
from soundalike.errors import SettingsError

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def server(metrics: Metrics) -> Iterator[MetricsServer]:
    with serve(0, metrics=metrics) as running:
        yield running


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def get(server: MetricsServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_counters_start_at_zero_so_that_rates_exist_before_the_first_event(metrics: Metrics) -> None:
    for name in ("uploads_total", "audio_seconds_total", "job_restarts_total", "end_to_end_seconds_count"):
        assert value(metrics, f"soundalike_{name}") == 0.0


def test_a_verdict_is_counted_by_kind_and_rule_and_its_age_measured(metrics: Metrics) -> None:
    uploaded_at = NOW - timedelta(seconds=4)
    metrics.verdict(Verdict.CLEAR, rule="no_match", uploaded_at=uploaded_at, now=NOW.timestamp())
    metrics.verdict(Verdict.CLEAR, rule="no_match")
    assert value(metrics, "soundalike_verdicts_total", verdict="clear", rule="no_match") == 2.0
    assert value(metrics, "soundalike_end_to_end_seconds_count") == 1.0
    assert value(metrics, "soundalike_end_to_end_seconds_sum") == 4.0
    assert value(metrics, "soundalike_end_to_end_seconds_bucket", le="3.0") == 0.0
    assert value(metrics, "soundalike_end_to_end_seconds_bucket", le="5.0") == 1.0


def test_what_is_found_about_origin_is_counted(metrics: Metrics) -> None:
    tag = Provenance(kind="tag", state="found", detail="Suno", says_machine_made=True)
    heard = AiAssessment(
        probability=0.97, low=0.93, high=0.99, known=True, grounds=("mark", "detector"), provenance=(tag,)
    )
    metrics.origin(heard)
    metrics.origin(AiAssessment(reason="too short", provenance=(Provenance(kind="tag", state="absent"),)))

    assert value(metrics, "soundalike_ai_unknown_total") == 1.0
    assert value(metrics, "soundalike_ai_probability_bucket", le="0.95") == 0.0
    assert value(metrics, "soundalike_ai_probability_bucket", le="1.0") == 1.0
    assert value(metrics, "soundalike_ai_grounds_total", ground="mark") == 1.0
    assert value(metrics, "soundalike_ai_grounds_total", ground="detector") == 1.0
    assert value(metrics, "soundalike_provenance_total", kind="tag", state="found") == 1.0
    assert value(metrics, "soundalike_provenance_total", kind="tag", state="absent") is None


def test_an_uploader_whose_clock_is_ahead_gives_age_zero(metrics: Metrics) -> None:
    metrics.verdict(Verdict.CLEAR, rule="x", uploaded_at=NOW + timedelta(hours=1), now=NOW.timestamp())
    assert value(metrics, "soundalike_end_to_end_seconds_sum") == 0.0


def test_the_clock_is_used_when_no_time_is_given(metrics: Metrics) -> None:
    metrics.verdict(Verdict.CLEAR, rule="x", uploaded_at=datetime.now(UTC) - timedelta(seconds=100))
    age_s = value(metrics, "soundalike_end_to_end_seconds_sum")
    assert age_s is not None
    assert 100 <= age_s < 110


def test_a_stage_that_fails_is_timed_too(metrics: Metrics) -> None:
    with pytest.raises(KeyError), metrics.stage("decode"):
        raise KeyError
    metrics.stage_took("decode", 2.0)
    assert value(metrics, "soundalike_stage_seconds_count", stage="decode") == 2.0
    assert (value(metrics, "soundalike_stage_seconds_sum", stage="decode") or 0.0) >= 2.0


def test_the_rest_is_counted_under_its_labels(metrics: Metrics) -> None:
    metrics.upload_read()
    metrics.undecodable("truncated")
    metrics.dead_letter(stage="parse", reason="malformed_event")
    metrics.audio_judged(12.5)
    metrics.index(generation=4, tracks=12)
    metrics.job_failed(RuntimeError("away"))
    assert value(metrics, "soundalike_uploads_total") == 1.0
    assert value(metrics, "soundalike_undecodable_total", reason="truncated") == 1.0
    assert value(metrics, "soundalike_dead_letters_total", stage="parse", reason="malformed_event") == 1.0
    assert value(metrics, "soundalike_audio_seconds_total") == 12.5
    assert value(metrics, "soundalike_index_generation") == 4.0
    assert value(metrics, "soundalike_index_tracks") == 12.0
    assert value(metrics, "soundalike_job_restarts_total") == 1.0


def test_the_index_is_asked_for_its_health_at_each_scrape(metrics: Metrics) -> None:
    stale = [False]
    metrics.index_health(is_stale=lambda: stale[0], refused_shards=lambda: 2)
    assert value(metrics, "soundalike_index_stale") == 0.0
    stale[0] = True
    assert value(metrics, "soundalike_index_stale") == 1.0
    assert value(metrics, "soundalike_index_refused_shards") == 2.0


def test_lag_is_told_by_partition_until_another_process_reads_it(metrics: Metrics) -> None:
    metrics.lag(topic="uploads", partition=3, records=7)
    assert value(metrics, "soundalike_kafka_lag_records", topic="uploads", partition="3") == 7.0
    metrics.lag(topic="uploads", partition=3, records=-1)
    assert value(metrics, "soundalike_kafka_lag_records", topic="uploads", partition="3") == 0.0
    metrics.partition_lost(topic="uploads", partition=3)
    assert value(metrics, "soundalike_kafka_lag_records", topic="uploads", partition="3") is None
    metrics.partition_lost(topic="uploads", partition=3)


def test_two_metrics_do_not_share_anything(metrics: Metrics) -> None:
    metrics.upload_read()
    assert value(Metrics(), "soundalike_uploads_total") == 0.0


def test_the_process_has_one_from_whatever_thread() -> None:
    found: list[Metrics] = []
    threads = [threading.Thread(target=lambda: found.append(process_metrics())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({id(one) for one in found}) == 1


def test_why_there_is_a_process_wide_one(metrics: Metrics) -> None:
    """A DoFn that held a Metrics could not travel to its worker."""
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(metrics)


@pytest.mark.parametrize("buckets", [STAGE_BUCKETS_S, AGE_BUCKETS_S])
def test_buckets_rise(buckets: tuple[float, ...]) -> None:
    assert list(buckets) == sorted(set(buckets))


def test_prometheus_can_read_what_is_served(metrics: Metrics, server: MetricsServer) -> None:
    metrics.verdict(Verdict.FLAGGED, rule="unlicensed_use")
    status, text = get(server, "/metrics")
    assert status == 200
    families = {family.name: family for family in text_string_to_metric_families(text)}
    (sample,) = [s for s in families["soundalike_verdicts"].samples if s.name.endswith("_total")]
    assert (sample.labels, sample.value) == ({"verdict": "flagged", "rule": "unlicensed_use"}, 1.0)
    assert families["soundalike_build_info"].samples[0].labels["version"]


def test_health_is_ok_until_it_is_not(metrics: Metrics) -> None:
    trouble: list[str] = []
    with serve(0, metrics=metrics, health=lambda: trouble[0] if trouble else None) as server:
        assert get(server, "/healthz") == (200, "ok\n")
        trouble.append("no record read for 10 minutes")
        assert get(server, "/healthz") == (503, "no record read for 10 minutes\n")


def test_other_paths_are_not_found_and_queries_do_not_matter(server: MetricsServer) -> None:
    assert get(server, "/")[0] == 404
    assert get(server, "/metrics?name[]=x")[0] == 200
    assert get(server, "/healthz") == (200, "ok\n")


def test_a_taken_port_is_said_in_one_line(server: MetricsServer) -> None:
    with pytest.raises(SettingsError, match="choose another metrics port"):
        serve(server.port)


@pytest.mark.parametrize("port", [70000, -1])
def test_an_impossible_port_is_said_in_one_line(port: int) -> None:
    with pytest.raises(SettingsError, match="choose another metrics port"):
        serve(port)


def test_closing_frees_the_port_and_may_be_repeated(metrics: Metrics) -> None:
    server = serve(0, metrics=metrics)
    port = server.port
    server.close()
    server.close()
    serve(port, metrics=metrics).close()


def test_importing_registers_nothing_and_starts_nothing() -> None:
    script = (
        "import threading, prometheus_client; before = set(prometheus_client.REGISTRY._names_to_collectors);"
        "import pipeline.metrics as m;"
        "assert m._of_process is None;"
        "assert set(prometheus_client.REGISTRY._names_to_collectors) == before;"
        "assert threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
