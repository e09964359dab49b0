"""Events: what is read, what is refused and how it is said, and what the ids of our own events depend on."""

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.events import (
    MAX_EVENT_BYTES,
    UPLOAD_TYPE,
    AiDisclosure,
    Attribution,
    CatalogChange,
    CatalogTerm,
    Claim,
    CloudEvent,
    DeadLetter,
    Decision,
    Split,
    Upload,
    attribution_event,
    catalog_event,
    dead_letter_event,
    decision_event,
    event_id,
    event_key,
    flag_event,
    parse_event,
    parse_upload,
    upload_event,
    verdict_event,
)
from pipeline.evidence import AudioFacts, Evidence, IndexRef, ModelRef, PolicyRef, Verdict
from soundalike.errors import EventError, FetchFailed, MalformedEvent, UnsupportedEvent

TIME = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
UPLOAD = Upload(
    upload_id="up-1",
    uri="s3://uploads/a.mp3",
    uploader="acct-1",
    claim=Claim(artist="Ada"),
    ai_disclosure=AiDisclosure(vocals=True),
    licences=("lic-1",),
    territory="DE",
)
EVIDENCE = Evidence(
    upload_id="up-1",
    verdict=Verdict.FLAGGED,
    rule="unlicensed_use",
    reason="It reuses a recording.",
    audio=AudioFacts(uri="s3://uploads/a.mp3", sha256="a" * 64),
    policy=PolicyRef(version="1", hash="p"),
    index=IndexRef(generation=7, tracks=12),
    models=(ModelRef(name="ear", sha256="m"),),
)
ATTRIBUTION = Attribution(
    upload_id="up-1",
    track_id="trk-1",
    title="Harbour",
    use="ai_derivative",
    query_start_s=0.0,
    query_end_s=9.5,
    reference_start_s=3.0,
    reference_end_s=12.5,
    term_id="lic-1",
    term_version=1,
    splits=(Split(rightsholder="A", share="0.5"), Split(rightsholder="B", share="0.5")),
)


def envelope(**changes: Any) -> dict[str, Any]:
    """A well-formed upload event as a dict; `changes` replace or add attributes."""
    document = json.loads(upload_event(UPLOAD, time=TIME).to_bytes())
    document.update(changes)
    return document


def with_data(**changes: Any) -> dict[str, Any]:
    document = envelope()
    document["data"].update(changes)
    return document


def encoded(document: Any) -> bytes:
    return json.dumps(document).encode()


# Reading


def test_an_upload_comes_back_as_it_was_published() -> None:
    event, upload = parse_upload(upload_event(UPLOAD, time=TIME).to_bytes())
    assert upload == UPLOAD
    assert event.time == TIME
    assert event.subject == "up-1"


def test_three_fields_are_enough() -> None:
    document = {
        "specversion": "1.0",
        "id": "1",
        "source": "urn:x",
        "type": UPLOAD_TYPE,
        "data": {"upload_id": "up-1", "uri": "file:///a.wav", "uploader": "acct"},
    }
    event, upload = parse_upload(encoded(document))
    assert upload == Upload(upload_id="up-1", uri="file:///a.wav", uploader="acct")
    assert event.time is None


def test_unknown_fields_are_ignored_and_extension_attributes_kept() -> None:
    document = with_data(mood="calm", claim={"artist": "Ada", "label": "Blue Pier"})
    document["traceparent"] = "00-1-2-01"
    event, upload = parse_upload(encoded(document))
    assert upload == UPLOAD
    assert (event.model_extra or {})["traceparent"] == "00-1-2-01"


@pytest.mark.parametrize("attribute", ["subject", "time", "dataschema", "datacontenttype", "traceparent"])
def test_an_optional_attribute_that_is_null_counts_as_absent(attribute: str) -> None:
    """CloudEvents' JSON format says so; some SDKs do write nulls."""
    event, upload = parse_upload(encoded(envelope(**{attribute: None})))
    assert upload == UPLOAD
    assert event.datacontenttype == "application/json"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-11-22T10:00:00Z", TIME),
        ("2026-11-22t11:00:00+01:00", TIME),
        ("2026-11-22T10:00:00.123456789Z", TIME.replace(microsecond=123456)),
    ],
)
def test_times_are_read_in_every_form_of_the_rfc(written: str, expected: datetime) -> None:
    event, _ = parse_upload(encoded(envelope(time=written)))
    assert event.time == expected


