"""The topics as an AsyncAPI 3.0 document: which event travels where, under which key, with which promise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline import topics
from pipeline.events import (
    ATTRIBUTION_TYPE,
    CATALOG_TYPE,
    DEAD_LETTER_TYPE,
    DECISION_TYPE,
    FLAG_TYPE,
    UPLOAD_TYPE,
    UPLOAD_V0_TYPE,
    VERDICT_TYPE,
    schema_name,
)

VERSION = "1.0.0"
"""Of the contract, not of the software: a new optional field raises the middle number."""

SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"

_DELIVERY = (
    "Every value is a CloudEvent 1.0 in structured JSON mode (UTF-8). Delivery is at least once: the "
    "same event may come again, with the same id; drop what you have seen. Events of one key keep "
    "their order. An upload ends in exactly one of `verdicts` and `uploads.dlq`. Input offsets are "
    "committed only after all that follows from them is acknowledged by the broker. Readers ignore "
    "fields that they do not know; a new version of a payload is a new event type, and a reader "
    "accepts its own and the one before."
)


@dataclass(frozen=True)
class Channel:
    """One topic, seen from the product as a whole."""

    topic: str
    event_types: tuple[str, ...]
    key: str
    producer: str
    consumer: str
    summary: str
    direction: str
    """`receive`: Soundalike reads it; `send`: Soundalike writes it."""


CHANNELS = (
    Channel(
        topic=topics.UPLOADS,
        event_types=(UPLOAD_TYPE, UPLOAD_V0_TYPE),
        key="upload_id",
        producer="upload service",
        consumer="pipeline",
        summary="A recording was uploaded: where its audio lies and what the uploader says about it.",
        direction="receive",
    ),
    Channel(
        topic=topics.CATALOG,
        event_types=(CATALOG_TYPE,),
        key="track_id",
        producer="rightsholder operations",
        consumer="index",
        summary="A track was added or removed, or its terms changed. Revisions count up for each track.",
        direction="receive",
    ),
    Channel(
        topic=topics.VERDICTS,
        event_types=(VERDICT_TYPE,),
        key="upload_id",
        producer="pipeline",
        consumer="upload service",
        summary="The current verdict on an upload, with its whole evidence. The newest one of a key stands.",
        direction="send",
    ),
    Channel(
        topic=topics.FLAGS,
        event_types=(FLAG_TYPE,),
        key="upload_id",
        producer="pipeline",
        consumer="review",
        summary="A flagged upload, for people to look at.",
        direction="send",
    ),
    Channel(
        topic=topics.ATTRIBUTIONS,
        event_types=(ATTRIBUTION_TYPE,),
        key="upload_id",
        producer="pipeline",
        consumer="royalties",
        summary="A licensed use: which seconds of which work, under which terms, and who shares in it.",
        direction="send",
    ),
    Channel(
        topic=topics.DEAD_LETTERS,
        event_types=(DEAD_LETTER_TYPE,),
        key="upload_id, or the key of the original record when that is not known",
        producer="pipeline",
        consumer="operators",
        summary="A record that could not be judged: its original bytes, why, and at which step.",
        direction="send",
    ),
    Channel(
        topic=topics.CATALOG_DEAD_LETTERS,
        event_types=(DEAD_LETTER_TYPE,),
        key="the key of the original record",
        producer="index",
        consumer="operators",
        summary="A change of the catalog that could not be applied: its original bytes, and why.",
        direction="send",
    ),
    Channel(
        topic=topics.DECISIONS,
        event_types=(DECISION_TYPE,),
        key="upload_id",
        producer="review",
        consumer="upload service, pipeline",
        summary="What a person decided about a flag. Revisions count up for each upload; the highest stands.",
        direction="send",
    ),
)


def asyncapi_document() -> dict[str, Any]:
    """The document as plain dicts and lists; schemas are referred to, relative to deploy/."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Soundalike",
            "version": VERSION,
            "description": _DELIVERY,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {_slug(channel.topic): _channel(channel) for channel in CHANNELS},
        "operations": {
            f"{channel.direction}_{_slug(channel.topic)}": _operation(channel) for channel in CHANNELS
        },
        "components": {
            "messages": {
                schema_name(event_type): _message(event_type, channel)
                for channel in CHANNELS
                for event_type in channel.event_types
            }
        },
    }


def asyncapi_yaml() -> str:
    """The document as YAML, headed by how it is made."""
    import yaml  # noqa: PLC0415 (a tool of those who change contracts, not of those who run the pipeline)

    body = yaml.safe_dump(asyncapi_document(), sort_keys=False, allow_unicode=True, width=110)
    return f"# Written by `python -m pipeline.schemas --write`; not edited by hand.\n{body}"


def _channel(channel: Channel) -> dict[str, Any]:
    return {
        "address": channel.topic,
        "summary": channel.summary,
        "description": f"Key: {channel.key}. From: {channel.producer}. To: {channel.consumer}.",
        "messages": {
            schema_name(event_type): {"$ref": f"#/components/messages/{schema_name(event_type)}"}
            for event_type in channel.event_types
        },
        "bindings": {"kafka": _kafka_topic(channel.topic)},
    }


def _kafka_topic(topic: str) -> dict[str, Any]:
    """As `pipeline.topics` creates it; where it sets nothing, the broker's own defaults hold."""
    settings = dict(topics.plan(topic).settings)
    limit = settings.get("max.message.bytes")
    configuration = {} if limit is None else {"topicConfiguration": {"max.message.bytes": int(limit)}}
    return {"topic": topic, **configuration, "bindingVersion": "0.5.0"}


def _operation(channel: Channel) -> dict[str, Any]:
    slug = _slug(channel.topic)
    return {
        "action": channel.direction,
        "channel": {"$ref": f"#/channels/{slug}"},
        "summary": channel.summary,
        "messages": [
            {"$ref": f"#/channels/{slug}/messages/{schema_name(event_type)}"}
            for event_type in channel.event_types
        ],
    }


def _message(event_type: str, channel: Channel) -> dict[str, Any]:
    name = schema_name(event_type)
    return {
        "name": event_type,
        "contentType": "application/cloudevents+json",
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": {"$ref": f"./schemas/{name}.json"}},
        "bindings": {
            "kafka": {"key": {"type": "string", "description": channel.key}, "bindingVersion": "0.5.0"},
        },
    }


def _slug(topic: str) -> str:
    return topic.replace(".", "_")
