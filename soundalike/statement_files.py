"""A statement as CSV and as Parquet: the same columns, decimals exact in both."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Sequence
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from index.splits import SHARE_DECIMALS
from index.statement import Line
from soundalike.errors import SettingsError

COLUMNS = tuple(field.name for field in fields(Line))


def to_csv(lines: Sequence[Line]) -> str:
    """With a header; a name that a spreadsheet would run as a formula is kept as text by a leading quote."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in lines:
        writer.writerow([_cell(getattr(line, name)) for name in COLUMNS])
    return text.getvalue()


def write_statement(lines: Sequence[Line], path: Path) -> None:
    """By the ending of `path`; a crash leaves the old file or the new one. Raises SettingsError."""
    content = to_parquet(lines) if path.suffix.lower() == ".parquet" else to_csv(lines).encode()
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SettingsError(f"--out: can't write {path}: {error.strerror}") from error


def to_parquet(lines: Sequence[Line]) -> bytes:
    import pyarrow as pa  # noqa: PLC0415 -- only statements need it
    import pyarrow.parquet as pq  # noqa: PLC0415

    exact = pa.decimal128(38, SHARE_DECIMALS)
    types: dict[str, Any] = {
        "uploads": pa.int64(), "works": pa.int64(), "without_revenue_share": pa.int64(),
        "matched_s": pa.decimal128(38, 3), "upload_shares": exact, "revenue_share": exact,
    }  # fmt: skip
    schema = pa.schema([(name, types.get(name, pa.string())) for name in COLUMNS])
    table = pa.table({name: [getattr(line, name) for line in lines] for name in COLUMNS}, schema=schema)
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _cell(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    text = str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text