@pytest.mark.parametrize(
    ("document", "names"),
    [
        (with_data(upload_id=None), "data.upload_id"),
        (with_data(upload_id=""), "data.upload_id"),
        (with_data(upload_id="a\nb"), "data.upload_id"),
        (with_data(upload_id="a\u2028b"), "data.upload_id"),
        (with_data(upload_id="a\x85b"), "data.upload_id"),
        (with_data(upload_id="x" * 201), "data.upload_id"),
        (with_data(uri=7), "data.uri"),
        (with_data(territory="Germany"), "data.territory"),
        (with_data(licences="lic-1"), "data.licences"),
        (with_data(licences=["ok", 3]), "data.licences.1"),
        (with_data(ai_disclosure={"vocals": "yes"}), "data.ai_disclosure.vocals"),
        (with_data(ai_disclosure={"vocals": 1}), "data.ai_disclosure.vocals"),
        (with_data(claim=None), "data.claim"),
        (envelope(data=None), "data"),
        (envelope(data=[UPLOAD.upload_id]), "data"),
        (envelope(id=None), "id"),
        (envelope(id=""), "id"),
        (envelope(source=3), "source"),
        (envelope(subject=""), "subject"),
        (envelope(subject="up-2"), "subject"),
        (envelope(time=1700000000), "time"),
        (envelope(time="1700000000"), "time"),
        (envelope(time="2026-11-22"), "time"),
        (envelope(time="2026-11-22T10:00:00"), "time"),
        (envelope(time="2026-13-22T10:00:00Z"), "time"),
        (envelope(datacontenttype="text/xml"), "datacontenttype"),
        (envelope(specversion=None), "specversion"),
        (envelope(specversion=1.0), "specversion"),
        ({}, "specversion"),
    ],
)
def test_a_malformed_event_is_refused_in_one_line_that_names_the_field(document: Any, names: str) -> None:
    with pytest.raises(MalformedEvent) as caught:
        parse_upload(encoded(document))
    message = str(caught.value)
    assert message.startswith(f"{names}: ")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"not json", "not JSON"),
        (b"[1]", "a JSON array, not an object"),
        (b'"x"', "a JSON string, not an object"),
        (b"null", "a JSON null, not an object"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1e999}', "outside the range of a double"),
        (b'{"a": 9007199254740992}', "write it as a string"),
        (b'{"a": -9007199254740992}', "write it as a string"),
        (b'{"a": ' + b"9" * 100_000 + b"}", "write it as a string"),
        (b'{"a": {"id": 1, "id": 2}}', "id: occurs twice"),
        (b'{"a": "\\ud83d"}', "a: holds U+D83D, half of a surrogate pair"),
        (b'{"a": [0, {"b": "x\\u0000"}]}', "a[1].b: holds the character NUL"),
        (b'{"a\\u0000": 1}', "holds the character NUL"),
        (b"[" * 100_000, "nests deeper than 32"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "nests deeper than 32"),
        (b'{"a": "' + b"x" * MAX_EVENT_BYTES + b'"}', "more than the 524288 that are read"),
    ],
)
def test_what_parsers_disagree_about_is_refused_with_its_reason(value: bytes, says: str) -> None:
    with pytest.raises(MalformedEvent) as caught:
        parse_upload(value)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_largest_exact_integer_and_whole_surrogate_pairs_pass() -> None:
    value = encoded(envelope(shard=2**53 - 1, note="\U0001f3b5")).replace(b'"shard"', b'"\\ud83c\\udfb5"')
    event, _ = parse_upload(value)
    assert (event.model_extra or {})["\U0001f3b5"] == 2**53 - 1


def test_a_huge_key_above_many_values_costs_no_quadratic_memory() -> None:
    """Each value's place is cut while it grows: 200 kB of key times 100,000 values would be 20 GB."""
    value = b'{"' + b"k" * 200_000 + b'":[' + b"1," * 100_000 + b"1]}"
    with pytest.raises(MalformedEvent, match="specversion"):
        parse_upload(value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"type": "org.soundalike.upload.v2"}, "org.soundalike.upload.v1"),
        ({"type": "com.example.other"}, "com.example.other"),
        ({"type": "org.soundalike.verdict.v1"}, "org.soundalike.verdict.v1"),
        ({"specversion": "0.3"}, "CloudEvents 1.0, not 0.3"),
    ],
)
def test_another_type_or_version_is_unsupported_not_malformed(changes: dict[str, str], says: str) -> None:
    with pytest.raises(UnsupportedEvent) as caught:
        parse_upload(encoded(envelope(**changes)))
    assert says in str(caught.value)


