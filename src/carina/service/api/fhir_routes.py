"""FHIR R4 for programs that speak it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse

from carina.service.api.fhir import diagnostic_report
from carina.service.api.programs import scope
from carina.service.api.routes import ERRORS
from carina.service.audit_log.chain import append
from carina.service.database.sessions import writing
from carina.service.database.study_tables import Study
from carina.service.mode import mode_of
from carina.service.people.logins import Person
from carina.service.verdicts import answer_of
from carina.service.web.asking import AskedSite, Number
from carina.service.web.problems import ProblemError

router = APIRouter(tags=["fhir"])


class FhirResponse(JSONResponse):
    """JSON of FHIR."""

    media_type = "application/fhir+json"


@router.get(
    "/fhir/DiagnosticReport/{study_id}",
    responses=ERRORS,
    response_class=FhirResponse,
    summary="A study's answer as FHIR R4 DiagnosticReport",
)
def report_of(study_id: Number, site: AskedSite, person: Annotated[Person, Depends(scope("result"))]) -> FhirResponse:
    """Return a preliminary report with an Observation for each finding. Scope: result. A silent site gives none."""
    with writing(site.engine) as session:
        study = session.get(Study, study_id)
        if study is None:
            raise ProblemError(404, "not-found", "There is no such study.")
        if mode_of(session) == "silent":
            raise ProblemError(409, "silent", "The site is silent: answers are shown on its pages, after a verdict.")
        judgement = answer_of(session, study)
        if judgement is None:
            raise ProblemError(404, "not-judged", "The model in use has not judged this study yet. Ask again later.")
        append(session, person.actor, "study-result-read", f"study {study_id}")
        content: dict[str, Any] = diagnostic_report(study, judgement)
    return FhirResponse(content)
