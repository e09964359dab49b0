"""A year of terms: how long recording and looking up take when a million are on record.

    python -m bench.terms --terms 1000000 --tracks 50000 --out runs/terms.json [--catalog-url URL]

Terms are drawn with a fixed seed: 70 % for one track, 40 % to one licensee, 30 % for two territories, 15 %
new versions of earlier ones, recorded week by week over a year. Look-ups are those of the judge: what does
every rightsholder of a track say to this use of it, by this uploader, now, and as of some earlier instant.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np

from bench.arguments import at_least
from index.catalog import Catalog
from index.recordings import insert_rights
from index.tables import prints, tracks
from index.terms import Decision, Term, Use
from index.tracks import Right, Role

START = datetime(2026, 1, 1, tzinfo=UTC)
WEEKS = 52
TRACKS_PER_HOLDER = 10
TERRITORIES = ("DE", "FR", "US", "GB", "JP")
MODEL = "0" * 64


class Calendar:
    """The catalog's clock: what was recorded in which week."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


def holders_of(track: int, tracks_in_all: int) -> tuple[str, str]:
    """A label and a publisher."""
    number = track // TRACKS_PER_HOLDER
    return f"label-{number}", f"publisher-{number % max(tracks_in_all // 50, 1)}"


def fill_tracks(catalog: Catalog, count: int) -> None:
    """Rows alone, without prints to recognise by: terms are what is measured."""
    with catalog._database.write(kind="bench", subject="tracks") as writing:
        rows = []
        for number in range(count):
            sha256 = hashlib.sha256(str(number).encode()).hexdigest()
            rows.append({"audio_sha256": sha256, "model_sha256": MODEL})
        writing.connection.execute(
            prints.insert(),
            [row | {"checksum": MODEL, "size_bytes": 1, "recorded_at": writing.at} for row in rows],
        )
        writing.connection.execute(
            tracks.insert(),
            [
                row
                | {
                    "row_id": number + 1, "track_id": f"track-{number}", "title": "T", "artists": [],
                    "duration_s": 180.0, "added_at": writing.at, "added_generation": writing.generation,
                }
                for number, row in enumerate(rows)
            ],
        )  # fmt: skip
        for number in range(count):
            label, publisher = holders_of(number, count)
            half = Decimal("0.5")
            insert_rights(
                writing,
                number + 1,
                (Right(label, half, Role.LABEL), Right(publisher, half, Role.PUBLISHER)),
            )


def drawn(number: int, *, tracks_in_all: int, at: datetime, dice: random.Random) -> Term:
    track = dice.randrange(tracks_in_all)
    return Term(
        term_id=f"term-{number}",
        rightsholder=dice.choice(holders_of(track, tracks_in_all)),
        use=dice.choice(list(Use)),
        decision=dice.choice(list(Decision)),
        valid_from=at,
        valid_until=at + timedelta(days=dice.randrange(30, 1500)) if dice.random() < 0.5 else None,
        track_id=f"track-{track}" if dice.random() < 0.7 else None,
        licensee=f"account-{dice.randrange(200)}" if dice.random() < 0.4 else None,
        territories=tuple(dice.sample(TERRITORIES, 2)) if dice.random() < 0.3 else (),
        reference=f"contract {number % 5000}",
    )


def fill_terms(catalog: Catalog, calendar: Calendar, *, count: int, tracks_in_all: int) -> list[float]:
    """Seconds of each weekly batch."""
    dice = random.Random(1)  # noqa: S311 -- a reproducible catalog, no secret
    recorded: list[Term] = []
    took = []
    for week in range(WEEKS):
        calendar.now = START + timedelta(weeks=week)
        size = count * (week + 1) // WEEKS - count * week // WEEKS
        fresh = [
            drawn(len(recorded) + i, tracks_in_all=tracks_in_all, at=calendar.now, dice=dice)
            for i in range(size - (size * 15 // 100 if recorded else 0))
        ]
        changed = dice.sample(recorded, size - len(fresh))
        began = time.perf_counter()
        catalog.record_terms(fresh)
        catalog.record_terms(changed, supersede=True)
        took.append(time.perf_counter() - began)
        recorded += fresh
    calendar.now = START + timedelta(weeks=WEEKS)
    return took


def timed(look_up: Callable[[random.Random], object], *, times: int) -> dict[str, float]:
    dice = random.Random(2)  # noqa: S311
    took = []
    for _ in range(times):
        began = time.perf_counter()
        look_up(dice)
        took.append((time.perf_counter() - began) * 1000)
    p50, p99 = np.percentile(took, [50, 99])
    return {"p50_ms": round(float(p50), 2), "p99_ms": round(float(p99), 2), "max_ms": round(max(took), 2)}


def measure(
    folder: Path, *, terms: int, tracks_in_all: int, look_ups: int, url: str | None
) -> dict[str, object]:
    calendar = Calendar()
    with Catalog.open(folder, url=url, create=True, clock=calendar, lock_wait_s=60.0) as catalog:
        fill_tracks(catalog, tracks_in_all)
        batches = fill_terms(catalog, calendar, count=terms, tracks_in_all=tracks_in_all)

        def now(dice: random.Random) -> object:
            return catalog.findings(
                f"track-{dice.randrange(tracks_in_all)}", dice.choice(list(Use)),
                uploader=f"account-{dice.randrange(200)}", territory=dice.choice((*TERRITORIES, None)),
            )  # fmt: skip

        def then(dice: random.Random) -> object:
            at = START + timedelta(days=dice.uniform(1, 364))
            return catalog.findings(
                f"track-{dice.randrange(tracks_in_all)}", dice.choice(list(Use)),
                uploader=f"account-{dice.randrange(200)}", territory="DE", at=at, known_at=at,
            )  # fmt: skip

        def withdraw(dice: random.Random) -> object:
            return catalog.withdraw_term(f"term-{dice.randrange(terms // 2)}")

        file = folder / "catalog.sqlite"
        return {
            "database": "postgresql" if url else "sqlite",
            "terms": terms,
            "tracks": tracks_in_all,
            "recording_s": round(sum(batches), 1),
            "recorded_per_s": round(terms / sum(batches)),
            "last_week_per_s": round(terms / WEEKS / batches[-1]),
            "bytes_per_term": round(file.stat().st_size / terms) if file.exists() else None,
            "look_up_now": timed(now, times=look_ups),
            "look_up_then": timed(then, times=look_ups),
            "withdraw": timed(withdraw, times=min(look_ups, 200)),
        }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.terms", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--terms", type=at_least(1), default=1_000_000)
    parser.add_argument("--tracks", type=at_least(1), default=50_000)
    parser.add_argument("--look-ups", type=at_least(1), default=5_000)
    parser.add_argument("--catalog-url", metavar="URL", help="an empty PostgreSQL database; default: SQLite")
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="soundalike-terms-") as folder:
        result = measure(
            Path(folder),
            terms=given.terms,
            tracks_in_all=given.tracks,
            look_ups=given.look_ups,
            url=given.catalog_url,
        )
    text = json.dumps(result, indent=2)
    print(text)
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