def test_errors_show_no_value_that_may_be_secret() -> None:
    document = with_data(uri="https://cdn/x?signature=hush" + "y" * 5000)
    with pytest.raises(MalformedEvent) as caught:
        parse_upload(encoded(document))
    assert "hush" not in str(caught.value)


# One version back


def v0(**data: Any) -> bytes:
    base = {"upload_id": "up-0", "uri": "s3://u/0.mp3", "uploader": "acct"}
    return encoded(
        {
            "specversion": "1.0",
            "id": "1",
            "source": "urn:x",
            "type": "org.soundalike.upload.v0",
            "data": base | data,
        }
    )


@pytest.mark.parametrize("declared", [True, False, None])
def test_version_0_is_lifted_to_version_1(declared: bool | None) -> None:
    event, upload = parse_upload(
        v0(artist="Ada", title="Pier", isrc="X", ai_declared=declared, licence="lic-0")
    )
    assert event.type == "org.soundalike.upload.v0"
    assert upload == Upload(
        upload_id="up-0",
        uri="s3://u/0.mp3",
        uploader="acct",
        claim=Claim(artist="Ada", title="Pier", isrc="X"),
        ai_disclosure=AiDisclosure(vocals=declared, instruments=declared, post_production=declared),
        licences=("lic-0",),
    )


def test_version_0_without_a_licence_relies_on_none() -> None:
    assert parse_upload(v0())[1].licences == ()


def test_version_0_is_checked_as_strictly() -> None:
    with pytest.raises(MalformedEvent, match=r"^data\.ai_declared: "):
        parse_upload(v0(ai_declared="no"))


def test_parse_event_reads_version_0_too() -> None:
    assert parse_event(v0())[1] == parse_upload(v0())[1]


# Writing


def builders() -> list[Callable[[datetime], CloudEvent]]:
    return [
        lambda at: upload_event(UPLOAD, time=at),
        lambda at: verdict_event(EVIDENCE, time=at),
        lambda at: flag_event(EVIDENCE, time=at),
        lambda at: attribution_event(ATTRIBUTION, evidence=EVIDENCE, time=at),
        lambda at: dead_letter_event(
            value=b"\xff",
            key=b"up-1",
            error=FetchFailed("no answer"),
            stage="fetch",
            read_from="u-0@1",
            time=at,
        ),
        lambda at: catalog_event(CatalogChange(track_id="t", revision=1, change="removed"), time=at),
        lambda at: decision_event(
            Decision(
                upload_id="up-1", flag_id="f", revision=1, decision="confirm", decided_by="r", reason="x"
            ),
            time=at,
        ),
    ]


@pytest.mark.parametrize("build", builders())
def test_every_event_reads_back_and_its_id_does_not_depend_on_the_clock(
    build: Callable[[datetime], CloudEvent],
) -> None:
    event, later = build(TIME), build(TIME.replace(year=2027))
    parsed, payload = parse_event(event.to_bytes())
    assert parsed == event
    assert payload.model_dump(mode="json") == event.data
    assert event.id == later.id
    assert event.time != later.time


def test_ids_of_different_events_about_one_upload_differ() -> None:
    ids = {build(TIME).id for build in builders()}
    assert len(ids) == len(builders())


@pytest.mark.parametrize(
    "changed",
    [
        {"upload_id": "up-2"},
        {"audio": AudioFacts(uri="s3://uploads/a.mp3", sha256="b" * 64)},
        {"policy": PolicyRef(version="2", hash="p")},
        {"policy": PolicyRef(version="1", hash="q")},
        {"index": IndexRef(generation=8, tracks=12)},
        {"models": (ModelRef(name="ear", sha256="n"),)},
        {"rule": "another"},
        {"verdict": Verdict.CLEAR},
    ],
)
def test_a_verdicts_id_changes_with_each_thing_it_rests_on(changed: dict[str, Any]) -> None:
    assert verdict_event(EVIDENCE.model_copy(update=changed)).id != verdict_event(EVIDENCE).id


@pytest.mark.parametrize(
    "changed",
    [
        {"reason": "In other words."},
        {"index": IndexRef(generation=7, tracks=13)},
        {"audio": AudioFacts(uri="https://elsewhere/a.mp3", sha256="a" * 64)},
    ],
)
def test_a_verdicts_id_ignores_how_it_is_told(changed: dict[str, Any]) -> None:
    assert verdict_event(EVIDENCE.model_copy(update=changed)).id == verdict_event(EVIDENCE).id


