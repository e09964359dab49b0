"""Cut the demo's recordings out of the public packages: `python -m bench.demo_audio --root runs/corpora`.

Writes soundalike/demo_audio/*.opus and ATTRIBUTION.md. Every piece is CC0, CC BY or CC BY-SA by the copyright
file of its Debian package (or the README that it quotes), and of the test split: the shipped model
has never heard it.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.clonebench.recordings import RATE_HZ, read
from bench.corpora import read_table
from bench.effects.codecs import OPUS_96K, encode
from bench.splits import Split
from soundalike.errors import SettingsError

EXCERPT_S: Final = 40.0
OUT: Final = Path(__file__).parent.parent / "soundalike" / "demo_audio"
BY_SA_3: Final = "CC BY-SA 3.0"
BY_SA_4: Final = "CC BY-SA 4.0"
LICENCE_URLS: Final = {
    BY_SA_3: "https://creativecommons.org/licenses/by-sa/3.0/",
    BY_SA_4: "https://creativecommons.org/licenses/by-sa/4.0/",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """name: of the file to write. file: last part of the path in the package. start_s: of the excerpt."""

    name: str
    title: str
    author: str
    package: str
    file: str
    licence: str
    start_s: float


STK: Final = "supertuxkart-data"
PIECES: Final = (
    Piece("secret-garden", "Secret Garden", "DJ Helium", STK, "garden.ogg", BY_SA_3, 20.0),
    Piece("hacienda", "Hacienda", "Claude Werner (bollen)", STK, "hacienda.ogg", BY_SA_3, 15.0),
    Piece("egypt", "Egypt", "0zone0ne", STK, "egypt.ogg", BY_SA_3, 20.0),
    Piece(
        "sky-vibe",
        "Sky Vibe – High Frequency",
        "Speedsound (modified by Constantin Pelikan)",
        STK,
        "SkyVibe-HighFrequency.ogg",
        BY_SA_3,
        60.0,
    ),
    Piece("lava", "Lava", "Kalsan", STK, "Lava.ogg", BY_SA_3, 20.0),
    Piece("kart-grand-prix", "Kart Grand Prix", "Weirwood", STK, "kart_grand_prix.ogg", BY_SA_3, 15.0),
    Piece("alien-signal", "Alien Signal", "Heuchi1", STK, "alien_signal.ogg", BY_SA_4, 30.0),
    Piece("scottish-bagpipes", "Scottish bagpipes", "0zone0ne and Krobonil", STK, "celtic.ogg", BY_SA_3, 5.0),
    Piece("west", "West", "Chris Leutwyler (Krobonil)", STK, "West.ogg", BY_SA_3, 10.0),
    Piece(
        "randomness-decides",
        "Randomness Decides",
        "paniq (Leonard Ritter)",
        "zaz-data",
        "mus1.ogg",
        BY_SA_3,
        60.0,
    ),
    Piece("rocker-ronni", "Rocker Ronni", "Tangram Games", "mrrescue", "rockerronni.ogg", BY_SA_3, 15.0),
    Piece("ardentryst", "Ardentryst theme", "Jordan Trudgett", "ardentryst", "theme1.ogg", BY_SA_3, 20.0),
    # Not in the demo's catalog.
    Piece("xeon", "Xeon", "commissioned by Bart Kelsey", STK, "xeon6.ogg", BY_SA_3, 30.0),
    Piece(
        "boom-boom-boom", "Boom boom boom", "Keith Baylis aka Vim", STK, "Boom_boom_boom.ogg", BY_SA_4, 0.0
    ),
    Piece("scooterfest", "Scooterfest", "Tangram Games", "mrrescue", "scooterfest.ogg", BY_SA_3, 10.0),
)

HEADER: Final = """\
# The demo's recordings

Excerpts of freely licensed music, unchanged but for the cut and the encoding (Ogg Opus, 96 kbit/s,
stereo). Each excerpt stays under the licence of its source. Licences were read in the `copyright` file
of each Debian 12 package. For Mr. Rescue its README says it too: "All assets (graphics, music, text) are
licensed under a Creative Commons BY-SA 3.0 Unported License". The tags of *Randomness Decides* name CC
BY-SA 2.0 DE, which allows distribution under the later version that Debian records.

None of these pieces was in the training of the shipped model: all are of the test split
(`bench/splits.py`). The files are cut by `python -m bench.demo_audio`.

| file | title | author | from (Debian package: file) | seconds | licence |
|---|---|---|---|---|---|
"""


def source_of(piece: Piece, *, root: Path) -> Path:
    """The piece's file among the gathered corpora, test split only."""
    for row in read_table(root, split=Split.TEST):
        if row.package == piece.package and Path(row.path).name == piece.file:
            return root / row.path
    raise SettingsError(f"{piece.file} of {piece.package} is not in the test split of {root}/tracks.csv")


def cut(piece: Piece, *, root: Path, out: Path) -> str:
    """Write one excerpt; returns its row of the attribution table."""
    samples = read(source_of(piece, root=root), start_s=piece.start_s)[:, : round(EXCERPT_S * RATE_HZ)]
    # The name of the work travels with the file.
    tags = {"title": piece.title, "artist": piece.author, "copyright": piece.licence}
    path = out / f"{piece.name}.opus"
    path.write_bytes(encode(samples, rate_hz=RATE_HZ, codec=OPUS_96K, tags=tags))
    end_s = piece.start_s + samples.shape[1] / RATE_HZ
    return (
        f"| `{path.name}` | {piece.title} | {piece.author} | {piece.package}: {piece.file} "
        f"| {piece.start_s:.1f}–{end_s:.1f} | [{piece.licence}]({LICENCE_URLS[piece.licence]}) |"
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.demo_audio")
    parser.add_argument("--root", type=Path, default=Path("runs/corpora"))
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = [cut(piece, root=options.root, out=options.out) for piece in PIECES]
    (options.out / "ATTRIBUTION.md").write_text(HEADER + "\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
