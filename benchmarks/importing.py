"""How fast a data set is imported, and whether twice the images need twice the memory.

    python benchmarks/importing.py MANIFEST.csv OUT

imports every second row of a manifest, then all of it, each in a process of its own; prints images/s and peak memory.
"""

import sys
from pathlib import Path

import polars as pl
from baseline_and_head import measure


def main(manifest: str, out: str) -> None:
    """Measure both imports and print them."""
    folder = Path(out)
    folder.mkdir(parents=True)
    table = pl.read_csv(manifest, infer_schema=False)
    column = "path" if "path" in table.columns else "file"
    below = Path(manifest).resolve().parent
    table = table.with_columns(pl.col(column).map_elements(lambda name: str(below / name), return_dtype=pl.String))
    for name, rows in (("half", table.gather_every(2)), ("whole", table)):
        rows.write_csv(folder / f"{name}.csv")
        measured = measure("data", "import", str(folder / f"{name}.csv"), "--out", str(folder / name))
        print(f"{name}: {rows.height} images, {rows.height / measured['seconds']:.0f} images/s, {measured}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
