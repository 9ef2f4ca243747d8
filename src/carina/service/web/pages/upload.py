"""Files that are dropped on the page. Each is sent by itself, and is stored before it is acknowledged."""

import asyncio
import os
import tempfile
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from carina.service.audit_log.chain import append
from carina.service.database.sessions import writing
from carina.service.intake.files import take_file
from carina.service.intake.take import LeftOut, NotTakenError, Taken
from carina.service.people.logins import Person
from carina.service.site_folder import Site
from carina.service.web.asking import AskedSite, person_asking, readers, require_csrf
from carina.service.web.problems import ProblemError

router = APIRouter()


@router.post("/upload")
async def take_upload(request: Request, site: AskedSite) -> Response:
    """Take the file that is the body: an image or a ZIP archive. Who sends it is asked before any of it is read."""
    person = await run_in_threadpool(_sender, request, site)
    return await take_body(request, site, person, source="upload")


def _sender(request: Request, site: Site) -> Person:
    person = readers(request, person_asking(request, site))
    require_csrf(request, person, request.headers.get("x-csrf-token", ""))
    return person


async def take_body(request: Request, site: Site, person: Person, *, source: str) -> Response:
    """Return what became of the file that is a request's body; every image that is told as taken is on the disk."""
    name = unquote(request.headers.get("x-file-name", ""), errors="replace")[:255] or "upload"
    handle, named = await run_in_threadpool(tempfile.mkstemp, dir=site.store.incoming, prefix="upload-")
    path = Path(named)
    try:
        with os.fdopen(handle, "wb") as file:
            async for part in request.stream():
                await asyncio.to_thread(_write, site, file, part)
        outcomes = await run_in_threadpool(_take, site, path, name, source, person)
    finally:
        path.unlink(missing_ok=True)
    kept = sum("image" in outcome for outcome in outcomes)
    return JSONResponse({"taken": kept, "left_out": len(outcomes) - kept, "files": outcomes}, 200 if kept else 422)


def _write(site: Site, file: IO[bytes], part: bytes) -> None:
    # The database of the site lies on the same disk, and verdicts must always find room.
    if not site.has_room_for(len(part)):
        raise ProblemError(503, "disk-full", "The disk of the site is nearly full. Nothing of this upload was kept.")
    file.write(part)


def _take(site: Site, path: Path, name: str, source: str, person: Person) -> list[dict[str, object]]:
    outcomes: list[dict[str, object]] = []
    for outcome in take_file(site, path, name=name, source=source):  # type: ignore[arg-type]
        said = outcome.said
        if isinstance(said, Taken):
            outcomes.append({"image": said.image_id, "study": said.study_id, "new": said.is_new})
        elif isinstance(said, LeftOut | NotTakenError):
            outcomes.append({"error": {"code": said.code, "message": _message(said)}})
    studies = sorted({int(str(outcome["study"])) for outcome in outcomes if "study" in outcome})
    if studies:
        with writing(site.engine) as session:
            for study in studies:
                append(session, person.actor, "study-uploaded", f"study {study}", {"source": source})
    return outcomes


def _message(said: LeftOut | NotTakenError) -> str:
    return said.message if isinstance(said, LeftOut) else str(said)
