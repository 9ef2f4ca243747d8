"""A stand-in on the loopback for a hub, a web server and a bucket: files by path, and answers to an upload."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Shelf:
    """Files by path, what was asked for with which token, and where a path is sent on to."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    uploaded: dict[str, bytes] = field(default_factory=dict)
    refuses: bool = False

    def put(self, prefix: str, folder: Path) -> None:
        """Put a folder's files below a path."""
        self.files |= {f"/{prefix}/{path.name}": path.read_bytes() for path in folder.iterdir()}


@contextmanager
def shelf() -> Iterator[Shelf]:
    """Yield a server on the loopback."""
    held = Shelf()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            held.asked.append((path, self.headers.get("Authorization")))
            if path in held.moved:
                self.send_response(302)
                self.send_header("Location", held.moved[path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.answer(held.files.get(path), 404)

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            held.asked.append((self.path, self.headers.get("Authorization")))
            if held.refuses:
                return self.answer(None, 403)
            if "/preupload/" in self.path:
                files = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                         for each in json.loads(content)["files"]]  # fmt: skip
                return self.answer(json.dumps({"files": files}).encode())
            if "/commit/" in self.path:
                for line in content.splitlines():
                    told = json.loads(line)
                    if told["key"] == "file":
                        held.uploaded[told["value"]["path"]] = base64.b64decode(told["value"]["content"])
                url = f"{held.address}/owner/mine/commit/{COMMIT}"
                return self.answer(json.dumps({"commitUrl": url, "commitOid": COMMIT, "success": True}).encode())
            return self.answer(json.dumps({"url": f"{held.address}/owner/mine"}).encode())

        def answer(self, content: bytes | None, otherwise: int = 404) -> None:
            self.send_response(otherwise if content is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    held.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
