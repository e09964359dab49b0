"""Every setting of Soundalike in one typed object, read once at the edge.

A value comes from the command line, else from the environment, else from the default here. The names are
the same everywhere: `--metrics-port`, `SOUNDALIKE_METRICS_PORT`, `settings.metrics_port`. Lists are
written with commas in the environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pipeline.policy import FlagAi, Policy
from soundalike.errors import SettingsError

PREFIX = "SOUNDALIKE_"

_POLICY = Policy()  # its thresholds are written down in one place, with what they rest on


def default_data_dir() -> Path:
    """Where the catalog lies when nobody says otherwise, e.g. ~/.local/share/soundalike."""
    return platformdirs.user_data_path("soundalike")


class Settings(BaseSettings):
    """All of it. Defaults suit a laptop; what a deployment sets is listed in docs/kafka.md."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, validate_default=True
    )

    # The memory and the ear
    data: Path = Field(default_factory=default_data_dir, description="Folder that holds the catalog.")
    catalog_url: SecretStr | None = Field(
        None, description="SQLAlchemy URL of the catalog's database; default: SQLite in the data folder."
    )
    snapshot: str | None = Field(
        None,
        description="URI of the catalog's copy: `catalog serve` keeps it, `run` gets newer prints from it.",
    )
    embedder: str | None = Field(
        None, description="Folder or hub id of another recognition model; default: the shipped one."
    )

    detector: Path | None = Field(
        None, description="Folder of another second ear's weights; default: the shipped ones."
    )

    # Where events come from and go to
    source: Literal["kafka", "local"] | None = Field(
        None, description="Kafka, or JSON Lines files in a folder; default: whichever of both is configured."
    )
    spool: Path | None = Field(None, description="Folder of the JSON Lines files.")
    brokers: str | None = Field(None, description="Kafka bootstrap servers, HOST:PORT[,HOST:PORT…].")
    group: str = Field("soundalike", min_length=1, description="Consumer group that owns the offsets.")
    topic_prefix: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,100}$", description="Put before every topic.")
    slots: int = Field(
        1, ge=1, le=1_000, description="Readers that share the partitions; more than 1 only on Flink."
    )
    once: bool = Field(False, description="End when everything that waits is judged.")
    partitions: int = Field(6, ge=1, le=10_000, description="Of topics that have to be created.")
    replication: int = Field(1, ge=1, le=100, description="Of topics that have to be created.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ssl_ca_file: Path | None = None
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None

    # What an upload may be, and cost
    allow_uri: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="URI prefixes that audio may be fetched from, e.g. s3://uploads/,file:///srv/uploads/.",
    )
    private_host: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="https hosts that may resolve to private or loopback addresses."
    )
    max_bytes: int = Field(512 * 2**20, ge=1_000, description="Of one file.")
    max_duration_s: float = Field(3600.0, gt=0, description="Of one recording.")
    max_channels: int = Field(8, ge=1, le=64, description="Of one recording; 8 is 7.1.")
    max_decode_s: float = Field(60.0, gt=0, description="Wall seconds for decoding one recording.")
    fetch_timeout_s: float = Field(60.0, gt=0, description="Wall seconds for fetching one file.")
    fetch_attempts: int = Field(4, ge=1, le=20, description="Before an upload becomes a dead letter.")

    # The policy
    max_false_positive_rate: float = Field(
        _POLICY.max_false_positive_rate, gt=0, le=1, description="A match above it does not count."
    )
    min_matched_s: float = Field(
        _POLICY.min_matched_s, ge=0, description="A track must be matched for so long to count."
    )
    min_ai_probability: float = Field(
        _POLICY.min_ai_probability,
        gt=0,
        le=1,
        description="The low end of the detector's interval from which its word counts.",
    )
    flag_ai: FlagAi = Field(
        _POLICY.flag_ai, description="Which machine-made uploads that reuse nothing go to people."
    )

    # Seen
    metrics_port: int | None = Field(None, ge=0, le=65535, description="Serve Prometheus metrics; 0: any.")
    metrics_address: str = Field("127.0.0.1", description="Address that the metrics are served on.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("allow_uri", "private_host", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("data", "detector", "spool", "ssl_ca_file")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        """The job may change its folder, and a worker may live in another one."""
        return None if value is None else value.expanduser().absolute()

    @model_validator(mode="after")
    def _password_needs_a_user(self) -> Settings:
        if (self.sasl_username is None) != (self.sasl_password is None):
            raise ValueError("sasl_username and sasl_password go together")
        if self.security_protocol.startswith("SASL") and self.sasl_username is None:
            raise ValueError(
                f"security_protocol {self.security_protocol} needs sasl_username and sasl_password"
            )
        return self


def load_settings(**given: object) -> Settings:
    """Settings from the command line's `given` values (None: not given), the environment and the defaults.

    Raises SettingsError: one line that names the setting, where it came from, and what is wrong with it.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings(**chosen)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError(_one_line(error, chosen)) from None  # the cause would print a secret's value


def _one_line(error: ValidationError, given: dict[str, object]) -> str:
    faults = []
    for fault in error.errors(include_url=False, include_input=False, include_context=False):
        message = fault["msg"].removeprefix("Value error, ")
        if not fault["loc"]:
            faults.append(message)
            continue
        name = str(fault["loc"][0])
        label = f"--{name.replace('_', '-')}" if name in given else f"{PREFIX}{name.upper()}"
        faults.append(f"{label}: {message[:1].lower()}{message[1:]}")
    return "; ".join(faults)
