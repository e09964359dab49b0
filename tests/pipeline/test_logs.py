"""Logs: one line each, readable by the one who reads it, and without secrets."""

import io
import json
import logging
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evidence import AudioFacts, Evidence, IndexRef, PolicyRef, Verdict
from pipeline.logs import (
    OUR_ROOMS,
    REDACTED,
    configure,
    get_logger,
    log_dead_letter,
    log_judged,
    redact,
    redact_text,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("", *OUR_ROOMS)]
    handlers, levels = loggers[0].handlers[:], [logger.level for logger in loggers]
    yield
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure(stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


EVIDENCE = Evidence(
    upload_id="up-1",
    verdict=Verdict.CLEAR,
    rule="no_match",
    reason="Nothing was found.",
    audio=AudioFacts(uri="s3://u/a?X-Amz-Signature=hush", duration_s=12.0),
    policy=PolicyRef(version="1", hash="p"),
    index=IndexRef(generation=1, tracks=1),
)


def test_one_upload_is_one_line_of_json(stream: io.StringIO) -> None:
    log_judged(EVIDENCE, seconds=1.23456)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "judged",
        "level": "info",
        "logger": "soundalike.pipeline",
        "upload_id": "up-1",
        "verdict": "clear",
        "rule": "no_match",
        "reason": "Nothing was found.",
        "matches": 0,
        "ai_probability": None,
        "ai_grounds": [],
        "audio_s": 12.0,
        "seconds": 1.235,
    }


def test_a_dead_letter_is_an_error_line_that_says_where_it_came_from(stream: io.StringIO) -> None:
    log_dead_letter(
        upload_id=None, stage="parse", reason="malformed_event", message="no", source="uploads-0@7"
    )
    (line,) = lines(stream)
    assert (line["level"], line["source"], line["upload_id"]) == ("error", "uploads-0@7", None)


def test_a_terminal_gets_coloured_lines_and_nobody_else_does() -> None:
    terminal = Terminal()
    configure(stream=terminal)
    log_judged(EVIDENCE, seconds=1.0)
    assert "\x1b[" in terminal.getvalue()
    assert len(terminal.getvalue().splitlines()) == 1
    plain = io.StringIO()
    configure(stream=plain, as_json=False)
    log_judged(EVIDENCE, seconds=1.0)
    assert "\x1b[" not in plain.getvalue()
    assert "upload_id=up-1" in plain.getvalue()


def test_a_title_can_not_control_the_terminal() -> None:
    plain = io.StringIO()
    configure(stream=plain, as_json=False)
    get_logger("x").info("seen \x1b[2J", title="\x1b]0;owned\x07 \x9b31m")
    assert not set(plain.getvalue()) & {"\x1b", "\x07", "\x9b"}


def test_a_line_break_in_a_value_does_not_break_the_line(stream: io.StringIO) -> None:
    get_logger("x").info("seen", title='a\n{"event": "forged"}')
    assert len(stream.getvalue().splitlines()) == 1


def test_levels_are_ours_from_the_setting_and_others_from_warning(stream: io.StringIO) -> None:
    get_logger("x").debug("too fine")
    logging.getLogger("kafka.client").info("chatter")
    logging.getLogger("apache_beam").warning("slow %s", "bundle")
    get_logger("x").info("ours")
    logging.getLogger("pipeline.runner").info("ours too")
    assert [(line["logger"], line["event"]) for line in lines(stream)] == [
        ("apache_beam", "slow bundle"),
        ("soundalike.x", "ours"),
        ("pipeline.runner", "ours too"),
    ]


def test_the_last_configuration_holds_also_for_loggers_made_before() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure(stream=first)
    logger = get_logger("x")
    logger.info("one")
    configure(stream=second, level="debug")
    logger.debug("two")
    assert [line["event"] for line in lines(first)] == ["one"]
    assert [line["event"] for line in lines(second)] == ["two"]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        configure(stream=io.StringIO(), level="loud")


