"""The demo's recordings and uploads are complete, attributed, small, and what they claim to be."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import av
import numpy as np
import pytest

from bench.clonebench.recordings import RATE_HZ, read
from index.terms import Decision, Use, check_term, decide, licensees_of
from index.tracks import RECORDING_ROLES
from pipeline.evidence import Verdict
from soundalike.demo_uploads import (
    DEMO_AUDIO,
    MACHINE_LICENSEE,
    OWN_LABEL_ACCOUNT,
    DemoUpload,
    demo_catalog,
    render_uploads,
)


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DemoUpload]:
    out = tmp_path_factory.mktemp("uploads")
    seen: list[tuple[int, int, str]] = []
    rendered = render_uploads(DEMO_AUDIO, out, lambda done, total, name: seen.append((done, total, name)))
    assert [done for done, _, _ in seen] == list(range(17))
    return {upload.file.stem: upload for upload in rendered}


def test_recordings_are_few_megabytes_of_half_a_minute_to_a_minute_each() -> None:
    files = sorted(DEMO_AUDIO.glob("*.opus"))
    assert len(files) >= 14
    assert sum(file.stat().st_size for file in files) <= 9_000_000
    for file in files:
        assert 30.0 <= read(file).shape[1] / RATE_HZ <= 60.0


def test_every_recording_is_attributed_under_a_licence_that_allows_it() -> None:
    text = (DEMO_AUDIO / "ATTRIBUTION.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    assert set(rows) == {file.name for file in DEMO_AUDIO.glob("*.opus")}
    for row in rows.values():
        assert "[CC BY-SA 3.0](https://creativecommons.org/licenses/by-sa/3.0/)" in row or (
            "[CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/)" in row
        )
        assert "GPL" not in row


def test_the_catalog_is_consistent() -> None:
    catalog = demo_catalog()
    assert len(catalog.tracks) >= 12
    ids = {track.track_id for track in catalog.tracks}
    for track in catalog.tracks:
        assert (DEMO_AUDIO / track.file).is_file()
        assert sum(right.share for right in track.rights) == Decimal(1)
        assert all(right.role in RECORDING_ROLES for right in track.rights)
    holders = {right.rightsholder for track in catalog.tracks for right in track.rights}
    for term in catalog.terms:
        check_term(term)
        assert term.rightsholder in holders
        assert term.track_id is None or term.track_id in ids
    assert (OWN_LABEL_ACCOUNT, "Heuchi1 Eigenverlag") in catalog.accounts


def test_the_uploads_of_the_story_are_all_there(uploads: dict[str, DemoUpload]) -> None:
    edited = (
        "mp3-32k",
        "pitch-plus-2",
        "tempo-1.15",
        "nightcore",
        "noise-and-reverb",
        "voice-over",
        "dj-quote",
    )
    expected = dict.fromkeys(("untouched-copy", "ai-unlicensed", *edited), Verdict.FLAGGED)
    expected |= dict.fromkeys(("unrelated-1", "unrelated-2", "own-upload", "silence"), Verdict.CLEAR)
    expected |= dict.fromkeys(("truncated", "text"), Verdict.UNDECODABLE)
    expected["ai-licensed"] = Verdict.LICENSED
    assert {name: upload.expected_verdict for name, upload in uploads.items()} == expected
    assert len({upload.upload_id for upload in uploads.values()}) == 16
    ids = {track.track_id for track in demo_catalog().tracks}
    for upload in uploads.values():
        assert upload.expected_track is None or upload.expected_track in ids
        assert upload.file.stat().st_size > 0


def test_terms_give_the_expected_verdicts(uploads: dict[str, DemoUpload]) -> None:
    catalog = demo_catalog()
    tracks = {track.track_id: track for track in catalog.tracks}
    for upload in uploads.values():
        if upload.expected_track is None:
            continue
        derivative = bool(upload.ai_disclosure.instruments)
        allowed = all(
            decide(
                catalog.terms,
                rightsholder=right.rightsholder,
                track_id=upload.expected_track,
                use=Use.AI_DERIVATIVE if derivative else Use.VERBATIM_USE,
                licensees=licensees_of(upload.uploader, upload.licences),
                territory=None,
                at=catalog.terms[0].valid_from,
            ).decision
            is Decision.ALLOW
            for right in tracks[upload.expected_track].rights
        )
        own = {holder for account, holder in catalog.accounts if account == upload.uploader} >= {
            right.rightsholder for right in tracks[upload.expected_track].rights
        }
        assert allowed == (upload.expected_verdict is Verdict.LICENSED), upload.upload_id
        assert own == (upload.expected_verdict is Verdict.CLEAR), upload.upload_id
    assert uploads["ai-licensed"].uploader == MACHINE_LICENSEE
    assert uploads["ai-licensed"].file.read_bytes() == uploads["ai-unlicensed"].file.read_bytes()


def test_untouched_means_untouched(uploads: dict[str, DemoUpload]) -> None:
    for name, track in (("untouched-copy", "secret-garden"), ("own-upload", "alien-signal")):
        assert uploads[name].file.read_bytes() == (DEMO_AUDIO / f"{track}.opus").read_bytes()


@pytest.mark.parametrize(
    ("name", "low_s", "high_s"),
    [
        ("mp3-32k", 39, 41),
        ("tempo-1.15", 27, 29),
        ("nightcore", 27, 29),
        ("dj-quote", 33, 35),
        ("silence", 20, 20.1),
    ],
)
def test_uploads_last_as_long_as_what_was_done_makes_them(
    uploads: dict[str, DemoUpload], name: str, low_s: float, high_s: float
) -> None:
    assert low_s <= read(uploads[name].file).shape[1] / RATE_HZ <= high_s


def test_the_broken_ones_are_broken_and_the_silent_one_silent(uploads: dict[str, DemoUpload]) -> None:
    with pytest.raises(av.error.FFmpegError), av.open(str(uploads["text"].file)) as container:
        next(container.decode(audio=0))
    with av.open(str(uploads["truncated"].file)) as container:
        promised_s = (container.duration or 0) / 1_000_000
        decoded = 0
        with suppress(av.error.FFmpegError):  # whether the decoder complains at the end is its own affair
            for frame in container.decode(audio=0):
                decoded += frame.samples
        assert promised_s == pytest.approx(30.0)
        assert decoded / 48_000 < 20.0
    assert not np.any(read(uploads["silence"].file))


def test_rendering_is_the_same_every_time(uploads: dict[str, DemoUpload], tmp_path: Path) -> None:
    again = {upload.file.stem: upload for upload in render_uploads(DEMO_AUDIO, tmp_path)}
    for name, upload in uploads.items():
        first, second = (hashlib.sha256(one.file.read_bytes()).hexdigest() for one in (upload, again[name]))
        assert first == second, name
