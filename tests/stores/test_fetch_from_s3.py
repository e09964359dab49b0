"""Fetching uploads by s3:// from a real S3 API, as the job does."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import boto3
import pytest

from pipeline.fetch import FetchPolicy, fetch
from soundalike.errors import AudioNotFound, AudioTooLarge, FetchFailed, UriNotAllowed

BUCKET = "soundalike-test"
CONTENT = os.urandom(3_000_000)
NAME = "in/what? is #this 100%.wav"


@pytest.fixture
def policy(s3: str, tmp_path: Path) -> FetchPolicy:
    client = boto3.client("s3")
    client.put_object(Bucket=BUCKET, Key=NAME, Body=CONTENT)
    client.put_object(Bucket=BUCKET, Key="in/empty.wav", Body=b"")
    client.put_object(Bucket=BUCKET, Key="secret/x.wav", Body=b"x")
    client.close()
    return FetchPolicy(prefixes=(f"{s3}/in/", "s3://no-such-bucket/"), temp_dir=tmp_path, timeout_s=20)


def test_an_object_is_copied_and_hashed(policy: FetchPolicy, tmp_path: Path) -> None:
    with fetch(f"s3://{BUCKET}/{NAME}", policy=policy) as fetched:
        assert fetched.path.read_bytes() == CONTENT
        assert fetched.sha256 == hashlib.sha256(CONTENT).hexdigest()
        assert fetched.size_bytes == len(CONTENT)
    with fetch(f"s3://{BUCKET}/in/empty.wav", policy=policy) as fetched:
        assert fetched.size_bytes == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("uri", "more", "error"),
    [
        (f"s3://{BUCKET}/in/missing.wav", {}, AudioNotFound),
        (f"s3://{BUCKET}/in/", {}, AudioNotFound),
        ("s3://no-such-bucket/x.wav", {}, AudioNotFound),
        (f"s3://{BUCKET}/{NAME}", {"max_bytes": 1_000_000}, AudioTooLarge),
        (f"s3://{BUCKET}/secret/x.wav", {}, UriNotAllowed),
        (f"s3://{BUCKET}/in/../secret/x.wav", {}, UriNotAllowed),
    ],
)
def test_what_can_not_be_fetched_leaves_nothing_behind(
    policy: FetchPolicy, uri: str, more: dict[str, Any], error: type[Exception], tmp_path: Path
) -> None:
    prefixes = policy.prefixes
    with pytest.raises(error):
        fetch(uri, policy=FetchPolicy(prefixes=prefixes, temp_dir=tmp_path, timeout_s=20, **more))
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_down_is_worth_another_attempt(
    policy: FetchPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    from s3fs import S3FileSystem  # noqa: PLC0415

    S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(FetchFailed):
        fetch(f"s3://{BUCKET}/{NAME}", policy=policy)
