"""Logs: one line for each thing that happened, JSON for machines, colours for people.

`configure()` once at the edge; before that nothing is touched. Everything goes through one formatter: our own
lines (`get_logger`), and those of Beam, kafka-python and the rest (standard logging, from WARNING up). On the
way every line loses what must not be kept: the query strings of URLs (a signed URL is a key), passwords in
URLs, and the values of fields that are named like secrets.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from pipeline.evidence import Evidence

ROOT = "soundalike"
OUR_ROOMS = (ROOT, "pipeline", "classifiers", "index", "review")
"""Loggers that follow our level, whether they come from `get_logger` or are named after their module."""

REDACTED = "[redacted]"

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)|secret|token|(api|access|private)[_-]?key|credential|authori[sz]ation|cookie|signature",
    re.IGNORECASE,
)
# Each search is linear, or its lengths are bounded: no crafted line may hold up the job.
_WORD = re.compile(r"[^\s\"'<>]+")
_URL_USER = re.compile(r"(://)[^\s/@\"'<>]{1,400}@")
_BEARER = re.compile(r"\b(bearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE)
_ASSIGNMENT = re.compile(
    r"\b([\w-]{0,40}(?:password|passwd|secret|token|api[_-]?key)[\w-]{0,40}[\"']?\s{0,3}[=:]\s{0,3})"
    r"(?:\"[^\"]*\"|'[^']*'|[^\s,;]+)",
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def configure(*, level: str = "INFO", stream: TextIO | None = None, as_json: bool | None = None) -> None:
    """Send all logs of this process to `stream` (default: stderr), from `level` up for our own.

    JSON lines if the stream is not a terminal, unless `as_json` says otherwise. May be called again; the last
    call holds. Raises ValueError for an unknown level.
    """
    out = sys.stderr if stream is None else stream
    machine = not out.isatty() if as_json is None else as_json
    render: Processor = (
        structlog.processors.JSONRenderer(
            ensure_ascii=False, default=repr
        )  # whatever it is, the line is kept
        if machine
        else structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *([] if machine else [escape_controls]),
                render,
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for room in OUR_ROOMS:
        logging.getLogger(room).setLevel(level.upper())
    logging.captureWarnings(True)  # else Python's own warnings would break the JSON lines
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,  # a second `configure` reaches loggers that modules hold already
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Our logger for one part of the house: `"pipeline.decode"` logs as soundalike.pipeline.decode."""
    part = name.removeprefix(f"{ROOT}.")
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(f"{ROOT}.{part}")
    return logger


def log_judged(evidence: Evidence, *, seconds: float) -> None:
    """The one line for one upload: its id, the verdict, the rule, how long it took in the graph (s)."""
    get_logger("pipeline").info(
        "judged",
        upload_id=evidence.upload_id,
        verdict=evidence.verdict.value,
        rule=evidence.rule,
        reason=evidence.reason,
        matches=len(evidence.matches),
        ai_probability=None if evidence.ai.probability is None else round(evidence.ai.probability, 3),
        ai_grounds=list(evidence.ai.grounds),
        audio_s=evidence.audio.duration_s,
        seconds=round(seconds, 3),
    )


def log_dead_letter(*, upload_id: str | None, stage: str, reason: str, message: str, source: str) -> None:
    """The one line for a record that could not be judged."""
    get_logger("pipeline").error(
        "dead letter", upload_id=upload_id, stage=stage, reason=reason, message=message, source=source
    )


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Processor: the same line without secrets, at any depth."""
    return {name: _clean(name, value) for name, value in event.items()}


def redact_text(text: str) -> str:
    """`text` without the query strings and passwords of URLs, and without `password=…` and its like."""
    if "://" in text:
        text = _URL_USER.sub(rf"\1{REDACTED}@", _WORD.sub(_without_query, text))
    text = _BEARER.sub(rf"\1{REDACTED}", text)
    return _ASSIGNMENT.sub(rf"\1{REDACTED}", text)


def _without_query(word: re.Match[str]) -> str:
    url = word.group()
    scheme_end = url.find("://")
    query = url.find("?", scheme_end) if scheme_end >= 0 else -1
    return url if query < 0 else f"{url[:query]}?{REDACTED}"


def _clean(name: str, value: Any) -> Any:
    if _SECRET_NAME.search(name) and value is not None:
        return REDACTED
    if isinstance(value, BaseException):
        value = f"{type(value).__name__}: {value}"
    elif isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        return {str(key): _clean(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", item) for item in value]
    return value


def escape_controls(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Processor for terminals: an uploader's title must not move the cursor or recolour the screen."""
    return {
        name: _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", value)
        if isinstance(value, str)
        else value
        for name, value in event.items()
    }