def test_ids_stay_the_same_from_release_to_release() -> None:
    """Golden values: a change here makes every replay look new to every consumer."""
    assert event_id("t", "a", 1, None, ["x"]) == "a6646be74dd4c3a9e71b305f6e841b7c"
    assert verdict_event(EVIDENCE).id == "94ff38fdeeddaf9b6d5cc1e8eb8cf569"


def test_the_parts_of_an_id_can_not_run_into_each_other() -> None:
    assert event_id("t", "a", "bc") != event_id("t", "ab", "c")
    assert event_id("t", "1") != event_id("t", 1)
    assert event_id("t", None) != event_id("t", "null")


def test_two_spans_of_one_track_are_two_attributions_and_float_noise_is_none() -> None:
    def built(**changes: Any) -> str:
        return attribution_event(ATTRIBUTION.model_copy(update=changes), evidence=EVIDENCE).id

    assert built() == built(query_start_s=1e-9)
    assert len({built(), built(query_start_s=1.0), built(reference_start_s=4.0), built(term_version=2)}) == 4


def test_an_attribution_needs_evidence_of_the_same_upload() -> None:
    with pytest.raises(ValueError, match="up-9"):
        attribution_event(ATTRIBUTION.model_copy(update={"upload_id": "up-9"}), evidence=EVIDENCE)


@pytest.mark.parametrize("shares", [("0.5", "0.4"), ("0.5", "0.5", "0.1"), ("1", "1")])
def test_splits_that_do_not_sum_to_one_are_refused(shares: tuple[str, ...]) -> None:
    splits = tuple(Split(rightsholder=str(i), share=share) for i, share in enumerate(shares))
    with pytest.raises(ValidationError, match="not 1"):
        Attribution(**{**ATTRIBUTION.model_dump(), "splits": splits})


@pytest.mark.parametrize("share", ["1.5", "-0.5", ".5", "0.", "1e-1", "0,5", "NaN", "0.5\n"])
def test_a_share_is_plain_decimal_text_between_0_and_1(share: str) -> None:
    with pytest.raises(ValidationError):
        Split(rightsholder="A", share=share)


def test_only_flagged_uploads_make_flags() -> None:
    with pytest.raises(ValueError, match="not flagged"):
        flag_event(EVIDENCE.model_copy(update={"verdict": Verdict.CLEAR}))


def test_outputs_lead_back_to_their_upload_event() -> None:
    cause, _ = parse_upload(encoded(envelope(traceparent="00-1-2-01", other="x")))
    extra = verdict_event(EVIDENCE, cause=cause).model_extra
    assert extra == {
        "causeid": cause.id,
        "causetime": "2026-11-22T10:00:00+00:00",
        "traceparent": "00-1-2-01",
    }


def test_nulls_of_the_evidence_record_are_written_out() -> None:
    data = json.loads(verdict_event(EVIDENCE).to_bytes())["data"]
    assert data["ai"]["probability"] is None
    assert data["audio"]["duration_s"] is None


def test_nul_in_a_tag_does_not_make_an_event_that_nobody_can_read() -> None:
    evidence = EVIDENCE.model_copy(update={"reason": "title \0 of a tag"})
    _, payload = parse_event(verdict_event(evidence).to_bytes())
    assert isinstance(payload, Evidence)
    assert payload.reason == "title � of a tag"


def test_an_added_track_says_where_its_audio_is() -> None:
    with pytest.raises(ValidationError, match="uri is needed"):
        CatalogChange(track_id="t", revision=1, change="added")


def test_allow_deny_allow_again_are_three_events() -> None:
    def change(revision: int) -> CloudEvent:
        term = CatalogTerm(term_id="x", version=1, rightsholder="A", use="ai_training", decision="allow")
        return catalog_event(
            CatalogChange(track_id="t", revision=revision, change="consent_changed", terms=(term,))
        )

    assert change(1).id != change(3).id


# Dead letters


def test_a_dead_letter_gives_back_the_record_byte_for_byte() -> None:
    headers = (("trace id", b"\x00\xff"), ("tombstone", None), ("nul\0 % \ud800 ö", b""))
    event = dead_letter_event(
        value=b"\x00\xfe{",
        key=b"\xff",
        headers=headers,
        error=MalformedEvent("no"),
        stage="parse",
        read_from="u-0@1",
    )
    parsed, letter = parse_event(event.to_bytes())
    assert isinstance(letter, DeadLetter)
    assert letter.original() == (b"\xff", b"\x00\xfe{", headers)
    assert letter.headers[0][0] == "trace id", "ordinary names stay readable"
    assert (letter.reason, letter.stage, letter.attempt) == ("malformed_event", "parse", 1)
    assert parsed.subject is None


