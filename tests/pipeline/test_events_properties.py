"""Events, for all inputs: any bytes are parsed or refused with a typed error; what we write we can read."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.events import (
    UPLOAD_TYPE,
    CloudEvent,
    DeadLetter,
    Upload,
    dead_letter_event,
    event_id,
    parse_event,
    parse_upload,
    upload_event,
    verdict_event,
)
from pipeline.evidence import (
    AiAssessment,
    AudioFacts,
    ConsentFinding,
    Document,
    Evidence,
    IndexRef,
    Match,
    ModelRef,
    PolicyRef,
    Provenance,
)
from soundalike.errors import EventError, MalformedEvent

identifiers = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=30)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
seconds = st.floats(0, 1e5)
shares = st.floats(0, 1)
finite = st.floats(allow_nan=False, allow_infinity=False)

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
uploads = st.builds(
    Upload,
    upload_id=identifiers,
    uri=identifiers,
    uploader=identifiers,
    licences=st.lists(identifiers, max_size=4).map(tuple),
    territory=st.none() | st.sampled_from(["DE", "US"]),
)
evidences = st.builds(
    Evidence,
    upload_id=identifiers,
    rule=identifiers,
    reason=texts,
    audio=st.builds(
        AudioFacts,
        uri=texts,
        codec=st.none() | texts,
        duration_s=st.none() | seconds,
        sample_rate_hz=st.none() | st.integers(1, 10**6),
    ),
    matches=st.lists(
        st.builds(
            Match,
            track_id=identifiers,
            title=texts,
            query_start_s=seconds,
            query_end_s=seconds,
            reference_start_s=seconds,
            reference_end_s=seconds,
            shift_semitones=st.floats(-24, 24),
            tempo_ratio=st.floats(0.25, 4),
            coverage=shares,
            score=finite,
            false_positive_rate=shares,
        ),
        max_size=3,
    ).map(tuple),
    ai=st.builds(
        AiAssessment, provenance=st.lists(st.builds(Provenance, detail=texts), max_size=2).map(tuple)
    ),
    consent=st.lists(st.builds(ConsentFinding, rightsholder=texts, use=texts), max_size=2).map(tuple),
    policy=st.builds(PolicyRef, version=texts, hash=texts),
    index=st.builds(IndexRef, generation=st.integers(0, 2**53 - 1), tracks=st.integers(0, 2**53 - 1)),
    models=st.lists(st.builds(ModelRef, name=texts, sha256=texts), max_size=2).map(tuple),
)


def parsed_or_refused(value: bytes) -> None:
    for read in (parse_upload, parse_event):
        try:
            event, payload = read(value)
        except EventError as error:
            assert str(error)
            assert "\n" not in str(error)
            assert str(error).isprintable()
        else:
            assert isinstance(event, CloudEvent)
            assert isinstance(payload, Document)


@given(st.binary(max_size=300))
def test_any_bytes_are_parsed_or_refused(value: bytes) -> None:
    parsed_or_refused(value)


@given(json_values)
@settings(max_examples=200)
def test_any_json_is_parsed_or_refused(document: Any) -> None:
    parsed_or_refused(json.dumps(document).encode())


@given(
    st.fixed_dictionaries(
        {"specversion": st.just("1.0") | json_values, "type": st.just(UPLOAD_TYPE) | json_values},
        optional={
            "id": st.just("1") | json_values,
            "source": st.just("urn:x") | json_values,
            "time": st.text(max_size=25) | st.datetimes().map(lambda t: t.isoformat() + "Z") | json_values,
            "subject": json_values,
            "data": st.dictionaries(
                st.sampled_from(["upload_id", "uri", "uploader", "claim", "ai_disclosure", "licences", "x"]),
                st.text(max_size=5) | json_values,
            ),
        },
    )
)
@settings(max_examples=300)
def test_any_near_miss_is_parsed_or_refused(document: Any) -> None:
    parsed_or_refused(json.dumps(document).encode())


@given(uploads, st.data())
def test_one_changed_byte_is_parsed_or_refused(upload: Upload, data: st.DataObject) -> None:
    value = bytearray(upload_event(upload).to_bytes())
    value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    parsed_or_refused(bytes(value))


@given(uploads)
def test_every_upload_comes_back(upload: Upload) -> None:
    event = upload_event(upload)
    assert parse_upload(event.to_bytes()) == (event, upload)


@given(evidences)
def test_every_evidence_record_comes_back(evidence: Evidence) -> None:
    """But for NUL, which becomes U+FFFD: no reader of ours would take it."""
    parsed, payload = parse_event(verdict_event(evidence).to_bytes())
    assert parsed.subject == evidence.upload_id
    expected = Evidence.model_validate_json(evidence.model_dump_json().replace("\\u0000", "\ufffd"))
    assert payload == expected


@given(
    value=st.binary(max_size=200),
    key=st.none() | st.binary(max_size=20),
    headers=st.lists(st.tuples(st.text(max_size=10), st.none() | st.binary(max_size=10)), max_size=3).map(
        tuple
    ),
    message=st.text(max_size=100),
    read_from=st.text(max_size=30),
)
def test_every_dead_letter_gives_back_its_original(
    value: bytes,
    key: bytes | None,
    headers: tuple[tuple[str, bytes | None], ...],
    message: str,
    read_from: str,
) -> None:
    event = dead_letter_event(
        value=value,
        key=key,
        headers=headers,
        error=MalformedEvent(message),
        stage="parse",
        read_from=read_from,
    )
    _, letter = parse_event(event.to_bytes())
    assert isinstance(letter, DeadLetter)
    assert letter.original() == (key, value, headers)


def sprinkled(document: Any, extra: dict[str, Any]) -> Any:
    """`document` with the fields of `extra` added to every object in it: a newer writer's document."""
    if isinstance(document, dict):
        return {**{name: sprinkled(item, extra) for name, item in document.items()}, **extra}
    if isinstance(document, list):
        return [sprinkled(item, extra) for item in document]
    return document


portable = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | finite,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(evidences, st.dictionaries(st.from_regex(r"new_[a-z]{1,8}", fullmatch=True), portable, max_size=3))
@settings(max_examples=50)
def test_an_old_reader_reads_what_a_newer_writer_only_extended(
    evidence: Evidence, extra: dict[str, Any]
) -> None:
    document = json.loads(verdict_event(evidence).to_bytes())
    document["data"] = sprinkled(document["data"], extra)
    _, payload = parse_event(json.dumps(document).encode())
    assert payload == parse_event(verdict_event(evidence).to_bytes())[1]


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_ids_are_equal_exactly_when_their_parts_are(left: list[str], right: list[str]) -> None:
    assert (event_id("t", *left) == event_id("t", *right)) == (left == right)
