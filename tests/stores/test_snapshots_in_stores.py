"""Copies of the catalog in stores that are no folder of this machine: S3, and fsspec's memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import boto3
import fsspec
import numpy as np
import pytest

from classifiers.fingerprint import ReferencePrint
from index.catalog import Catalog
from index.library import Library
from index.merge import Merger
from index.remote import PRINTS_FOLDER, Place
from index.serving import ServingCatalog
from index.snapshot import pull, push
from index.tracks import Track
from soundalike.errors import CatalogDamaged, CatalogError

MODEL = "a" * 64
BUCKET = "soundalike-test"


def heard(seed: int, *, windows: int = 24) -> ReferencePrint:
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((windows, 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return ReferencePrint(
        duration_s=windows / 2,
        vectors=np.round(vectors * 127).astype(np.int8),
        starts_s=np.arange(windows, dtype=np.float32) / 2,
        contour=random.integers(0, 256, (5 * windows, 19), dtype=np.uint8),
    )


def track(name: str) -> Track:
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    return Track(track_id=name, title=name, audio_sha256=sha256, duration_s=12.0)


@pytest.fixture(params=["s3", "memory"])
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "s3":
        yield f"{request.getfixturevalue('s3')}/backup/catalog"
        return
    yield "memory://backup/catalog"
    fsspec.filesystem("memory").rm("/backup", recursive=True)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """`a` and `b` in a shard, `c` in the head."""
    with Catalog.open(tmp_path / "data", create=True) as opened:
        for number, name in enumerate("ab"):
            opened.add(track(name), heard(number), model_sha256=MODEL)
        Merger(opened, model_sha256=MODEL).tend(at_least=1)
        opened.add(track("c"), heard(2), model_sha256=MODEL)
        yield opened


def booted(folder: Path, place: str) -> set[str]:
    """The tracks that a fresh worker recognises."""
    pull(folder, source=place, model_sha256=MODEL, with_tables=True)
    with Catalog.open(folder, snapshot=place) as catalog:
        serving = ServingCatalog(catalog, build=lambda library: library, model_sha256=MODEL)
        serving.refresh()
        library: Library = serving.current().value
        found = set()
        for number, name in enumerate("abcd"):
            query = heard(number).vectors[:1].astype(np.float32)
            near = library.search(query / np.linalg.norm(query), 1)
            if near.similarity.size and near.similarity[0, 0] > 0.99:
                assert library.track_id(int(near.track[0, 0])) == name
                found.add(name)
    return found


def test_a_worker_boots_from_a_copy_and_later_from_a_newer_one(
    catalog: Catalog, place: str, tmp_path: Path
) -> None:
    first = push(catalog, model_sha256=MODEL, to=place)
    assert first is not None
    assert first.generation == 3
    assert booted(tmp_path / "one", place) == {"a", "b", "c"}
    assert push(catalog, model_sha256=MODEL, to=place) is None  # nothing new

    catalog.remove("a")
    catalog.add(track("d"), heard(3), model_sha256=MODEL)
    Merger(catalog, model_sha256=MODEL).tend(at_least=1)
    push(catalog, model_sha256=MODEL, to=place)
    assert booted(tmp_path / "two", place) == {"b", "c", "d"}


def test_damage_in_the_store_is_refused_by_name(catalog: Catalog, place: str, tmp_path: Path) -> None:
    push(catalog, model_sha256=MODEL, to=place)
    files, root = fsspec.core.url_to_fs(place)
    (name,) = [one for one in Place(place).names(PRINTS_FOLDER) if one.startswith(track("c").audio_sha256)]
    files.pipe_file(f"{root}/{PRINTS_FOLDER}/{name}", b"damaged")

    with pytest.raises(CatalogDamaged, match=name):
        booted(tmp_path / "one", place)


def test_a_bucket_that_is_not_there_is_no_place_and_is_not_made(catalog: Catalog, s3: str) -> None:
    with pytest.raises(CatalogError, match="the snapshot place s3://soundalike-tset/catalog failed") as told:
        push(catalog, model_sha256=MODEL, to="s3://soundalike-tset/catalog")
    assert "\n" not in str(told.value)
    client = boto3.client("s3")
    assert [each["Name"] for each in client.list_buckets()["Buckets"]] == [BUCKET]
    client.close()


@pytest.mark.parametrize("missing", ["credentials", "server"])
def test_a_store_that_can_not_be_used_is_one_line(
    catalog: Catalog, s3: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str
) -> None:
    if missing == "server":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    else:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for attempt in (
        lambda: push(catalog, model_sha256=MODEL, to=f"{s3}/catalog"),
        lambda: pull(tmp_path / "one", source=f"{s3}/catalog", model_sha256=MODEL, with_tables=True),
    ):
        with pytest.raises(CatalogError, match="check the URI and its credentials") as told:
            attempt()
        assert "\n" not in str(told.value)
