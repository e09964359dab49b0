"""What a failure means: tried again, put aside, or the job's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from classifiers.audio import Audio
from pipeline import stages
from pipeline.analyse import Equipment, Hearing
from pipeline.events import CloudEvent, Upload, upload_event
from pipeline.evidence import AudioFacts
from pipeline.log import Record
from pipeline.metrics import process_metrics
from pipeline.policy import Policy
from pipeline.stages import Publish, Stage, fetch_and_decode, guarded
from pipeline.work import Heard, Parsed, Printed, Rejected, parsed_part, record_of
from soundalike.errors import (
    CatalogDamaged,
    DecoderKilled,
    DecoderUnavailable,
    FetchFailed,
    MalformedEvent,
    ModelError,
    SettingsError,
)

RECORD = Record("uploads", 0, 17, b"k", b"v")
UPLOAD = Upload(upload_id="u1", uri="file:///a.wav", uploader="ann")
HEARING = Hearing(AudioFacts(uri="file:///a.wav"), Audio(np.zeros((1, 4), dtype=np.float32), 4), None)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(stages.time, "sleep", waited.append)
    return waited


@pytest.fixture
def parsed() -> Parsed:
    event: CloudEvent = upload_event(UPLOAD)
    return Parsed(RECORD, event, UPLOAD, 0.0)


def equipment(hear: Callable[[str], Hearing], *, attempts: int = 4) -> Equipment:
    nothing: Any = None
    return Equipment(
        hear=hear,
        ear=nothing,
        second_ear=nothing,
        snapshot=nothing,
        rights=nothing,
        policy=Policy(),
        fetch_attempts=attempts,
    )


class Failing:
    """Fails so many times, then hears."""

    def __init__(self, times: int, error: Exception) -> None:
        self.left = times
        self.error = error

    def __call__(self, _uri: str) -> Hearing:
        self.left -= 1
        if self.left >= 0:
            raise self.error
        return HEARING


@pytest.mark.parametrize("error", [FetchFailed("away"), DecoderUnavailable("away")])
def test_a_store_that_comes_back_is_asked_again(
    parsed: Parsed, pauses: list[float], error: Exception
) -> None:
    done = fetch_and_decode(equipment(Failing(3, error)), parsed)

    assert isinstance(done, Heard)
    assert pauses == [0.5, 1.0, 2.0]


def test_a_store_that_stays_away_ends_in_a_dead_letter(parsed: Parsed, pauses: list[float]) -> None:
    hear = Failing(99, FetchFailed("away"))

    done = guarded("fetch_decode", fetch_and_decode, equipment(hear, attempts=3), parsed)

    assert isinstance(done, Rejected)
    assert (done.stage, done.upload_id, done.record) == ("fetch_decode", "u1", RECORD)
    assert isinstance(done.error, FetchFailed)
    assert len(pauses) == 2


def test_an_upload_that_gets_every_decoder_killed_does_not_stop_the_stream(
    parsed: Parsed, pauses: list[float]
) -> None:
    hear = Failing(99, DecoderKilled("ended twice (SIGKILL)"))

    done = guarded("fetch_decode", fetch_and_decode, equipment(hear), parsed)

    assert isinstance(done, Rejected)
    assert done.error.reason == "decoder_killed"  # type: ignore[attr-defined]
    assert len(pauses) == 3


@pytest.mark.parametrize(
    "error",
    [
        CatalogDamaged("a print"),
        ModelError("no weights"),
        SettingsError("no s3fs"),
        DecoderUnavailable("gone"),
    ],
)
def test_the_jobs_own_trouble_is_raised(parsed: Parsed, pauses: list[float], error: Exception) -> None:
    with pytest.raises(type(error)):
        guarded("fetch_decode", fetch_and_decode, equipment(Failing(99, error)), parsed)


def test_a_bug_is_a_dead_letter_that_names_stage_and_exception(parsed: Parsed) -> None:
    done = guarded("fetch_decode", fetch_and_decode, equipment(Failing(1, KeyError("x"))), parsed)

    (outgoing,) = Publish().process(done)
    assert outgoing.topic == "uploads.dlq"
    assert b'"stage":"fetch_decode"' in outgoing.value
    assert b'"reason":"unexpected"' in outgoing.value
    assert b"KeyError" in outgoing.value


def test_the_time_of_a_stage_is_its_own_without_what_follows() -> None:
    """In a fused stage of the graph everything downstream runs while the generator waits at its yield."""
    stage = Stage(
        "parse_alone",
        takes=(Record,),
        step=stages.parse,
        equipment=partial(equipment, Failing(0, KeyError())),
    )
    stage.setup()
    took_s = partial(process_metrics().registry.get_sample_value, "soundalike_stage_seconds_sum")

    results = stage.process(RECORD)
    next(results)
    time.sleep(0.2)  # the work of later stages
    assert list(results) == []

    spent_s = took_s({"stage": "parse_alone"})
    assert spent_s is not None
    assert spent_s < 0.1


def test_a_stage_hands_on_what_it_does_not_take() -> None:
    rejected = Rejected(RECORD, MalformedEvent("no"), "parse")
    plan = partial(equipment, Failing(0, KeyError()))
    stage = Stage("embed", takes=(Heard,), step=stages.fingerprint, equipment=plan)

    assert list(stage.process(rejected)) == [rejected]


def test_work_that_no_stage_took_is_not_swallowed(parsed: Parsed) -> None:
    query: Any = None
    stranded = Printed(Heard(parsed, HEARING.facts, HEARING.audio), query)  # type: ignore[arg-type]

    (outgoing,) = Publish(topic_prefix="test.").process(stranded)

    assert outgoing.topic == "test.uploads.dlq"
    assert b"no stage takes Printed" in outgoing.value


def test_every_piece_of_work_knows_its_record(parsed: Parsed) -> None:
    heard = Heard(parsed, HEARING.facts, HEARING.audio)  # type: ignore[arg-type]

    for item in (RECORD, parsed, heard, Rejected(RECORD, KeyError(), "x")):
        assert record_of(item) is RECORD
    assert parsed_part(heard) is parsed
    assert parsed_part(RECORD) is None
