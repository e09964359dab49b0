"""From the URI of a catalog recording to what the recogniser keeps of it."""

from __future__ import annotations

from dataclasses import dataclass

from classifiers.fingerprint import Fingerprinter
from pipeline.catalog_feed import HeardRecording
from pipeline.decode import DecodeLimits, decode
from pipeline.fetch import FetchPolicy, fetch
from pipeline.uri_rules import redact
from soundalike.errors import AudioEmpty, AudioError


@dataclass(frozen=True)
class Listener:
    """`pipeline.catalog_feed.ListenTo` over the network or the disk."""

    fingerprinter: Fingerprinter
    fetch_policy: FetchPolicy
    limits: DecodeLimits

    @property
    def model_sha256(self) -> str:
        return self.fingerprinter.sha256

    def __call__(self, uri: str) -> HeardRecording:
        """Raises AudioError for what is no recording; FetchFailed or DecoderUnavailable may pass."""
        with fetch(uri, policy=self.fetch_policy) as fetched:
            try:
                audio = decode(fetched.path, limits=self.limits).audio
            except AudioError as error:  # it names the temporary file
                raise type(error)(str(error).replace(fetched.path.name, redact(uri))) from error
            heard = self.fingerprinter.reference(audio)
            sha256 = fetched.sha256
        if len(heard.vectors) == 0:
            raise AudioEmpty(
                f"{redact(uri)}: too short or silent throughout; nothing could ever be recognised as it"
            )
        return HeardRecording(sha256, heard.duration_s, heard)
