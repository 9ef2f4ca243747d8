"""``/healthz`` says that the web process answers, ``/readyz`` that the site can take images in and judge them.

Both are for machines, need no login and hold no value of a patient's.
"""

from fastapi import APIRouter, Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse

from carina.service.database.sessions import reading
from carina.service.parts import has_worker
from carina.service.site_folder import Site

router = APIRouter()


@router.get("/healthz")
def healthz() -> JSONResponse:
    """Answer that this process is alive."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
def readyz(request: Request) -> JSONResponse:
    """Answer what the site needs and whether it has it: 200 if all is there, else 503."""
    site: Site = request.app.state.site
    checks = {"database": False, "worker": False, "disk": site.has_room_for(0)}
    try:
        with reading(site.engine) as session:
            checks["worker"] = has_worker(session)
        checks["database"] = True
    except SQLAlchemyError:
        pass
    ready = all(checks.values())
    return JSONResponse({"status": "ready" if ready else "not ready", **checks}, 200 if ready else 503)
