"""The metadata table: what is sound is read, what is not is named by line and column."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from index.metadata_csv import Metadata, read_metadata
from index.terms import clean_name
from index.tracks import Right, Role, clean_isrc, clean_iswc, parse_rights
from soundalike.errors import CatalogError

HEADER = "track_id,file,title,artists,isrc,iswc,release_date,rightsholders\n"


def read(folder: Path, text: str | bytes) -> Metadata:
    path = folder / "tracks.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_metadata(path)


def test_a_full_row(tmp_path: Path) -> None:
    codes = "GB-AYE-06-01498,T-034.524.680-1,2024-05-17"
    line = f'alp,audio/alp.flac,"Alp, glow",Anna | Bo\u0302,{codes},Firn:1/3:label|V: x:2/3\n'
    found = read(tmp_path, HEADER + line)
    assert found.faults == ()
    (row,) = found.rows
    assert (row.line, row.track_id, row.file) == (2, "alp", tmp_path / "audio" / "alp.flac")
    assert (row.title, row.artists) == ("Alp, glow", ("Anna", "Bô"))
    assert (row.isrc, row.iswc, row.release_date) == ("GBAYE0601498", "T0345246801", date(2024, 5, 17))
    assert row.rights == (
        Right("Firn", Decimal("0.333333333333"), Role.LABEL),
        Right("V: x", Decimal("0.666666666667"), Role.RIGHTSHOLDER),
    )


def test_two_columns_in_any_order_with_a_mark_at_the_start_are_enough(tmp_path: Path) -> None:
    found = read(tmp_path, "\ufefffile,track_id\r\nx.mp3,x\r\n\r\n/abs/y.mp3,y\r\n")
    assert found.faults == ()
    assert [(row.track_id, row.file, row.title, row.rights) for row in found.rows] == [
        ("x", tmp_path / "x.mp3", None, ()),
        ("y", Path("/abs/y.mp3"), None, ()),
    ]


@pytest.mark.parametrize(
    ("row", "faults"),
    [
        ("alp,", ["line 2, column file: is empty"]),
        (",a.mp3", ["line 2, column track_id: is empty"]),
        ("alp,a.mp3,,,GB123", ["line 2, column isrc: 'GB123' is no ISRC"]),
        ("alp,a.mp3,,,,T-034.524.680-2", ["line 2, column iswc: the check digit"]),
        ("alp,a.mp3,,,,,17.5.2024", ["line 2, column release_date: '17.5.2024' is no date"]),
        ("alp,a.mp3,,,,,2024-02-30", ["line 2, column release_date: '2024-02-30' is no date"]),
        (
            "alp,a.mp3,,,,,,A:0.5:label|B:0.4",
            ["line 2, column rightsholders: the shares of alp sum to 0.9, not to 1"],
        ),
        ("alp,a.mp3,,,,,,A", ["line 2, column rightsholders: 'A' has no share"]),
        ("alp,a.mp3,,,,,,A:1:king", ["line 2, column rightsholders: 'A:1:king' is not NAME:SHARE:ROLE"]),
        ("alp,a.mp3,,,,,,A:1/2|A:1/2", ["line 2, column rightsholders: A is listed twice"]),
        ("alp,a.mp3,,Anna||Bo", ["line 2, column artists: an artist is ''"]),
        ("alp,a.mp3,,,x,,y", ["line 2, column isrc", "line 2, column release_date"]),
        ("alp,a.mp3,1,2,3,4,5,6,7", ["line 2: has more cells"]),
    ],
)
def test_every_fault_is_named_and_the_other_rows_are_read(
    tmp_path: Path, row: str, faults: list[str]
) -> None:
    found = read(tmp_path, HEADER + row + "\ngood,good.mp3\n")
    assert [r.track_id for r in found.rows] == ["good"]
    assert len(found.faults) == len(faults)
    for fault, expected in zip(found.faults, faults, strict=True):
        assert str(fault).startswith(expected)


def test_an_id_that_comes_twice_is_named_with_both_lines(tmp_path: Path) -> None:
    found = read(tmp_path, 'track_id,file,title\nalp,a.mp3,"two\nlines"\nalp,b.mp3,\n')
    assert [str(fault) for fault in found.faults] == ["line 4, column track_id: alp is taken by line 2"]
    assert [row.file.name for row in found.rows] == ["a.mp3"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("track_id,title\n", "has no column file; its first line names"),
        ("", "has no column track_id nor file"),
        ("track_id,file,colour\n", "unknown column 'colour'"),
        ("track_id,file,file\n", "names a column twice"),
        ('track_id,"file', "is no CSV"),
        (b"track_id,file\n\xff,x\n", r"is not UTF-8 \(byte"),
    ],
)
def test_a_table_that_cannot_be_read_at_all_is_refused(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(CatalogError, match=message):
        read(tmp_path, text)


def test_an_absent_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"none\.csv: No such file"):
        read_metadata(tmp_path / "none.csv")


def test_broken_quotes_end_the_reading_and_say_so(tmp_path: Path) -> None:
    found = read(tmp_path, 'track_id,file\na,a.mp3\n"b"x,b.mp3\nc,c.mp3\n')
    assert [row.track_id for row in found.rows] == ["a"]
    (fault,) = found.faults
    assert str(fault).startswith("line 3: is no CSV")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    for prefix in (b"", b"track_id,file,rightsholders,isrc\n"):
        try:
            found = read(tmp_path, prefix + content)
        except CatalogError:
            continue
        assert all(row.track_id for row in found.rows)


@pytest.mark.parametrize("text", ["T-034.524.680-1", "T0345246801", " t-034524680-1 ", "T-101.690.320-9"])
def test_iswcs(text: str) -> None:
    assert len(clean_iswc(text)) == 11


@given(st.integers(min_value=0, max_value=9), st.integers(min_value=1, max_value=9))
def test_a_mistyped_digit_of_an_iswc_is_noticed(place: int, by: int) -> None:
    digits = [int(character) for character in "0345246801"]
    digits[place] = (digits[place] + by) % 10
    mistyped = "T" + "".join(map(str, digits))
    # The weights 1 to 9 have common factors with 10: some changes in even places and the fifth go unnoticed.
    weight = place + 1 if place < 9 else 1
    if (weight * (digits[place] - int("0345246801"[place]))) % 10 == 0:
        assert clean_iswc(mistyped) == mistyped
    else:
        with pytest.raises(CatalogError, match="check digit"):
            clean_iswc(mistyped)


@pytest.mark.parametrize("text", ["GBAYE060149", "GBAYE06014988", "1BAYE0601498", "GBAYE06O1498", ""])
def test_no_isrcs(text: str) -> None:
    with pytest.raises(CatalogError, match="no ISRC"):
        clean_isrc(text)


names = st.text(
    st.characters(exclude_characters="|", categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=20
)


@given(
    st.lists(names.map(clean_name).filter(bool), min_size=1, max_size=5, unique=True),
    st.sampled_from([*Role, None]),
)
def test_rights_are_read_back(holders: list[str], role: Role | None) -> None:
    share = f"1/{len(holders)}"
    text = "|".join(":".join([name, share, *([role] if role else [])]) for name in holders)
    # A name that ends like a share and a role can't be told from them; a reader of the line couldn't either.
    if role is None and any(name.count(":") for name in holders):
        reject()
    found = parse_rights(text, of="alp")
    assert [right.rightsholder for right in found] == holders
    assert {right.role for right in found} == {role or Role.RIGHTSHOLDER}
    assert sum(right.share for right in found) == 1
