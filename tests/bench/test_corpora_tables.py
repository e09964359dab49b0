"""Splits are fixed, duplicates are found, tables survive."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from bench.corpora import (
    SOURCES,
    Source,
    Track,
    fetch,
    link_split,
    main,
    music_files,
    read_table,
    write_table,
)
from bench.duplicates import SAME_SIMILARITY, Sketch, duplicates, similarity
from bench.splits import SPLIT_OF_PACKAGE, Split, split_of
from soundalike.errors import SettingsError


def test_every_source_has_a_split_and_the_table_is_as_published() -> None:
    for source in SOURCES:
        assert split_of(source.package) in Split
    # A digest in words: whoever moves a package has to come by here, and to think of the published numbers.
    assert sorted(name for name, split in SPLIT_OF_PACKAGE.items() if split is Split.TRAIN) == [
        "0ad-data",
        "blobwars-data",
        "extremetuxracer-data",
        "fretsonfire-songs-muldjord",
        "planetblupi-music-ogg",
        "ufoai-music",
        "wesnoth-1.16-music",
    ]
    assert sum(split is Split.TUNE for split in SPLIT_OF_PACKAGE.values()) == 6


def test_an_unknown_package_has_no_split() -> None:
    with pytest.raises(SettingsError, match="no split is fixed for the package 'tetris-data'"):
        split_of("tetris-data")


def _chroma(frames: int, *, seed: int) -> np.ndarray:
    """Chords that last two seconds, as music's do."""
    random = np.random.default_rng(seed)
    chords = random.random((12, frames // 8 + 1)).astype(np.float32)
    chroma = np.repeat(chords, 8, axis=1)[:, :frames]
    return (chroma - chroma.mean(axis=1, keepdims=True)).astype(np.float32)


def _sketch(chroma: np.ndarray) -> Sketch:
    return Sketch(chroma, chroma.shape[1] / 4, "", "")


def test_similarity_finds_a_noisy_excerpt_and_no_stranger() -> None:
    long = _chroma(800, seed=1)
    excerpt = long[:, 200:500] + 0.1 * np.random.default_rng(9).standard_normal((12, 300)).astype(np.float32)
    assert similarity(excerpt, long) > 0.9
    assert similarity(long, excerpt) > 0.9
    assert similarity(_chroma(300, seed=2), long) < SAME_SIMILARITY


def test_duplicates_keep_the_longer_one_and_name_the_reason() -> None:
    piece = _chroma(800, seed=1)
    other = _chroma(600, seed=2)
    rows = [
        ("a/short.ogg", "1", _sketch(piece[:, 100:500])),
        ("a/piece.ogg", "2", _sketch(piece)),
        ("b/other.ogg", "3", _sketch(other)),
        ("b/copy.ogg", "3", _sketch(other)),
        ("b/Other_fast.ogg", "4", _sketch(_chroma(500, seed=3))),
    ]
    dropped = duplicates(rows)
    assert dropped["a/short.ogg"][0] == "a/piece.ogg"
    assert dropped["b/copy.ogg"] == ("b/other.ogg", "the same bytes")
    assert dropped["b/Other_fast.ogg"] == ("b/other.ogg", "another edition by its name")
    assert set(dropped) == {"a/short.ogg", "b/copy.ogg", "b/Other_fast.ogg"}


def test_tables_survive_the_way_to_disk_and_links_lead_to_the_files(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "tune, with comma").write_bytes(b"x")
    row = Track("raw/tune, with comma", "krank", 'a "b"', "tüne", 61.25, "ab" * 32, Split.TUNE)
    write_table([row], tmp_path / "tracks.csv")
    assert read_table(tmp_path) == [row]
    assert read_table(tmp_path, split=Split.TEST) == []
    assert link_split(tmp_path, Split.TUNE, tmp_path / "links") == 1
    (link,) = (tmp_path / "links").iterdir()
    assert link.read_bytes() == b"x"
    with pytest.raises(SettingsError, match=r"python -m bench\.corpora"):
        read_table(tmp_path / "raw")


def test_links_are_of_what_lasts_long_enough_and_of_every_so_manieth(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.ogg").write_bytes(b"x")
    rows = [Track(f"{n}.ogg", "krank", "a", "t", 60.0 + 30 * n, f"{n}" * 64, Split.TUNE) for n in range(6)]
    write_table(rows, tmp_path / "tracks.csv")
    linked = tmp_path / "links"
    assert link_split(tmp_path, Split.TUNE, linked, every=2, shortest_s=90.0) == 3
    assert sorted(link.resolve().name for link in linked.iterdir()) == ["1.ogg", "3.ogg", "5.ogg"]


def test_an_unknown_split_is_named_with_those_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--root", str(tmp_path), "--link", "all", str(tmp_path / "links")]) == 2
    assert "no split is called 'all'; there are: train, tune, test" in capsys.readouterr().err
    assert not (tmp_path / "links").exists()


def test_music_is_taken_from_archives_and_nothing_else(tmp_path: Path) -> None:
    source = Source("krank", ("music/*.ogg",), archive="*/data.pk3", excluded=("*/test-*",))
    folder = tmp_path / "krank"
    (folder / "base").mkdir(parents=True)
    with zipfile.ZipFile(folder / "base" / "data.pk3", "w") as packed:
        for name in ("music/a.ogg", "music/test-b.ogg", "sound/bang.ogg", "music/../../evil.ogg"):
            packed.writestr(name, name)
    with pytest.raises(SettingsError, match="an entry outside its folder"):
        music_files(source, folder=folder, unpacked=tmp_path / "out")
    with zipfile.ZipFile(folder / "base" / "data.pk3", "w") as packed:
        for name in ("music/a.ogg", "music/test-b.ogg", "sound/bang.ogg"):
            packed.writestr(name, name)
    found = music_files(source, folder=folder, unpacked=tmp_path / "out")
    assert [path.name for path in found] == ["a.ogg"]
    assert not (tmp_path / "out" / "krank" / "sound").exists()


def test_fetching_without_debian_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SettingsError, match="run on Debian or Ubuntu, or unpack the package there by hand"):
        fetch("krank", raw=tmp_path / "raw")
    (tmp_path / "raw" / "krank").mkdir(parents=True)
    assert fetch("krank", raw=tmp_path / "raw") == tmp_path / "raw" / "krank"
