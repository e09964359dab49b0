"""Gather the public music that trains, tunes and measures the ear: `python -m bench.corpora`.

Debian's game packages hold about 20 hours of freely licensed music. This unpacks them, finds the
music (never the effects, voices or weather), drops what occurs twice, and writes `tracks.csv`:

    path         relative to the root folder
    package      Debian package; `bench.splits` fixes the split by it
    artist       from the file's own tags; empty where they are silent
    title        from the tags, else the file's stem
    duration_s   of the decoded audio
    sha256       of the file
    split        train, tune or test

Running it again gives the same table; only new files are decoded.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import track

from bench.arguments import above_zero, at_least
from bench.duplicates import Sketch, duplicates, sketch
from bench.splits import Split, split_of
from soundalike.errors import AudioError, SettingsError

MINIMUM_S: Final = 20.0
"""Shorter files are jingles and effects: they give no two windows far apart."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where one package keeps its music.

    music: glob patterns of paths inside the package; `*` crosses folders.
    archive: glob of a zip archive inside the package that `music` looks into instead.
    excluded: globs of files that `music` catches and that are no pieces of their own.
    """

    package: str
    music: tuple[str, ...]
    archive: str | None = None
    excluded: tuple[str, ...] = ()


SOURCES: Final = (
    Source("0ad-data", ("audio/music/*.ogg",), archive="*/mods/public/public.zip"),
    Source("ardentryst", ("*/Music/*.ogg",)),
    Source("blobwars-data", ("*/blobwars/music/*",), excluded=("*.tags",)),
    Source("btanks-data", ("*/tunes/*.ogg",)),
    Source("enigma-data", ("*/music/*.ogg",)),
    Source("extremetuxracer-data", ("*/etr/music/*.ogg",)),
    Source("fillets-ng-data", ("*/fillets-ng/music/*.ogg",)),
    Source("freedroidrpg-data", ("*/sound/music/*.ogg",)),
    # guitar.ogg is the lead guitar of the same song.ogg.
    Source("fretsonfire-songs-muldjord", ("*/song.ogg",)),
    Source("frozen-bubble-data", ("*/snd/*.ogg",)),
    Source("hedgewars-data", ("*/Data/Music/*.ogg",)),
    Source("krank", ("*/sounds/*/atmo.ogg", "*/sounds/menu/*.ogg")),
    Source("lincity-ng-data", ("*/music/*.ogg",)),
    Source("mrrescue", ("data/sfx/*.ogg",), archive="*/mrrescue.love"),
    # Tracker modules: used where the FFmpeg at hand can play them, reported where not.
    Source("pingus-data", ("*/data/music/*.it", "*/data/music/*.s3m")),
    Source("planetblupi-music-ogg", ("*/music/*.ogg",)),
    # music/sequencer/ holds the separate voices of the pieces beside it.
    Source("plee-the-bear-data", ("*/plee-the-bear/music/*.ogg",), excluded=("*/sequencer/*",)),
    Source("pushover-data", ("*/themes/*.ogg",)),
    Source("scorched3d-data", ("*/data/music/*.ogg",)),
    Source("starfighter-data", ("*/starfighter/music/*.ogg",)),
    Source(
        "supertuxkart-data",
        ("*/data/music/*.ogg", "*/data/tracks/*.ogg"),
        excluded=("*/steamLocomotive.ogg", "*/sheep.ogg", "*/nolok_speech.ogg"),
    ),
    Source("trackballs-data", ("*/trackballs/music/*.ogg",)),
    Source("ufoai-music", ("music/*.ogg",), archive="*/0music.pk3", excluded=("*/dynamictest-*",)),
    Source("warmux-data", ("*/warmux/music/*.ogg",)),
    Source("wesnoth-1.16-music", ("*/core/music/*.ogg",)),
    Source("xmoto-data", ("*/Musics/*.ogg",)),
    Source("zaz-data", ("*/zaz/*.ogg",)),
)


@dataclass(frozen=True, slots=True)
class Track:
    path: str
    package: str
    artist: str
    title: str
    duration_s: float
    sha256: str
    split: Split


def fetch(package: str, *, raw: Path) -> Path:
    """The unpacked package's folder; fetched with apt-get and unpacked with dpkg-deb when absent."""
    folder = raw / package
    if folder.is_dir():
        return folder
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        raise SettingsError(
            f"{package} is not unpacked at {folder} and {' and '.join(missing)} are missing: "
            "run on Debian or Ubuntu, or unpack the package there by hand"
        )
    raw.mkdir(parents=True, exist_ok=True)
    downloads = raw.parent / "debs"
    downloads.mkdir(exist_ok=True)
    got = subprocess.run(
        ["apt-get", "download", package],
        cwd=downloads,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    debs = sorted(downloads.glob(f"{package}_*.deb"))
    if got.returncode != 0 or not debs:
        raise SettingsError(f"apt-get download {package} failed: {got.stderr.strip() or 'no file came'}")
    partial = raw / f".{package}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    subprocess.run(["dpkg-deb", "-x", str(debs[-1]), str(partial)], timeout=1800, check=True)
    partial.rename(folder)
    return folder


def music_files(source: Source, *, folder: Path, unpacked: Path) -> list[Path]:
    """The package's music, sorted; archives are unpacked (music only) below `unpacked`."""
    if source.archive is not None:
        target = unpacked / source.package
        for archive in _select(folder, (source.archive,), ()):
            _unpack(archive, source=source, target=target)
        folder = target
    return _select(folder, source.music, source.excluded)


def _select(folder: Path, wanted: tuple[str, ...], excluded: tuple[str, ...]) -> list[Path]:
    found = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if (
            path.is_file()
            and not path.is_symlink()
            and any(fnmatch(name, pattern) for pattern in wanted)
            and not any(fnmatch(name, pattern) for pattern in excluded)
        ):
            found.append(path)
    return sorted(found)


def _unpack(archive: Path, *, source: Source, target: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            out = target / entry.filename
            wanted = any(fnmatch(entry.filename, pattern) for pattern in source.music)
            if not wanted or (out.is_file() and out.stat().st_size == entry.file_size):
                continue
            if not out.resolve().is_relative_to(target.resolve()):
                raise SettingsError(f"{archive} holds an entry outside its folder: {entry.filename!r}")
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_bytes(packed.read(entry))


def _describe(job: tuple[str, str, Path, Path]) -> tuple[Track, Sketch] | str:
    """One file's row and sketch, or why it has none. Runs in a worker process."""
    package, relative, path, cache = job
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        drawn = sketch(path, cached=cache / f"{digest}.npz")
    except AudioError as error:
        return f"{relative}: {error}"
    if drawn.duration_s < MINIMUM_S:
        return f"{relative}: {drawn.duration_s:.1f} s is under {MINIMUM_S:.0f} s"
    row = Track(
        path=relative,
        package=package,
        artist=drawn.artist,
        title=drawn.title or path.stem,
        duration_s=round(drawn.duration_s, 3),
        sha256=digest,
        split=split_of(package),
    )
    return row, drawn


def gather(root: Path, *, console: Console, processes: int = 2) -> list[Track]:
    """Every distinct piece of music of the named packages, in a fixed order."""
    cache = root / "sketches"
    cache.mkdir(parents=True, exist_ok=True)
    jobs: list[tuple[str, str, Path, Path]] = []
    for source in SOURCES:
        folder = fetch(source.package, raw=root / "raw")
        files = music_files(source, folder=folder, unpacked=root / "unpacked")
        jobs.extend((source.package, file.relative_to(root).as_posix(), file, cache) for file in files)
    found: list[tuple[Track, Sketch]] = []
    with ProcessPoolExecutor(processes) as pool:
        results = pool.map(_describe, jobs, chunksize=4)
        for result in track(results, total=len(jobs), description="listen", console=console):
            if isinstance(result, str):
                console.print(f"left out  {result}", highlight=False, soft_wrap=True)
            else:
                found.append(result)
    dropped = duplicates([(row.path, row.sha256, drawn) for row, drawn in found])
    for copy, (kept, why) in sorted(dropped.items()):
        console.print(f"duplicate {copy} of {kept}: {why}", highlight=False, soft_wrap=True)
    return [row for row, _ in found if row.path not in dropped]


def write_table(tracks: list[Track], path: Path) -> None:
    names = ["path", "package", "artist", "title", "duration_s", "sha256", "split"]
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([getattr(row, name) for name in names] for row in tracks)
    partial.replace(path)


def read_table(root: Path, *, split: Split | None = None) -> list[Track]:
    """The rows of `root/tracks.csv`, of one split if named."""
    path = root / "tracks.csv"
    if not path.is_file():
        raise SettingsError(f"{path} is missing: run `python -m bench.corpora --root {root}`")
    with path.open(newline="", encoding="utf-8") as lines:
        rows = [
            Track(
                path=line["path"],
                package=line["package"],
                artist=line["artist"],
                title=line["title"],
                duration_s=float(line["duration_s"]),
                sha256=line["sha256"],
                split=Split(line["split"]),
            )
            for line in csv.DictReader(lines)
        ]
    return [row for row in rows if split is None or row.split is split]


def summary(tracks: list[Track]) -> str:
    lines = []
    total_s = sum(row.duration_s for row in tracks)
    for split in Split:
        rows = [row for row in tracks if row.split is split]
        seconds = sum(row.duration_s for row in rows)
        packages = len({row.package for row in rows})
        lines.append(
            f"{split:5s} {len(rows):4d} tracks {seconds / 3600:6.2f} h "
            f"{100 * seconds / total_s:5.1f} % {packages:3d} packages"
        )
    lines.append(f"all   {len(tracks):4d} tracks {total_s / 3600:6.2f} h")
    return "\n".join(lines)


def link_split(root: Path, split: Split, out: Path, *, every: int = 1, shortest_s: float = 0.0) -> int:
    """Fill `out` with links to one split's files, named package__stem, as CloneBench wants folders.

    Of those that last `shortest_s` and more every so-manieth, in the order of the table; how many.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = [row for row in read_table(root, split=split) if row.duration_s >= shortest_s][::every]
    for row in rows:
        source = (root / row.path).resolve()
        link = out / f"{row.package}__{source.stem}__{row.sha256[:6]}{source.suffix or '.ogg'}"
        if not link.exists():
            link.symlink_to(source)
    return len(rows)


def split_named(name: str) -> Split:
    if name not in set(Split):
        raise SettingsError(f"no split is called {name!r}; there are: {', '.join(Split)}")
    return Split(name)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.corpora", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument(
        "--root", type=Path, default=Path("runs/corpora"), help="folder for packages and table"
    )
    parser.add_argument("--processes", type=at_least(1), default=2)
    parser.add_argument(
        "--link",
        nargs=2,
        metavar=("SPLIT", "FOLDER"),
        help="only fill FOLDER with links to a split's files (train, tune, test)",
    )
    parser.add_argument("--every", type=at_least(1), default=1, help="link every so-manieth file (default 1)")
    parser.add_argument(
        "--shortest-s", type=above_zero, default=0.0, help="link only what lasts so many seconds"
    )
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        if options.link is not None:
            split, folder = split_named(options.link[0]), Path(options.link[1])
            count = link_split(
                options.root, split, folder, every=options.every, shortest_s=options.shortest_s
            )
            console.print(f"{count} tracks in {options.link[1]}")
            return 0
        tracks = gather(options.root, console=console, processes=options.processes)
        write_table(tracks, options.root / "tracks.csv")
    except SettingsError as error:
        console.print(f"error: {error}", style="red")
        return 2
    text = summary(tracks)
    (options.root / "READY").write_text(text + "\n", encoding="utf-8")
    console.print(text, highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
