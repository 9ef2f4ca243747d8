"""The table of a batch: Parquet parts with one row per input, each named by the addresses in it.

A part appears whole. The same addresses give the same name: what a machine that was thought dead writes late takes the
place of an equal part, and no address gets a second row.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from carina.cluster.entries import Entry, key_of
from carina.cluster.output_store import Store
from carina.inference.prediction import AnyPrediction, FailedPrediction
from carina.inference.results import JsonLines
from carina.runtime.streams import read_ahead

_ENDING = ".parquet"
_AHEAD, _THREADS = 32, 8
_NO_KEYS = np.zeros(0, "S16")


def schema(findings: Sequence[str], *, embeddings: bool = False, answers: bool = False) -> pa.Schema:
    """Return the columns of the table, for a model's findings."""
    text, texts = pa.string(), pa.list_(pa.string())
    columns = [("address", text), ("content_sha256", text), ("pixel_sha256", text)]
    columns += [("reduced", pa.int16()), ("finding", text)]
    columns += [(f"probability:{finding}", pa.float64()) for finding in findings]
    columns += [("priority", text), ("reason_code", text), ("reason", text), ("gate_accepted", pa.bool_())]
    columns += [("gate_reasons", texts), ("reservations", texts), ("flag_finding", text), ("prevalence", pa.float64())]
    columns += [("error_code", text), ("error", text), ("passed_over", pa.bool_()), ("model", text)]
    columns += [("model_version", text), ("model_sha256", text), ("bundle_sha256", text), ("engine", text)]
    columns += [("precision", text), ("carina", text), ("elapsed_ms", pa.float64()), ("overlay", text)]
    if answers:
        columns += [("answers_to", text), ("answers", texts), ("not_answered", text)]
    if embeddings:
        columns.append(("embedding", pa.list_(pa.float32())))
    return pa.schema(columns)


def row_of(
    entry: Entry, content_sha256: str | None, prediction: AnyPrediction, rows: JsonLines, *, version: str
) -> dict[str, Any]:
    """Return an input's row; its values are those of ``carina predict --json``."""
    told = rows.content(prediction, None)
    model = rows.model
    row: dict[str, Any] = {
        "address": entry.address,
        "content_sha256": content_sha256,
        "passed_over": isinstance(prediction, FailedPrediction) and prediction.passed_over,
        "model": model["name"],
        "model_version": model["version"],
        "model_sha256": model["sha256"],
        "bundle_sha256": model["bundle_sha256"],
        "engine": model["engine"],
        "precision": model["precision"],
        "carina": version,
    }
    if isinstance(prediction, FailedPrediction):
        return row | {"error_code": told["error"]["code"], "error": told["error"]["message"]}
    triage, gate = told["triage"], told["gate"]
    return row | {
        "pixel_sha256": told["sha256"],
        "reduced": told["reduced"],
        "finding": told["finding"],
        **{f"probability:{finding}": share for finding, share in (told["probabilities"] or {}).items()},
        "priority": triage["priority"],
        "reason_code": triage["code"],
        "reason": triage["reason"],
        "gate_accepted": None if gate is None else gate["accepted"],
        "gate_reasons": None if gate is None else gate["reasons"],
        "reservations": told["reservations"],
        "flag_finding": triage["flag_finding"],
        "prevalence": triage["prevalence"],
        "elapsed_ms": told["elapsed_ms"],
        "embedding": prediction.embedding,
    }


def part_name(addresses: Iterable[str]) -> str:
    """Return the name of the part with these addresses."""
    digest = blake2b(digest_size=16)
    for address in addresses:
        digest.update(key_of(address))
    return f"part-{digest.hexdigest()}{_ENDING}"


def encode(table: pa.Table) -> bytes:
    """Return a table as a Parquet file."""
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd")
    return stream.getvalue()


def part_of(rows: list[dict[str, Any]], columns: pa.Schema) -> tuple[str, bytes]:
    """Return the name and the bytes of the part with these rows."""
    return part_name(row["address"] for row in rows), encode(pa.Table.from_pylist(rows, schema=columns))


def read_parts(store: Store, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
    """Yield the name and some columns of each part; the next ones are read meanwhile."""
    yield from read_ahead(partial(_read, store, columns), store.names(ending=_ENDING), ahead=_AHEAD, threads=_THREADS)


def _read(store: Store, columns: Sequence[str], name: str) -> tuple[str, pa.Table]:
    return name, pq.read_table(pa.BufferReader(store.read(name)), columns=list(columns))


def judged_keys(store: Store) -> NDArray[np.bytes_]:
    """Return the keys of all addresses that have a row, in order: ``S16`` ``(rows,)``."""
    found = [_NO_KEYS]
    for _, table in read_parts(store, ["address"]):
        keys = b"".join(map(key_of, table.column("address").to_pylist()))
        found.append(np.frombuffer(keys, "S16"))
    return np.sort(np.concatenate(found))


def has(keys: NDArray[np.bytes_], key: bytes) -> bool:
    """Return whether a key is among those that are in order."""
    sought = np.array(key, keys.dtype)
    place = int(np.searchsorted(keys, sought))
    return place < len(keys) and bool(keys[place] == sought)


def forget_failed(store: Store) -> int:
    """Take the rows of what could not be read out of all parts, and return how many they were.

    A part is written again without them before anything else is written: if the process dies, rows are missing, which
    the next run writes, and none is there twice.
    """
    forgotten = 0
    for name, table in read_parts(store, ["error_code", "passed_over"]):
        failed = pc.and_(pc.is_valid(table.column("error_code")), pc.invert(table.column("passed_over")))
        count = pc.sum(failed).as_py() or 0
        if not count:
            continue
        forgotten += count
        kept = pq.read_table(pa.BufferReader(store.read(name))).filter(pc.invert(failed))
        if kept.num_rows:
            store.put(name, encode(kept))
        else:
            store.delete(name)
    return forgotten
