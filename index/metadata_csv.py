"""Metadata of many tracks as a CSV file, as rightsholder operations hand it over.

    track_id,file,title,artists,isrc,iswc,release_date,rightsholders
    alp-1,alp.flac,Alpenglow,Anna Ada|Ben Bo,GBAYE0601498,,2024-05-17,Firn:0.5:label|Verlag:0.5:publisher

`track_id` and `file` must be filled in; the other columns may be empty or absent, their order is free.
Files are named relative to the CSV file. Several artists are parted by `|`, and so are rightsholders,
each as NAME:SHARE[:ROLE]. Every fault is reported with its line and column, and the sound rows are
still read: one typing error does not hold up a thousand tracks.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeVar

from index.terms import check_name, clean_name
from index.tracks import Right, clean_isrc, clean_iswc, parse_rights
from soundalike.errors import CatalogError

REQUIRED_COLUMNS = ("track_id", "file")
COLUMNS = (*REQUIRED_COLUMNS, "title", "artists", "isrc", "iswc", "release_date", "rightsholders")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    """One sound row. `file` is absolute; whether it exists is found out when it is read."""

    line: int
    track_id: str
    file: Path
    title: str | None
    artists: tuple[str, ...]
    isrc: str | None
    iswc: str | None
    release_date: date | None
    rights: tuple[Right, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in which cell. `column` is None if the whole line is.

    where: the place in words, for what is no line of a table.
    """

    line: int
    column: str | None
    message: str
    where: str | None = None

    def __str__(self) -> str:
        if self.where is not None:
            return f"{self.where}: {self.message}"
        where = f"line {self.line}" + (f", column {self.column}" if self.column else "")
        return f"{where}: {self.message}"


@dataclass(frozen=True, slots=True)
class Metadata:
    rows: tuple[Row, ...]
    faults: tuple[Fault, ...]


def read_metadata(path: Path) -> Metadata:
    """Raises CatalogError if the file can't be read at all: absent, not UTF-8, without the needed columns."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, restkey="(more)")
            _check_header(reader.fieldnames or (), path=path)
            return _read_rows(reader, path=path)
    except OSError as error:
        raise CatalogError(f"can't read the metadata {path}: {error.strerror}") from error
    except csv.Error as error:
        raise CatalogError(f"the metadata {path} is no CSV: {error}") from error
    except UnicodeDecodeError as error:
        raise CatalogError(
            f"the metadata {path} is not UTF-8 (byte {error.start}); save it as UTF-8"
        ) from error


def _check_header(names: Iterable[str], *, path: Path) -> None:
    found = list(names)
    if missing := [name for name in REQUIRED_COLUMNS if name not in found]:
        raise CatalogError(
            f"the metadata {path} has no column {' nor '.join(missing)}; its first line names the"
            f" columns: {','.join(COLUMNS)}"
        )
    if unknown := [name for name in found if name not in COLUMNS]:
        raise CatalogError(
            f"the metadata {path} has an unknown column {unknown[0]!r}; it may have {', '.join(COLUMNS)}"
        )
    if len(set(found)) < len(found):
        raise CatalogError(f"the metadata {path} names a column twice in its first line; remove one")


def _read_rows(reader: csv.DictReader[str], *, path: Path) -> Metadata:
    rows: dict[str, Row] = {}
    faults: list[Fault] = []
    while True:
        line = reader.line_num + 1  # of the row's start: a quoted cell may run over several lines
        try:
            cells = next(reader)
        except StopIteration:
            return Metadata(tuple(rows.values()), tuple(faults))
        except csv.Error as error:
            faults.append(Fault(line, None, f"is no CSV ({error}); the lines after it were not read"))
            return Metadata(tuple(rows.values()), tuple(faults))
        found = _check_row(cells, line=line, folder=path.parent)
        if isinstance(found, list):
            faults.extend(found)
        elif (first := rows.get(found.track_id)) is not None:
            faults.append(Fault(line, "track_id", f"{found.track_id} is taken by line {first.line}"))
        else:
            rows[found.track_id] = found


def _check_row(cells: dict[str, str], *, line: int, folder: Path) -> Row | list[Fault]:
    """The row, or everything that is wrong with it."""
    if "(more)" in cells:
        return [Fault(line, None, "has more cells than the first line; put cells with commas in quotes")]
    faults: list[Fault] = []

    def cell(column: str, parse: Callable[[str], T], *, empty: T) -> T:
        text = (cells.get(column) or "").strip()
        if column != "file":  # a path is what the file system says
            text = clean_name(text)
        if not text:
            if column in REQUIRED_COLUMNS:
                faults.append(Fault(line, column, "is empty"))
            return empty
        try:
            return parse(text)
        except CatalogError as error:
            faults.append(Fault(line, column, str(error)))
            return empty

    track_id = cell("track_id", _track_id, empty="")
    row = Row(
        line=line,
        track_id=track_id,
        file=cell("file", lambda text: (folder / text).absolute(), empty=folder),
        title=cell("title", str, empty=None),
        artists=cell("artists", _names, empty=()),
        isrc=cell("isrc", clean_isrc, empty=None),
        iswc=cell("iswc", clean_iswc, empty=None),
        release_date=cell("release_date", _date, empty=None),
        rights=cell("rightsholders", lambda text: parse_rights(text, of=track_id or "the track"), empty=()),
    )
    return faults or row


def _track_id(text: str) -> str:
    check_name(text, what="the track id")
    return text


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split("|"))
    for name in names:
        check_name(name, what="an artist")
    return names


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise CatalogError(f"{text!r} is no date; write YYYY-MM-DD, as 2024-05-17") from error
