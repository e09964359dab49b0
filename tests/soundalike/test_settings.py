"""Settings: where a value comes from, and how a wrong one is reported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soundalike.errors import SettingsError
from soundalike.settings import load_settings


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SOUNDALIKE_"):
            monkeypatch.delenv(name)


def test_the_command_line_beats_the_environment_beats_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().group == "soundalike"
    monkeypatch.setenv("SOUNDALIKE_GROUP", "from-env")
    assert load_settings().group == "from-env"
    assert load_settings(group=None).group == "from-env"
    assert load_settings(group="from-flag").group == "from-flag"


def test_lists_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDALIKE_ALLOW_URI", "s3://uploads/, file:///srv/uploads/,")

    assert load_settings().allow_uri == ("s3://uploads/", "file:///srv/uploads/")


def test_an_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDALIKE_METRICS_PORT", "")

    assert load_settings().metrics_port is None


def test_folders_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    assert load_settings(data=Path("here"), spool=Path("~/spool")).data == tmp_path / "here"
    assert load_settings(spool=Path("~/spool")).spool == Path.home() / "spool"


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("SOUNDALIKE_METRICS_PORT", "http", "SOUNDALIKE_METRICS_PORT: input should be a valid integer"),
        ("SOUNDALIKE_SOURCE", "rabbit", "SOUNDALIKE_SOURCE: input should be 'kafka' or 'local'"),
        (
            "SOUNDALIKE_MAX_FALSE_POSITIVE_RATE",
            "2",
            "SOUNDALIKE_MAX_FALSE_POSITIVE_RATE: input should be less",
        ),
        ("SOUNDALIKE_TOPIC_PREFIX", "a b", "SOUNDALIKE_TOPIC_PREFIX: string should match"),
    ],
)
def test_a_wrong_variable_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError) as caught:
        load_settings()

    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


def test_a_wrong_flag_is_named_as_a_flag() -> None:
    with pytest.raises(SettingsError, match=r"^--min-matched-s: input should be greater"):
        load_settings(min_matched_s=-1)


def test_a_setting_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(SettingsError, match="--broker: extra inputs"):
        load_settings(broker="localhost:9092")


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDALIKE_SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("SOUNDALIKE_CATALOG_URL", "postgresql://u:hunter2@db/c")

    with pytest.raises(SettingsError, match="go together") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)

    settings = load_settings(sasl_username="u")
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings.model_dump())
    assert settings.sasl_password is not None
    assert settings.sasl_password.get_secret_value() == "hunter2"


def test_sasl_needs_a_user() -> None:
    with pytest.raises(SettingsError, match="security_protocol SASL_SSL needs sasl_username"):
        load_settings(security_protocol="SASL_SSL")
