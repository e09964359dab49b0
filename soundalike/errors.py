"""Every error that Soundalike raises on purpose, in one tree.

Callers catch by meaning, and each message says what was tried, on what, and what to do::

    SoundalikeError
    ├── SettingsError            a flag or environment variable has an unusable value
    ├── AudioError               this upload's audio can't be judged: verdict `undecodable`
    │   ├── UriNotAllowed        outside the configured prefixes, or an unsupported scheme
    │   ├── AudioNotFound        nothing lies at the URI
    │   ├── AudioTooLarge        more bytes, seconds, channels or samples than the limits allow
    │   ├── NotAudio             no decodable audio stream in it
    │   ├── AudioTruncated       the container promises more than could be decoded
    │   ├── AudioEmpty           decodes to no samples at all
    │   └── DecodeTimedOut       decoding took longer than the limit
    ├── FetchFailed              the store did not answer: transient, retried, then a dead letter
    ├── DecoderUnavailable       the decoding process can't be started: transient, not the upload's fault
    │   └── DecoderKilled        it starts, and is ended from outside on this upload: then a dead letter
    ├── EventError               this event can't be understood: dead letter with its original bytes
    │   ├── MalformedEvent       not JSON, not a CloudEvent, or not of the published schema
    │   └── UnsupportedEvent     a type or schema version this reader does not speak
    ├── CatalogError             the licensed catalog can't do what was asked
    │   ├── DuplicateTrack       the id is taken by another recording
    │   ├── UnknownTrack         no such id
    │   ├── CatalogBusy          another writer holds the catalog
    │   ├── CatalogUnavailable   its database does not answer or refuses
    │   └── CatalogDamaged       a file fails its checksum, or belongs to another model
    ├── ModelError               model weights are missing, damaged or of another interface
    ├── BrokerError              Kafka did not answer, or refused
    ├── ReviewError              the review desk can't do what was asked
    │   ├── UnknownCase          no such case, or none that this person may see
    │   ├── CaseTaken            somebody else holds the case, or the lease has lapsed
    │   ├── NotPermitted         this person's role does not allow it
    │   ├── DecisionRefused      incomplete, or not possible in the case's state
    │   ├── DeskBusy             too many write at once: try again
    │   ├── ProviderUnavailable  the identity provider did not answer: sign-in has to wait
    │   └── AuditBroken          the audit log was altered, or a part of it is missing
    └── JobFailed                the streaming job kept failing and was given up
"""

from __future__ import annotations

from typing import ClassVar


class SoundalikeError(Exception):
    """Base of all expected errors; `str(error)` is one line fit for a person."""

    reason: ClassVar[str] = "error"
    """Stable machine-readable code: a metric label, and the `reason` field of dead letters."""


class SettingsError(SoundalikeError):
    """A flag or environment variable has an unusable value."""

    reason = "settings"


class AudioError(SoundalikeError):
    """The audio of one upload can't be judged; the verdict is `undecodable`."""

    reason = "audio"


class UriNotAllowed(AudioError):
    """The URI is outside the configured prefixes, or of a scheme that is not served."""

    reason = "uri_not_allowed"


class AudioNotFound(AudioError):
    """Nothing lies at the URI."""

    reason = "not_found"


class AudioTooLarge(AudioError):
    """More bytes, seconds, channels or decoded samples than the configured limits."""

    reason = "too_large"


class NotAudio(AudioError):
    """The bytes hold no audio stream that can be decoded."""

    reason = "not_audio"


class AudioTruncated(AudioError):
    """The container promises clearly more audio than could be decoded."""

    reason = "truncated"


class AudioEmpty(AudioError):
    """The stream decodes to no samples."""

    reason = "empty"


class DecodeTimedOut(AudioError):
    """Decoding took longer than the configured limit."""

    reason = "decode_timed_out"


class FetchFailed(SoundalikeError):
    """The store did not answer. Transient: worth another attempt."""

    reason = "fetch_failed"


class DecoderUnavailable(SoundalikeError):
    """The decoding process can't be started. Says nothing about the upload: worth another attempt."""

    reason = "decoder_unavailable"


class DecoderKilled(DecoderUnavailable):
    """The decoding process starts, but something outside ends it each time on this upload, as for memory."""

    reason = "decoder_killed"


class EventError(SoundalikeError):
    """An event can't be understood; it is kept as a dead letter with its original bytes."""

    reason = "event"


class MalformedEvent(EventError):
    """Not JSON, not a CloudEvent, or not of the published schema."""

    reason = "malformed_event"


class UnsupportedEvent(EventError):
    """An event type or schema version that this reader does not speak."""

    reason = "unsupported_event"


class CatalogError(SoundalikeError):
    """The licensed catalog can't do what was asked."""

    reason = "catalog"


class DuplicateTrack(CatalogError):
    """The track id is already taken by another recording."""

    reason = "duplicate_track"


class UnknownTrack(CatalogError):
    """The catalog holds no track of this id."""

    reason = "unknown_track"


class CatalogBusy(CatalogError):
    """Another process is writing to the catalog."""

    reason = "catalog_busy"


class CatalogUnavailable(CatalogError):
    """The catalog's database does not answer, or refuses. Says nothing about what was asked."""

    reason = "catalog_unavailable"


class CatalogDamaged(CatalogError):
    """A catalog file fails its checksum, or was made with another model."""

    reason = "catalog_damaged"


class ModelError(SoundalikeError):
    """Model weights are missing, damaged, or of another interface."""

    reason = "model"


class BrokerError(SoundalikeError):
    """Kafka did not answer, or refused the request."""

    reason = "broker"


class JobFailed(SoundalikeError):
    """The streaming job kept failing, or its runner ended it; restarting it here is no longer of use."""

    reason = "job_failed"


class ReviewError(SoundalikeError):
    """The review desk can't do what was asked."""

    reason = "review"


class UnknownCase(ReviewError):
    """No such case, or none that this person may see."""

    reason = "unknown_case"


class CaseTaken(ReviewError):
    """Somebody else holds the case, or the lease that the request relies on has lapsed."""

    reason = "case_taken"


class NotPermitted(ReviewError):
    """This person's role does not allow it."""

    reason = "not_permitted"


class DecisionRefused(ReviewError):
    """The decision is incomplete, or not possible in the state that the case is in."""

    reason = "decision_refused"


class DeskBusy(ReviewError):
    """Too many write at once, or the database can't be reached now: the same request may succeed later."""

    reason = "desk_busy"


class ProviderUnavailable(ReviewError):
    """The OpenID Connect provider did not answer, or not as one."""

    reason = "provider_unavailable"


class AuditBroken(ReviewError):
    """The audit log was altered, or a part of it is missing."""

    reason = "audit_broken"
