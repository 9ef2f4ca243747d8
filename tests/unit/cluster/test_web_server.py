"""What lies on a web server is judged like what lies on a disk. TLS is a matter of the library (aiohttp)."""

import asyncio
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from aiohttp import web

from carina.cluster import retries
from carina.cluster.entries import Entry, list_entries
from carina.errors import InputError
from carina.inference.left_out import LeftOutFiles
from make import encode, make_grey

PICTURE = encode(make_grey(), "PNG")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """Serve a folder, and yield its address and the folder."""
    monkeypatch.setattr(retries, "PAUSES_S", (0.0, 0.0))
    folder = tmp_path / "served"
    folder.mkdir()
    loop, ready, addresses = asyncio.new_event_loop(), threading.Event(), []

    async def away(_: web.Request) -> web.Response:
        return web.Response(status=503)

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/away.png", away)
        app.router.add_static("/", folder)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        addresses.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        return runner

    def serve() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert ready.wait(10)
    yield addresses[0], folder
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def entries(*sources: str) -> list[Entry]:
    return list(list_entries(sources, column=None, left_out=LeftOutFiles()))


def test_a_file_an_archive_and_an_index_on_a_web_server(server: tuple[str, Path]) -> None:
    address, folder = server
    (folder / "film.png").write_bytes(PICTURE)
    with zipfile.ZipFile(folder / "day.zip", "w") as archive:
        archive.writestr("a/one.png", PICTURE)
        archive.writestr("two.png", PICTURE)
    pl.DataFrame({"address": ["film.png", f"{address}/film.png?version=2"]}).write_csv(folder / "index.csv")
    found = entries(f"{address}/film.png", f"{address}/day.zip", f"{address}/index.csv")
    assert [each.address.removeprefix(address) for each in found] == [
        *("/film.png", "/day.zip!a/one.png", "/day.zip!two.png", "/film.png?version=2")
    ]
    assert [each.content() for each in found] == [PICTURE] * 4


@pytest.mark.parametrize(("name", "code"), [("missing.png", "not-found"), ("away.png", "unreadable-file")])
def test_what_is_not_there_is_an_error_of_that_input(server: tuple[str, Path], name: str, code: str) -> None:
    (entry,) = entries(f"{server[0]}/{name}")
    with pytest.raises(InputError) as caught:
        entry.content()
    assert caught.value.code == code
    assert server[0] not in str(caught.value)
