"""From the settings to the objects they describe: the only place where both are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soundalike.errors import SettingsError
from soundalike.settings import Settings

if TYPE_CHECKING:
    from datetime import datetime

    from pipeline.decode import DecodeLimits
    from pipeline.equipment import EquipmentPlan, Past
    from pipeline.fetch import FetchPolicy
    from pipeline.log import Log

LOCAL_FILES = "file:///"
"""Everything that this user may read: for commands that judge files named on their own command line."""


def equipment_plan(
    settings: Settings, *, prefixes: tuple[str, ...] | None = None, past: Past | None = None
) -> EquipmentPlan:
    """How uploads are judged under these settings; `prefixes` instead of `settings.allow_uri`."""
    from pipeline.equipment import EquipmentPlan  # noqa: PLC0415 -- torch and Beam only where they are used
    from pipeline.policy import Policy  # noqa: PLC0415

    return EquipmentPlan(
        data_dir=settings.data,
        catalog_url=None if settings.catalog_url is None else settings.catalog_url.get_secret_value(),
        snapshot=settings.snapshot,
        embedder=settings.embedder,
        detector=settings.detector,
        fetch=fetch_policy(settings, prefixes=prefixes),
        limits=decode_limits(settings),
        policy=Policy(
            max_false_positive_rate=settings.max_false_positive_rate,
            min_matched_s=settings.min_matched_s,
            min_ai_probability=settings.min_ai_probability,
            flag_ai=settings.flag_ai,
        ),
        fetch_attempts=settings.fetch_attempts,
        past=past,
    )


def past_of(settings: Settings, *, generation: int, at: datetime | None = None, clamp: bool = False) -> Past:
    """A past generation of the catalog, as of `at`, by default of the instant that it began.

    clamp: for an `at` by another machine's clock: a little too early means that instant.
    Raises CatalogError if there was no such generation, SettingsError if it had not begun at `at`.
    """
    from index.catalog import Catalog  # noqa: PLC0415
    from pipeline.equipment import Past  # noqa: PLC0415

    url = None if settings.catalog_url is None else settings.catalog_url.get_secret_value()
    with Catalog.open(settings.data, url=url) as catalog:
        began = catalog.recorded_at(generation)
    if at is not None and clamp:
        at = max(at, began)
    if at is not None and at < began:
        raise SettingsError(
            f"generation {generation} of the catalog began at {began.isoformat()}, after"
            f" {at.isoformat()}; name a later instant or an earlier generation"
        )
    return Past(generation, at or began)


def fetch_policy(settings: Settings, *, prefixes: tuple[str, ...] | None = None) -> FetchPolicy:
    """From where audio may be fetched, and how much of it."""
    from pipeline.fetch import FetchPolicy  # noqa: PLC0415

    return FetchPolicy(
        prefixes=settings.allow_uri if prefixes is None else prefixes,
        max_bytes=settings.max_bytes,
        timeout_s=settings.fetch_timeout_s,
        private_hosts=frozenset(settings.private_host),
    )


def decode_limits(settings: Settings) -> DecodeLimits:
    from pipeline.decode import DecodeLimits  # noqa: PLC0415

    return DecodeLimits(
        max_duration_s=settings.max_duration_s,
        max_channels=settings.max_channels,
        max_decode_s=settings.max_decode_s,
    )


def open_log(settings: Settings, *, to_read: bool = False) -> Log:
    """Kafka or the spool, with all topics in it.

    to_read: a spool that is not there is not made: nothing would be found in it, and that looks like all is
    well. Raises SettingsError for that or if it is not clear which, BrokerError if it does not answer.
    """
    from pipeline import topics  # noqa: PLC0415

    log = _log(settings)
    if to_read and is_local(settings) and settings.spool is not None and not settings.spool.is_dir():
        raise SettingsError(
            f"there is no spool at {settings.spool}; name the folder that `soundalike run` and `publish` use"
        )
    topics.ensure(
        log, prefix=settings.topic_prefix, partitions=settings.partitions, replication=settings.replication
    )
    return log


def is_local(settings: Settings) -> bool:
    """Whether events go through a folder instead of Kafka. Raises SettingsError if it is not clear."""
    if settings.source is not None:
        return settings.source == "local"
    if settings.spool is not None and settings.brokers is not None:
        raise SettingsError("both brokers and a spool are set; say --source kafka or --source local")
    return settings.spool is not None


def _log(settings: Settings) -> Log:
    if is_local(settings):
        from pipeline.spool_log import SpoolLog  # noqa: PLC0415

        if settings.spool is None:
            raise SettingsError("--source local needs a folder for its files: --spool DIR")
        return SpoolLog(settings.spool)
    from pipeline.kafka_log import KafkaLog  # noqa: PLC0415

    if settings.brokers is None:
        raise SettingsError(
            "where are the events? Name a Kafka broker with --brokers HOST:PORT, or a folder with --spool DIR"
        )
    return KafkaLog(settings.brokers, options=_kafka_options(settings))


def _kafka_options(settings: Settings) -> tuple[tuple[str, str | int | bool], ...]:
    options: dict[str, str | int | bool] = {"security_protocol": settings.security_protocol}
    if settings.ssl_ca_file is not None:
        options["ssl_cafile"] = str(settings.ssl_ca_file)
    if settings.sasl_username is not None and settings.sasl_password is not None:
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    return tuple(options.items())
