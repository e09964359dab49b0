"""What /healthz says: well, failing with the cause, or stuck."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from pipeline.health import STUCK_AFTER_S, JobHealth
from pipeline.metrics import Metrics, serve


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> JobHealth:
    return JobHealth(clock_s=clock)


def test_a_job_that_moves_is_well(health: JobHealth, clock: Clock) -> None:
    for _ in range(3):
        clock.now_s += STUCK_AFTER_S - 1.0
        assert health.complaint() is None
        health.moved()


def test_a_job_that_stands_still_is_not(health: JobHealth, clock: Clock) -> None:
    clock.now_s += STUCK_AFTER_S + 1.0

    assert health.complaint() == "nothing has moved for 601 s"


def test_failures_are_counted_until_something_moves(health: JobHealth) -> None:
    health.failed(RuntimeError("Traceback …\n  File x\nBrokerError: no broker answers at k:9092\n"))
    assert health.complaint() == "the job failed 1 time in a row: BrokerError: no broker answers at k:9092"
    health.failed(ValueError())
    assert health.complaint() == "the job failed 2 times in a row: ValueError"

    health.moved()
    assert health.complaint() is None


def test_a_secret_in_the_cause_is_not_served(health: JobHealth) -> None:
    health.failed(RuntimeError("GET https://s3.example/a?X-Signature=abc failed"))

    assert "abc" not in (health.complaint() or "")


def test_the_metrics_of_a_job_know_whether_it_moves() -> None:
    metrics = Metrics()
    metrics.job_failed(RuntimeError("away"))
    with serve(0, metrics=metrics, health=metrics.health.complaint) as server:
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz", timeout=5)
        with caught.value as answer:
            assert (answer.code, answer.read()) == (503, b"the job failed 1 time in a row: away\n")

        with metrics.stage("parse"):
            pass
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz", timeout=5) as well:
            assert (well.status, well.read()) == (200, b"ok\n")
    assert metrics.registry.get_sample_value("soundalike_job_restarts_total") == 1.0

    metrics.job_failed(RuntimeError("away"))
    metrics.lag(topic="uploads", partition=0, records=0)  # the source heard from its log
    assert metrics.health.complaint() is None
