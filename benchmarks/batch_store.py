"""``carina batch`` from a bucket into a bucket that fails: requests answered by 503, and slow ones.

    python benchmarks/batch_store.py [--files 2000] [--failing 0.05] [--slow 0.02] [--out FILE.json]

An S3 server on this machine (moto, in a process of its own) holds the films. Between it and the batch lies a proxy that
answers a share of all requests by 503 SlowDown, holds some back for seconds, and answers every request for one film by
503: that film must become an error row, and all others must have the values of ``carina predict --json``. A second
driver is refused meanwhile. Needs the extra `s3` and ``moto[server]``.
"""

import argparse
import http.client
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import polars as pl
from batch_clusters import link_films, predict_rows, start_batch, write_result

_SLOW_S = 3.0
_BROKEN = "0000003.jpg"
_ERROR = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


class Proxy(BaseHTTPRequestHandler):
    """What passes requests on to the S3 server, or not."""

    protocol_version = "HTTP/1.1"
    upstream = 0
    failing = slow = 0.0
    dice = random.Random(18)  # noqa: S311  # no secret
    done: ClassVar[Counter[str]] = Counter()

    def _pass(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        drawn = self.dice.random()
        if _BROKEN in self.path or drawn < self.failing:
            self.done["503"] += 1
            self._answer(503, {"Content-Type": "application/xml"}, _ERROR)
            return
        if drawn < self.failing + self.slow:
            self.done["slow"] += 1
            time.sleep(_SLOW_S)
        self.done["passed"] += 1
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=60)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in ("transfer-encoding", "connection")}
        self._answer(answer.status, kept, content)
        connection.close()

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if self.command == "HEAD" or name.lower() != "content-length":
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        elif "Content-Length" not in headers:
            self.send_header("Content-Length", "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815  # http.server's names

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def serve(failing: float, slow: float, upstream: int) -> int:
    """Start the proxy, and return its port."""
    Proxy.failing, Proxy.slow, Proxy.upstream = failing, slow, upstream
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


def start_s3() -> tuple[subprocess.Popen[bytes], int]:
    """Start moto's server in a process of its own, and return it with its port."""
    import socket  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return process, port
    sys.exit("moto's server did not start.")


def main() -> None:
    """Fill a bucket, judge it into another through the proxy, and compare."""
    parser = argparse.ArgumentParser(description="carina batch with an object store that fails.")
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--failing", type=float, default=0.05, help="share of requests answered by 503")
    parser.add_argument("--slow", type=float, default=0.02, help="share of requests that take seconds")
    parser.add_argument("--out", type=Path, help="also write the figures as JSON to this file")
    arguments = parser.parse_args()
    os.environ.update(AWS_ACCESS_KEY_ID="key", AWS_SECRET_ACCESS_KEY="secret", AWS_DEFAULT_REGION="us-east-1")  # noqa: S106  # of a server here
    s3, port = start_s3()
    try:
        with tempfile.TemporaryDirectory(prefix="carina-store-") as temporary:
            measure(Path(temporary), port, arguments)
    finally:
        s3.terminate()
        s3.wait()


def measure(folder: Path, port: int, arguments: argparse.Namespace) -> None:
    """Judge films of a bucket, and print what became of them."""
    films = link_films(folder / "films", arguments.files)
    _, expected = predict_rows(films, 2, folder / "predict.jsonl")
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
    filled = fsspec.filesystem("s3")
    filled.mkdir("archive")
    for path in sorted(films.rglob("*.jpg")):
        filled.pipe_file(f"archive/films/{path.relative_to(films)}", path.read_bytes())
    os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{serve(arguments.failing, arguments.slow, port)}"
    out, log, started = "s3://archive/judged", folder / "batch.log", time.perf_counter()
    first = start_batch("s3://archive/films", out, "auto", log)
    while first.poll() is None and not filled.glob("archive/judged/_carina/lock-*"):
        filled.invalidate_cache()
        time.sleep(0.5)
    second = start_batch("s3://archive/films", out, "auto", folder / "second.log")
    refused = second.wait() == 2 and "another carina batch" in (folder / "second.log").read_text()
    code = first.wait()
    seconds = time.perf_counter() - started
    filled.invalidate_cache()
    parts = [pl.read_parquet(filled.cat_file(name)) for name in filled.glob("archive/judged/part-*.parquet")]
    if not parts:
        sys.exit(f"No part was written; the last words: {log.read_text()[-2000:]}")
    table = pl.concat(parts)
    rows = {row["address"]: row for row in table.iter_rows(named=True)}
    wrong = []
    for path, told in expected.items():
        row = rows.get(f"s3://archive/films/{Path(path).relative_to(films)}")
        shares = {} if row is None else {finding: row[f"probability:{finding}"] for finding in told["probabilities"]}
        if row is None or row["pixel_sha256"] != told["sha256"] or shares != told["probabilities"]:
            wrong.append(path)
    errors = table.filter(pl.col("error_code").is_not_null())
    write_result(
        arguments.out,
        "batch_store.py",
        {
            "files": arguments.files,
            "requests": dict(Proxy.done),
            "rows": len(table),
            "twice": len(table) - len(rows),
            "missing or different": len([path for path in wrong if not path.endswith(_BROKEN)]),
            "errors": errors.select("error_code", "error").to_dicts(),
            "second driver was refused": refused,
            "exit code": code,
            "seconds": round(seconds, 1),
        },
    )


if __name__ == "__main__":
    main()
