"""A model is taken into use, and the worklist follows in pieces: a hundred thousand unread studies lock nobody out."""

from dataclasses import dataclass

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from carina.errors import ConfigurationError
from carina.service.database.base import now
from carina.service.database.changes import announce
from carina.service.database.study_tables import Delivery, Image, Judgement, Model, Study
from carina.service.judging.records import refresh_studies
from carina.service.people.people_tables import Setting

_KEY = "model-switch"
# A tenth of a second, in which others who write wait.
PIECE = 100


@dataclass(frozen=True, slots=True)
class Switch:
    """A switch that is under way: to which model, and up to which study the worklist has followed."""

    model_id: int
    after: int


def use_model(session: Session, model_id: int) -> None:
    """Take a model into use; the one before judges on in silence.

    Studies that are unread follow by `follow_switch`. Until then the worklist shows what the model before said of them.

    Raises
    ------
    ConfigurationError
        If there is no such model.
    """
    model = session.get(Model, model_id)
    if model is None or model.role == "retired":
        msg = f"There is no model {model_id} here that judges."
        raise ConfigurationError(msg)
    session.execute(update(Model).where(Model.role == "in-use").values(role="silent"))
    session.execute(update(Model).where(Model.id == model_id).values(role="in-use"))
    # What the other model would have sent is not sent any more.
    session.execute(delete(Delivery).where(Delivery.state == "waiting", Delivery.model_id != model_id))
    _note(session, Switch(model_id, 0))
    announce(session)


def follow_switch(session: Session, *, piece: int = PIECE) -> bool:
    """Let the worklist's lines of some unread studies say what the model says that was taken into use.

    Images that it has not judged wait for it; those of studies that were read keep what their readers were shown.

    Returns
    -------
    bool
        Whether there was anything to do.
    """
    # Two workers take turns.
    kept = session.scalar(select(Setting).where(Setting.key == _KEY).with_for_update())
    switch = _switch(kept)
    if switch is None:
        return False
    unread = select(Study.id).where(Study.state != "read", Study.id > switch.after).order_by(Study.id).limit(piece)
    studies = session.scalars(unread).all()
    by_it = exists().where(Judgement.image_id == Image.id, Judgement.model_id == switch.model_id)
    session.execute(
        update(Image)
        .where(Image.state == "judged", Image.study_id.in_(studies), ~by_it)
        .values(state="received", attempts=0)
    )
    refresh_studies(session, studies, switch.model_id)
    if len(studies) == piece:
        _note(session, Switch(switch.model_id, studies[-1]))
    else:
        session.execute(delete(Setting).where(Setting.key == _KEY))
    announce(session)
    return True


def is_switching(session: Session) -> bool:
    """Return whether a switch is under way."""
    return session.get(Setting, _KEY) is not None


def left_to_follow(session: Session) -> int:
    """Return of how many unread studies the worklist still shows what the model before said."""
    switch = _switch(session.get(Setting, _KEY))
    if switch is None:
        return 0
    left = select(func.count()).select_from(Study).where(Study.state != "read", Study.id > switch.after)
    return session.scalar(left) or 0


def _switch(kept: Setting | None) -> Switch | None:
    return None if kept is None else Switch(**kept.value)


def _note(session: Session, switch: Switch) -> None:
    value = {"model_id": switch.model_id, "after": switch.after}
    session.merge(Setting(key=_KEY, value=value, changed_at=now(), changed_by=None))
