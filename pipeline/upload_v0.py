"""The upload event before version 1, and the one function that lifts it.

Version 0 kept the claim flat, knew a single yes/no about AI, and one licence reference. Its documents are
still accepted (a reader speaks its own version and the one before); its schema is frozen in
`deploy/schemas/upload.v0.json`. When version 2 comes, this module goes and `upload_v1.py` takes its place.
"""

from __future__ import annotations

from pydantic import Field

from pipeline.evidence import Document
from pipeline.payloads import NO_CONTROL_CHARACTERS, AiDisclosure, Claim, Identifier, Upload

UPLOAD_V0_TYPE = "org.soundalike.upload.v0"


class UploadV0(Document):
    """Payload of `uploads`, version 0."""

    upload_id: Identifier
    uri: str = Field(min_length=1, max_length=4096, pattern=NO_CONTROL_CHARACTERS)
    uploader: Identifier
    artist: str | None = None
    title: str | None = None
    isrc: str | None = None
    ai_declared: bool | None = Field(None, description="does any part come from a machine? null: not said")
    licence: Identifier | None = None
    territory: str | None = Field(None, pattern="^[A-Z]{2}$")


def upgrade_upload(old: UploadV0) -> Upload:
    """The same statement in version 1.

    `ai_declared` did not say where the machine was at work, so yes becomes yes for every part and no becomes
    no for every part: consent is asked about "any part", and the answer to that is unchanged.
    """
    return Upload(
        upload_id=old.upload_id,
        uri=old.uri,
        uploader=old.uploader,
        claim=Claim(artist=old.artist, title=old.title, isrc=old.isrc),
        ai_disclosure=AiDisclosure(
            vocals=old.ai_declared, instruments=old.ai_declared, post_production=old.ai_declared
        ),
        licences=() if old.licence is None else (old.licence,),
        territory=old.territory,
    )
