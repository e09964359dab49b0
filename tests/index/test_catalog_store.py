"""The catalog's promises about tracks, prints and generations, on SQLite and on PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.catalog import Catalog
from index.tracks import Right, Role, Track
from soundalike.errors import CatalogDamaged, CatalogError, DuplicateTrack, UnknownTrack

MODEL = "a" * 64
OTHER_MODEL = "b" * 64
HALVES = (
    Right("Firn Records", Decimal("0.5"), Role.LABEL),
    Right("Verlag", Decimal("0.5"), Role.PUBLISHER),
)


def loaded(catalog: Catalog, tiny_print: Any, *, model: str | None = None) -> dict[str, Any]:
    decode = type(tiny_print(0)).from_arrays
    return catalog.load_manifest_as(catalog.manifest(model_sha256=model), decode=decode)


def print_files(folder: Path) -> list[Path]:
    return sorted((folder / "data" / "prints").glob("*.safetensors"))


def test_a_track_comes_back_as_it_was_added(
    catalog: Catalog, open_catalog: Callable[..., Catalog], make_track: Any, tiny_print: Any
) -> None:
    track = make_track(
        "alp", title="Alpenglow ✨ 'quoted'", artists=("Anna", "Bô"), isrc="GBAYE0601498", iswc="T0345246801",
        release_date=date(2024, 5, 17),
    )  # fmt: skip
    before = datetime.now(UTC)
    added = catalog.add(track, tiny_print(1), model_sha256=MODEL, rights=HALVES)
    assert (added.generation, added.same_audio_as) == (1, ())
    again = open_catalog(create=False)
    stored = again.track("alp")
    assert stored.added_at is not None
    assert before <= stored.added_at <= datetime.now(UTC)
    assert replace(stored, added_at=None, model_sha256=None) == track
    assert stored.model_sha256 == MODEL
    assert again.rights_of("alp") == HALVES
    assert again.all_rights() == {"alp": HALVES}
    assert again.generation() == 1
    prints = loaded(again, tiny_print)
    assert prints.keys() == {"alp"}
    assert prints["alp"].duration_s == 4.0
    np.testing.assert_array_equal(prints["alp"].vectors, tiny_print(1).vectors)
    assert prints["alp"].vectors.dtype == np.int8


def test_every_change_raises_the_generation_by_one_and_failures_do_not(
    catalog: Catalog, make_track: Any, tiny_print: Any
) -> None:
    seen = [catalog.generation()]

    def changed() -> None:
        seen.append(catalog.generation())

    catalog.add(make_track("a"), tiny_print(1), model_sha256=MODEL, rights=HALVES)
    changed()
    catalog.set_rights("a", [Right("Firn Records", Decimal(1))])
    changed()
    catalog.link_account("firn", rightsholder="Firn Records")
    changed()
    catalog.remove("a")
    changed()
    with pytest.raises(UnknownTrack):
        catalog.remove("a")
    with pytest.raises(UnknownTrack):
        catalog.set_rights("a", HALVES)
    with pytest.raises(CatalogError):
        catalog.withdraw_term("none")
    changed()
    assert seen == [0, 1, 2, 3, 4, 4]


def test_a_taken_id_is_refused_and_nothing_is_left_of_it(
    catalog: Catalog, tmp_path: Path, make_track: Any, tiny_print: Any
) -> None:
    catalog.add(make_track("alp"), tiny_print(1), model_sha256=MODEL)
    with pytest.raises(DuplicateTrack, match="'alp' is taken by another recording"):
        catalog.add(make_track("alp", audio="other"), tiny_print(2), model_sha256=MODEL)
    with pytest.raises(DuplicateTrack, match="'alp' is taken by the same recording"):
        catalog.add(make_track("alp"), tiny_print(1), model_sha256=MODEL)
    assert catalog.generation() == 1
    assert len(print_files(tmp_path)) == 1


def test_the_same_audio_under_two_ids_is_added_and_said(
    catalog: Catalog, tmp_path: Path, make_track: Any, tiny_print: Any
) -> None:
    catalog.add(make_track("first", audio="x"), tiny_print(1), model_sha256=MODEL)
    added = catalog.add(make_track("second", audio="x"), tiny_print(1), model_sha256=MODEL)
    assert added.same_audio_as == ("first",)
    prints = loaded(catalog, tiny_print)
    assert prints["first"] is prints["second"]
    assert len(print_files(tmp_path)) == 1


def test_a_slightly_different_print_of_the_same_audio_serves_both_ids(
    catalog: Catalog, make_track: Any, tiny_print: Any
) -> None:
    catalog.add(make_track("first", audio="x"), tiny_print(1), model_sha256=MODEL)
    old = catalog.manifest()
    catalog.add(make_track("second", audio="x"), tiny_print(2), model_sha256=MODEL)
    prints = loaded(catalog, tiny_print)
    np.testing.assert_array_equal(prints["first"].vectors, tiny_print(2).vectors)
    kept = catalog.load_manifest_as(old, decode=type(tiny_print(0)).from_arrays)
    np.testing.assert_array_equal(kept["first"].vectors, tiny_print(1).vectors)


def test_replacing_and_coming_back_keep_the_history(
    catalog: Catalog, make_track: Any, tiny_print: Any
) -> None:
    def add(audio: str, title: str, *, replacing: bool = False) -> None:
        track = make_track("alp", audio=audio, title=title)
        catalog.add(track, tiny_print(1), model_sha256=MODEL, rights=HALVES, replace=replacing)

    add("one", "One")
    add("two", "Two", replacing=True)
    assert catalog.track("alp").title == "Two"
    catalog.remove("alp")
    assert catalog.find("alp") is None
    assert catalog.tracks() == []
    add("three", "Three")
    titles = {g: [track.title for track in catalog.tracks(at_generation=g)] for g in range(5)}
    assert titles == {0: [], 1: ["One"], 2: ["Two"], 3: [], 4: ["Three"]}
    assert [track.title for track in catalog.tracks()] == ["Three"]


def test_an_unknown_track_is_named(catalog: Catalog) -> None:
    for ask in (catalog.track, catalog.remove, catalog.rights_of):
        with pytest.raises(UnknownTrack, match="no track 'nowhere'"):
            ask("nowhere")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"track_id": ""}, "the track id is ''"),
        ({"track_id": "a\nb"}, "the track id"),
        ({"title": "  "}, "no title"),
        ({"audio_sha256": "ABC"}, "no sha256"),
        ({"duration_s": 0.0}, "lasts 0.0 s"),
        ({"duration_s": float("nan")}, "lasts nan s"),
        ({"isrc": "GB-AYE-06-01498"}, "as GBAYE0601498"),
        ({"isrc": "nonsense"}, "no ISRC"),
        ({"iswc": "T0345246802"}, "check digit"),
    ],
)
def test_a_track_that_cannot_be_meant_is_refused(
    catalog: Catalog, make_track: Any, tiny_print: Any, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(CatalogError, match=message):
        catalog.add(replace(make_track("alp"), **change), tiny_print(1), model_sha256=MODEL)
    assert catalog.generation() == 0


@pytest.mark.parametrize(
    ("rights", "message"),
    [
        ((Right("A", Decimal("0.5")),), r"sum to 0\.5, not to 1"),
        ((Right("A", Decimal("0.5")), Right("A", Decimal("0.5"))), "listed twice"),
        ((Right("A", Decimal("1.5")), Right("B", Decimal("-0.5"))), "holds -0.5"),
        ((Right(" ", Decimal(1)),), "a rightsholder of alp"),
    ],
)
def test_shares_that_cannot_be_meant_are_refused(
    catalog: Catalog, make_track: Any, tiny_print: Any, rights: tuple[Right, ...], message: str
) -> None:
    with pytest.raises(CatalogError, match=message):
        catalog.add(make_track("alp"), tiny_print(1), model_sha256=MODEL, rights=rights)
    catalog.add(make_track("alp"), tiny_print(1), model_sha256=MODEL, rights=HALVES)
    with pytest.raises(CatalogError, match=message):
        catalog.set_rights("alp", rights)
    assert catalog.rights_of("alp") == HALVES


def test_changed_shares_keep_their_history(
    open_catalog: Callable[..., Catalog], make_track: Any, tiny_print: Any
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def clock() -> datetime:
        return now

    catalog = open_catalog(clock=clock)
    catalog.add(make_track("alp"), tiny_print(1), model_sha256=MODEL, rights=HALVES)
    now += timedelta(days=30)
    sold = (Right("Gipfel", Decimal(1), Role.LABEL),)
    catalog.set_rights("alp", sold)
    assert catalog.rights_of("alp") == sold
    assert catalog.rights_of("alp", known_at=datetime(2026, 1, 30, tzinfo=UTC)) == HALVES
    with pytest.raises(UnknownTrack):
        catalog.rights_of("alp", known_at=datetime(2025, 12, 31, tzinfo=UTC))


def test_thirds_come_back_exactly(catalog: Catalog, make_track: Any, tiny_print: Any) -> None:
    thirds = tuple(Right(name, Decimal(share)) for name, share in (("A", "0.1"), ("B", "0.2"), ("C", "0.7")))
    catalog.add(make_track("alp"), tiny_print(1), model_sha256=MODEL, rights=thirds)
    shares = [right.share for right in catalog.rights_of("alp")]
    assert shares == [Decimal("0.1"), Decimal("0.2"), Decimal("0.7")]
    assert sum(shares) == 1


def test_a_second_model_is_filled_in_beside_the_first(
    catalog: Catalog, make_track: Any, tiny_print: Any
) -> None:
    tracks: list[Track] = [make_track(name) for name in ("a", "b")]
    for seed, track in enumerate(tracks):
        catalog.add(track, tiny_print(seed), model_sha256=MODEL)
    catalog.add_print(tracks[1].audio_sha256, tiny_print(9), model_sha256=OTHER_MODEL)
    with pytest.raises(CatalogError, match="several models"):
        catalog.manifest()
    assert loaded(catalog, tiny_print, model=MODEL).keys() == {"a", "b"}
    second = catalog.manifest(model_sha256=OTHER_MODEL)
    assert (second.files.keys(), second.unheard) == ({"b"}, ("a",))
    np.testing.assert_array_equal(
        loaded(catalog, tiny_print, model=OTHER_MODEL)["b"].vectors, tiny_print(9).vectors
    )
    assert catalog.has_print(tracks[0].audio_sha256, model_sha256=MODEL)
    assert not catalog.has_print(tracks[0].audio_sha256, model_sha256=OTHER_MODEL)
    with pytest.raises(UnknownTrack, match="no track has the audio"):
        catalog.add_print("f" * 64, tiny_print(1), model_sha256=MODEL)


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_print_is_refused_by_name_and_can_be_mended(
    catalog: Catalog, tmp_path: Path, make_track: Any, tiny_print: Any, damage: str
) -> None:
    track = make_track("alp")
    catalog.add(track, tiny_print(1), model_sha256=MODEL)
    (file,) = print_files(tmp_path)
    content = bytearray(file.read_bytes())
    if damage == "remove":
        file.unlink()
    else:
        content[-1] ^= 1
        file.write_bytes(bytes(content) if damage == "flip" else bytes(content[:-1]))
    with pytest.raises(CatalogDamaged, match=str(file)):
        loaded(catalog, tiny_print)
    assert not catalog.has_print(track.audio_sha256, model_sha256=MODEL)
    catalog.add_print(track.audio_sha256, tiny_print(1), model_sha256=MODEL)
    np.testing.assert_array_equal(loaded(catalog, tiny_print)["alp"].vectors, tiny_print(1).vectors)


def test_opening_makes_nothing_unless_asked(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="there is no catalog at"):
        Catalog.open(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_file_that_is_no_catalog_is_refused(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(b"This is no database." * 100)
    with pytest.raises(CatalogDamaged, match=r"catalog\.sqlite is damaged or no catalog"):
        Catalog.open(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CatalogError, match="can't make the folder"):
        Catalog.open(tmp_path / "file" / "data", create=True)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://root:secret@localhost/x", "not in mysql"),
        ("no url, secret", "can't be read"),
        ("sqlite://", "in memory would be lost"),
        ("postgresql://u:secret@127.0.0.1:1/x", "can't be used"),
    ],
)
def test_unusable_urls_are_refused_without_their_passwords(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises(CatalogError, match=message) as refusal:
        Catalog.open(tmp_path, url=url)
    assert "secret" not in str(refusal.value)


def test_commits_reach_the_disk(catalog: Catalog, database_url: str | None, tmp_path: Path) -> None:
    """WAL with full flushing: what was acknowledged outlives a power cut."""
    if database_url is not None:
        return  # the server's own settings decide
    with catalog._database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    file = sqlite3.connect(tmp_path / "data" / "catalog.sqlite")
    try:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    finally:
        file.close()
