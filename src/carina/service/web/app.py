"""The web application of a site: pages, API, and what protects both."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from carina._version import __version__
from carina.service.api import fhir_routes, routes
from carina.service.site_folder import Site
from carina.service.web import health, site_metrics
from carina.service.web.arrivals import Arrivals
from carina.service.web.guard import Guard
from carina.service.web.pages import (
    administration,
    audit_page,
    deleting,
    good_enough_page,
    image_parts,
    login,
    models_page,
    own_sessions_page,
    reading,
    upload,
    watching_page,
    worklist,
)
from carina.service.web.problems import handle_problems
from carina.service.web.state_counts import StateCounts
from carina.service.web.templating import static_folder

_PAGES = (
    login,
    worklist,
    upload,
    reading,
    deleting,
    image_parts,
    good_enough_page,
    watching_page,
    models_page,
    administration,
    audit_page,
    own_sessions_page,
)


def build_app(site: Site) -> FastAPI:
    """Return the web application of a site, ready for an ASGI server.

    Its middleware refuses foreign hosts, forms from other sites and bodies that are too large, and gives every answer
    its security headers. Whoever runs it must run one process for each application: who waits for arrivals is told by
    a thread of it.
    """
    arrivals = Arrivals(site.engine)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        arrivals.start()
        try:
            yield
        finally:
            arrivals.stop()

    app = FastAPI(
        title="Carina",
        version=__version__,
        description="The worklist of a site that runs Carina. For research: a triage flag orders the reading.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        lifespan=lifespan,
    )
    app.state.site = site
    app.state.arrivals = arrivals
    app.state.counts = StateCounts(site.engine, arrivals)
    handle_problems(app)
    for part in _PAGES:
        app.include_router(part.router, include_in_schema=False)
    app.include_router(health.router, include_in_schema=False)
    app.include_router(site_metrics.router, include_in_schema=False)
    app.include_router(routes.router, prefix="/api/v1")
    app.include_router(fhir_routes.router, prefix="/api/v1")
    app.mount("/static", StaticFiles(directory=static_folder()), name="static")
    app.add_middleware(Guard, site=site)
    return app
