"""`soundalike rights`, as its user meets it, and the files it writes."""

from __future__ import annotations

import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from index.catalog import Catalog
from index.statement import Line
from soundalike.errors import SettingsError
from soundalike.statement_files import to_csv, to_parquet, write_statement

LINE = Line(
    month="2026-11", rightsholder="Firn", uploads=2, works=1, matched_s=Decimal("19.998"),
    upload_shares=Decimal("0.666666666666"), revenue_share=Decimal("0.1"), without_revenue_share=0,
    terms="t@1",
)  # fmt: skip


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    with Catalog.open(tmp_path / "data", create=True):
        return tmp_path / "data"


def test_csv_and_parquet_hold_the_same_exact_numbers(tmp_path: Path) -> None:
    header, row = to_csv([LINE]).splitlines()
    assert row == "2026-11,Firn,2,1,19.998,0.666666666666,0.1,0,t@1"
    (read,) = pq.read_table(io.BytesIO(to_parquet([LINE]))).to_pylist()
    assert list(read) == header.split(",")
    assert read["upload_shares"] == LINE.upload_shares
    assert read["matched_s"] == LINE.matched_s
    write_statement([LINE], tmp_path / "s.PARQUET")
    assert pq.read_table(tmp_path / "s.PARQUET").num_rows == 1
    assert pq.read_table(io.BytesIO(to_parquet([]))).num_rows == 0


def test_a_name_is_never_a_formula() -> None:
    formula = Line(**{name: getattr(LINE, name) for name in LINE.__slots__} | {"rightsholder": "=1+1"})
    assert ",'=1+1," in to_csv([formula])


def test_a_file_that_can_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't write"):
        write_statement([LINE], tmp_path / "absent" / "s.csv")
    (tmp_path / "s.csv").mkdir()
    with pytest.raises(SettingsError, match="can't write"):
        write_statement([LINE], tmp_path / "s.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["s.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("statement", "--month", "2026-13"), "is no month"),
        (("statement", "--month", "11/2026"), "is no month"),
        (("statement", "--month", "2026-11", "--out", "x.xlsx"), "neither .csv nor .parquet"),
        (("affected", "nowhere"), "there is no term nowhere"),
        (("collect",), "where are the events?"),
    ],
)
def test_wrong_arguments_are_said_in_one_line(
    cli: Any, empty: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = cli("rights", *arguments, "--data", empty)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_empty_ledger_is_an_empty_statement(cli: Any, empty: Path, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    done = cli("rights", "statement", "--month", "2026-11", "--data", empty, "--spool", spool)
    assert done.returncode == 0
    assert done.stdout.startswith("month,rightsholder,uploads,")
    assert len(done.stdout.splitlines()) == 1
    assert "still is allowed" in cli("rights", "affected", "--data", empty).stdout