def test_an_unexpected_error_is_named_in_one_line() -> None:
    event = dead_letter_event(
        value=b"", key=None, error=KeyError("a\nb\x1b[31m"), stage="match", read_from="u-0@1"
    )
    _, letter = parse_event(event.to_bytes())
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "unexpected"
    assert letter.message.startswith("KeyError: ")
    assert letter.message.isprintable()


def test_a_dead_letter_of_the_largest_event_fits_a_default_kafka_record() -> None:
    event = dead_letter_event(
        value=b"\xff" * MAX_EVENT_BYTES,
        key=b"k",
        error=MalformedEvent("x" * 9999),
        stage="parse",
        read_from="u-0@1",
    )
    assert len(event.to_bytes()) < 1_048_576 - 1024


def test_the_same_failure_of_the_same_record_is_one_dead_letter() -> None:
    def letter(**changes: Any) -> str:
        arguments: dict[str, Any] = {
            "value": b"x", "key": b"k", "error": MalformedEvent("no"), "stage": "parse", "read_from": "u-0@1",
        }  # fmt: skip
        return dead_letter_event(**(arguments | changes)).id

    assert letter() == letter(error=MalformedEvent("no, in other words"))
    distinct = [
        letter(),
        letter(read_from="u-0@2"),
        letter(stage="judge"),
        letter(attempt=2),
        letter(value=b"y"),
    ]
    assert len({*distinct, letter(error=UnsupportedEvent("no"))}) == 6


@pytest.mark.parametrize("broken", [{"value_base64": "?"}, {"key_base64": "a"}, {"headers": [["x", "*"]]}])
def test_a_dead_letter_that_is_not_base64_is_malformed(broken: dict[str, Any]) -> None:
    document = json.loads(builders()[4](TIME).to_bytes())
    document["data"].update(broken)
    with pytest.raises(MalformedEvent, match="not base64"):
        parse_event(encoded(document))


# Keys


def test_keys_are_the_ids_of_what_an_event_is_about() -> None:
    assert event_key(upload_event(UPLOAD)) == b"up-1"
    assert event_key(verdict_event(EVIDENCE)) == b"up-1"
    assert event_key(catalog_event(CatalogChange(track_id="t", revision=1, change="removed"))) == b"t"


@pytest.mark.parametrize(
    ("upload_id", "key", "expected"), [("up-1", b"\xff", b"up-1"), (None, b"\xff", b"\xff"), (None, b"", b"")]
)
def test_a_dead_letter_keeps_the_best_key_it_has(upload_id: str | None, key: bytes, expected: bytes) -> None:
    event = dead_letter_event(
        value=b"", key=key, error=MalformedEvent("no"), stage="parse", read_from="u-0@1", upload_id=upload_id
    )
    assert event_key(event) == expected


def test_a_dead_letter_without_any_key_goes_by_its_own_id() -> None:
    event = dead_letter_event(value=b"", key=None, error=EventError("no"), stage="parse", read_from="u-0@1")
    assert event_key(event) == event.id.encode()


def test_parse_event_holds_subjects_against_the_data_of_every_type() -> None:
    document = json.loads(catalog_event(CatalogChange(track_id="t", revision=1, change="removed")).to_bytes())
    document["subject"] = "u"
    with pytest.raises(MalformedEvent, match="track_id"):
        parse_event(encoded(document))


def test_our_own_long_outputs_are_read_back() -> None:
    evidence = EVIDENCE.model_copy(update={"reason": "x" * (MAX_EVENT_BYTES + 1)})
    assert parse_event(verdict_event(evidence).to_bytes())[1] == evidence


def test_a_dead_letter_payload_is_base64_of_the_original() -> None:
    event = builders()[4](TIME)
    assert base64.b64decode(str(event.data["value_base64"])) == b"\xff"


def test_the_review_desk_can_import_events_without_the_pipelines_weight() -> None:
    script = (
        "import sys, pipeline.events, pipeline.evidence; "
        "print(sorted({name.split('.')[0] for name in sys.modules} "
        "& {'apache_beam', 'torch', 'kafka', 'numpy', 'faiss', 'sqlalchemy', 'prometheus_client'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
