"""What a model says of an image becomes rows, each once, and the worklist's line of its study."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from carina.decisions.triage import READING_PLACES
from carina.service.database.base import now
from carina.service.database.insert import insert_new
from carina.service.database.study_tables import WAITING_PLACE, Image, Judgement, Study
from carina.service.judging.predicting import Said, Unreadable


def record(session: Session, image_id: int, model_id: int, said: Said | Unreadable, *, in_use: bool) -> bool:
    """Keep what a model says of an image; return whether it was not known before.

    Parameters
    ----------
    session
        To write with.
    image_id, model_id
        Their rows.
    said
        By the model; of an image that cannot be read only what the model in use says is kept, with the image itself.
    in_use
        Whether the model is the one in use: then the image is done with, and its study's line says so.
    """
    if isinstance(said, Said):
        is_new = insert_new(
            session,
            Judgement,
            image_id=image_id,
            model_id=model_id,
            at=now(),
            priority=said.priority,
            finding=said.finding,
            probability=said.probability,
            probabilities=said.probabilities,
            code=said.code,
            reason=said.reason,
            gate_accepted=said.gate_accepted,
            reservations=said.reservations,
            precision=said.precision,
            elapsed_ms=said.elapsed_ms,
            embedding_distance=said.embedding_distance,
        )
        if in_use:
            _done(session, image_id, model_id, state="judged", pixels_sha256=said.pixels_sha256)
        return is_new is not None
    if in_use:
        _done(session, image_id, model_id, state="refused", error_code=said.code, error_message=said.message)
    return in_use


def hold_studies(session: Session, image_ids: Sequence[int]) -> None:
    """Let nobody else write the studies of some images until the transaction ends.

    All in one order: of two workers that each have one and want the other, PostgreSQL would end one.
    """
    theirs = select(Image.study_id).where(Image.id.in_(image_ids))
    session.execute(select(Study.id).where(Study.id.in_(theirs)).order_by(Study.id).with_for_update()).all()


def give_up(session: Session, image_id: int, model_id: int, code: str, message: str) -> None:
    """Note that an image is not judged any more, because it broke what judges it; its study's line says so."""
    _done(session, image_id, model_id, state="failed", error_code=code, error_message=message)


def _done(session: Session, image_id: int, model_id: int, **values: str) -> None:
    session.execute(
        update(Image)
        .where(Image.id == image_id, Image.state == "received")
        .values(claimed_by=None, claimed_at=None, **values)
    )
    study_id = session.execute(select(Image.study_id).where(Image.id == image_id)).scalar_one()
    refresh_study(session, study_id, model_id)


def refresh_study(session: Session, study_id: int, model_id: int) -> None:
    """Let a study's line say what a model, the one in use, says of its most urgent image."""
    refresh_studies(session, (study_id,), model_id)


def refresh_studies(session: Session, study_ids: Sequence[int], model_id: int) -> None:
    """Let the lines of some studies say what a model, the one in use, says of their most urgent images."""
    # Two workers with images of one study take turns, or the later one would not see what the earlier one found.
    studies = session.scalars(
        select(Study)
        .where(Study.id.in_(study_ids))
        .order_by(Study.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).all()
    by_model = (Judgement.image_id == Image.id) & (Judgement.model_id == model_id)
    found: dict[int, list[dict[str, Any]]] = {}
    rows = select(Image, Judgement).outerjoin(Judgement, by_model).where(Image.study_id.in_(study_ids))
    for image, judgement in session.execute(rows.order_by(Image.id)):
        if judgement is not None or image.state in ("refused", "failed"):
            found.setdefault(image.study_id, []).append(_line(image, judgement))
    for study in studies:
        lines = found.get(study.id, ())
        urgent = min(lines, key=lambda line: (line["place"], -(line["probability"] or 0.0)), default=_NOTHING)
        for name, value in urgent.items():
            setattr(study, name, value)
        study.judged_at = now() if lines else None
        study.changed_at = now()


_NOTHING: dict[str, Any] = {
    "image_id": None,
    "priority": None,
    "place": WAITING_PLACE,
    "finding": None,
    "probability": None,
    "finding_probability": None,
    "code": None,
    "reason": None,
    "gate_accepted": None,
}


def _line(image: Image, judgement: Judgement | None) -> dict[str, Any]:
    if judgement is not None:
        return {
            "image_id": image.id,
            "priority": judgement.priority,
            "place": READING_PLACES[judgement.priority],
            "finding": judgement.finding,
            "probability": judgement.probability,
            "finding_probability": judgement.probabilities.get(judgement.finding or ""),
            "code": judgement.code,
            "reason": judgement.reason,
            "gate_accepted": judgement.gate_accepted,
        }
    return {
        **_NOTHING,
        "image_id": image.id,
        "priority": "not-assessable",
        "place": READING_PLACES["not-assessable"],
        "code": image.error_code,
        "reason": f"Not judged: {image.error_message}",
    }