def test_our_name_is_not_said_twice(stream: io.StringIO) -> None:
    get_logger("soundalike.stages").info("x")
    assert lines(stream)[0]["logger"] == "soundalike.stages"


def test_python_warnings_become_lines(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old call https://h/x?key=hush", UserWarning, stacklevel=1)
    (line,) = lines(stream)
    assert line["logger"] == "py.warnings"
    assert "hush" not in line["event"]


def fail(message: str) -> None:
    raise RuntimeError(message)


def test_tracebacks_are_kept_and_cleaned(stream: io.StringIO) -> None:
    try:
        fail("GET https://store/a.mp3?X-Amz-Signature=hush failed")
    except RuntimeError:
        get_logger("x").exception("fetch failed")
        logging.getLogger("apache_beam").exception("fetch failed")
    for line in lines(stream):
        assert "RuntimeError: GET https://store/a.mp3?[redacted] failed" in line["exception"]
        assert "hush" not in json.dumps(line)
    assert len(lines(stream)) == 2


def test_what_json_does_not_know_is_kept_as_text(stream: io.StringIO) -> None:
    get_logger("x").info("seen", raw=b"\xff", thing=object, error=ValueError("s3://b/k?hush"))
    (line,) = lines(stream)
    assert line["raw"] == "\\xff"
    assert "object" in line["thing"]
    assert line["error"] == "ValueError: s3://b/k?[redacted]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://h/a.mp3?sig=hush&x=1 failed", "https://h/a.mp3?[redacted] failed"),
        ('{"uri": "gs://b/k?hush"}', '{"uri": "gs://b/k?[redacted]"}'),
        ("HTTPS://H/A?HUSH", "HTTPS://H/A?[redacted]"),
        ("https://h/a?one=hush https://h/b?two=hush", "https://h/a?[redacted] https://h/b?[redacted]"),
        ("postgresql://user:hush@db/x", "postgresql://[redacted]@db/x"),
        ("sasl_plain_password='hush hush'", "sasl_plain_password=[redacted]"),
        ('{"api_key": "hush"}', '{"api_key": [redacted]}'),
        ("Authorization: Bearer hushhushhush", "Authorization: Bearer [redacted]"),
        ("token=hush,next=1", "token=[redacted],next=1"),
    ],
)
def test_secrets_in_text_are_cut_out(text: str, expected: str) -> None:
    assert redact_text(text) == expected


@pytest.mark.parametrize(
    "text",
    ["Is it licensed? Yes.", "uploads-0@17 of up-1", "see https://h/doc#part", "a?b://c", "mail a@b.org", ""],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "name",
    ["password", "sasl_plain_password", "SECRET", "aws_secret_access_key", "token", "apiKey", "api-key",
     "Authorization", "cookie", "X-Amz-Signature", "private_key", "credentials"],
)  # fmt: skip
def test_fields_named_like_secrets_lose_their_value_at_any_depth(name: str) -> None:
    event = redact(None, "info", {"event": "x", "settings": [{"kafka": {name: "hush"}}], name: ["hush"]})
    assert "hush" not in repr(event)
    assert event["settings"] == [{"kafka": {name: REDACTED}}]


@given(st.text(alphabet="ab:/?@-.=s3 ", max_size=30), st.text(alphabet="ab:/?@-.=s3 ", max_size=30))
def test_no_query_string_survives(before: str, after: str) -> None:
    assert "hush" not in redact_text(f"{before}https://h/x?hush{after}")


@pytest.mark.parametrize(
    "text", ["a." * 50_000, "a-" * 50_000, "token" * 20_000, "https://" * 12_000, "x://" + "a" * 100_000]
)
def test_no_crafted_line_makes_the_search_slow(text: str) -> None:
    began = time.process_time()
    redact_text(text)
    assert time.process_time() - began < 2.0


def test_importing_configures_nothing() -> None:
    script = (
        "import logging, pipeline.logs, structlog;"
        "assert not logging.getLogger().handlers and not structlog.is_configured()"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
