"""Tables on disk, written by Python: its errors say which file and why, the table library's only that it failed."""

import io
from pathlib import Path

import polars as pl

from carina.storage.atomic import whole_file


def write_parquet(path: Path, table: pl.DataFrame) -> None:
    """Write a table as Parquet, whole or not at all.

    Raises
    ------
    OSError
        If the folder cannot be written or the disk is full.
    """
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    with whole_file(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
