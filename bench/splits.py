"""Which music trains, which tunes, which is only ever measured on: fixed once and for all.

A whole package lies in one split, so that no artist, album or sound font of a measured track was
heard in training. Extreme Tux Racer stands beside Wesnoth because both carry pieces by Joseph Toscano;
the Frozen Bubble and Krank packages, the smallest, tune. Packages of long tracks train (their hours are what
training needs), packages of many short tracks test (their number is what a measurement needs):
train keeps 64 % of the hours, test holds the most tracks that this leaves.

Do not move a package: every published number rests on this table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from soundalike.errors import SettingsError


class Split(StrEnum):
    TRAIN = "train"
    TUNE = "tune"
    TEST = "test"


SPLIT_OF_PACKAGE: Final[dict[str, Split]] = {
    # Long tracks and wide instrumentation: orchestra, folk, electronic, metal, General MIDI.
    "0ad-data": Split.TRAIN,
    "blobwars-data": Split.TRAIN,
    "extremetuxracer-data": Split.TRAIN,
    "fretsonfire-songs-muldjord": Split.TRAIN,
    "planetblupi-music-ogg": Split.TRAIN,
    "ufoai-music": Split.TRAIN,
    "wesnoth-1.16-music": Split.TRAIN,
    # A little of everything, none of it related to the others.
    "frozen-bubble-data": Split.TUNE,
    "krank": Split.TUNE,
    "lincity-ng-data": Split.TUNE,
    "pushover-data": Split.TUNE,
    "scorched3d-data": Split.TUNE,
    "xmoto-data": Split.TUNE,
    # Many tracks of many artists.
    "ardentryst": Split.TEST,
    "btanks-data": Split.TEST,
    "enigma-data": Split.TEST,
    "fillets-ng-data": Split.TEST,
    "freedroidrpg-data": Split.TEST,
    "hedgewars-data": Split.TEST,
    "mrrescue": Split.TEST,
    "pingus-data": Split.TEST,
    "plee-the-bear-data": Split.TEST,
    "starfighter-data": Split.TEST,
    "supertuxkart-data": Split.TEST,
    "trackballs-data": Split.TEST,
    "warmux-data": Split.TEST,
    "zaz-data": Split.TEST,
}


def split_of(package: str) -> Split:
    """The split of a package's tracks; SettingsError for a package that the table does not name."""
    try:
        return SPLIT_OF_PACKAGE[package]
    except KeyError:
        raise SettingsError(
            f"no split is fixed for the package {package!r}: add it to SPLIT_OF_PACKAGE in bench/splits.py "
            "before its music is used for anything"
        ) from None
