"""What the reading page asks for of an image: its small picture, its pixels, and why the model says what it says."""

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from carina.errors import InputError
from carina.service.audit_log.chain import append
from carina.service.database.sessions import reading, writing
from carina.service.database.study_tables import Image
from carina.service.kept_evidence import read_evidence
from carina.service.mode import mode_of
from carina.service.people.logins import Person
from carina.service.people.people_tables import Verdict
from carina.service.pictures import pixels_of, thumbnail_of
from carina.service.verdicts import model_in_use
from carina.service.web.asking import AskedSite, Number, Reader
from carina.service.web.problems import ProblemError

router = APIRouter()
_KEPT = {"Cache-Control": "private, max-age=3600"}


@router.get("/images/{image_id}/thumbnail")
def show_thumbnail(image_id: Number, site: AskedSite, person: Reader) -> Response:  # noqa: ARG001
    """Return the small picture of an image."""
    image = _image(site, image_id)
    try:
        content = thumbnail_of(site.folder, image.digest, site.store.object_path(image.digest))
    except (InputError, OSError):
        raise ProblemError(404, "no-picture", "There is no picture of this image.") from None
    return Response(content, media_type="image/jpeg", headers=_KEPT)


@router.get("/images/{image_id}/pixels")
def show_pixels(image_id: Number, site: AskedSite, person: Reader) -> Response:
    """Return the grey values of an image in its full depth: uint16, little-endian, row by row, air dark.

    The headers say how large it is, the largest grey value, and what is shown as black and as white at first.
    """
    image = _image(site, image_id)
    try:
        pixels = pixels_of(site.store.object_path(image.digest))
    except FileNotFoundError:
        raise ProblemError(410, "image-gone", "This image was deleted.") from None
    except InputError as error:
        raise ProblemError(422, error.code, f"The image cannot be shown: {error}") from None
    with writing(site.engine) as session:
        append(session, person.actor, "image-opened", f"study {image.study_id}", {"image": image_id})
    size = {
        f"X-{name.title()}": str(getattr(pixels, name)) for name in ("height", "width", "largest", "black", "white")
    }
    return Response(
        pixels.packed, media_type="application/octet-stream", headers={**_KEPT, **size, "Content-Encoding": "gzip"}
    )


@router.get("/images/{image_id}/evidence")
def show_evidence(image_id: Number, site: AskedSite, person: Reader) -> Response:
    """Return what `carina.service.kept_evidence` keeps of an image; in silent mode only after the reader's verdict.

    There is none of an image that may not be judged: then the answer is empty (204).
    """
    image = _image(site, image_id)
    with reading(site.engine) as session:
        if mode_of(session) == "silent" and not has_verdict(session, image.study_id, person):
            raise ProblemError(403, "answer-hidden", "The model's answer is shown after your verdict.")
        model = model_in_use(session)
    content = None if model is None else read_evidence(site.folder, image.digest, model.sha256)
    if content is None:
        return Response(status_code=204)
    # Not kept by the browser: the model in use may change, and so may the reader.
    return JSONResponse(content)


def has_verdict(session: Session, study_id: int, person: Person) -> bool:
    """Return whether a person has given a verdict on a study."""
    query = select(Verdict.id).where(Verdict.study_id == study_id, Verdict.account_id == person.account_id)
    return session.scalar(query.limit(1)) is not None


def _image(site: AskedSite, image_id: int) -> Image:
    with reading(site.engine) as session:
        image = session.get(Image, image_id)
    if image is None:
        raise ProblemError(404, "not-found", "There is no such image.")
    return image
