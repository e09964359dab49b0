"""A .npy file that grows block by block: arrays larger than memory, read back by `np.load(mmap_mode="r")`."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

HEADER_BYTES = 1024
"""Fixed, so that the shape can be filled in at the end; the format pads its header with spaces anyway."""


class NpyWriter:
    """Appends rows; the file is valid once the context ended without an error, and then on the disk."""

    def __init__(self, path: Path, *, dtype: DTypeLike, row_shape: tuple[int, ...] = ()) -> None:
        self.rows = 0
        self._dtype = np.dtype(dtype)
        self._row_shape = row_shape
        self._file = path.open("wb")
        self._file.write(b"\0" * HEADER_BYTES)

    def append(self, rows: NDArray[Any]) -> None:
        """rows: [n, *row_shape] of the dtype."""
        if rows.shape[1:] != self._row_shape:
            raise ValueError(f"rows of shape {rows.shape[1:]} in a file of {self._row_shape}")
        self._file.write(np.ascontiguousarray(rows, dtype=self._dtype).data)
        self.rows += len(rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._file.seek(0)
                self._file.write(_header(self._dtype, (self.rows, *self._row_shape)))
                self._file.flush()
                os.fsync(self._file.fileno())


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Version 1.0 of the format, padded to HEADER_BYTES."""
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    text = repr(described).encode("latin1")
    start = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
    padded = text.ljust(HEADER_BYTES - len(start) - 1) + b"\n"
    if len(start) + len(padded) != HEADER_BYTES:
        raise ValueError(f"the header of {dtype} is longer than {HEADER_BYTES} bytes")
    return start + padded
