"""A real S3 API on this machine (moto's server), reached as a user reaches any: by the environment."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

BUCKET = "soundalike-test"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket's URI, with credentials and address in the environment."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "anna",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()  # fsspec keeps clients, and with them an earlier test's address
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield f"s3://{BUCKET}"
    listed = client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    for each in listed:
        client.delete_object(Bucket=BUCKET, Key=each["Key"])
    client.delete_bucket(Bucket=BUCKET)
    client.close()
    S3FileSystem.clear_instance_cache()
