"""An administrator asks for a model that is fitted to the site's own verdicts, and sees what came of it."""

from collections.abc import Sequence

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from carina.errors import ConfigurationError
from carina.service.audit_log.chain import append
from carina.service.database.base import now
from carina.service.database.changes import announce
from carina.service.database.sessions import writing
from carina.service.database.study_tables import Model
from carina.service.fitting.fitting_tables import Fitting
from carina.service.mode import said_reason

KINDS: dict[str, str] = {
    "recalibrate": "Recalibrate: the network stays as it is, probabilities and thresholds are fitted.",
    "adapt": "Adapt: the last layer of the network is fitted, too. A new model is made only if it is better.",
}


def ask_for_fitting(engine: Engine, kind: str, reason: str, *, model_id: int, account_id: int) -> int:
    """Return the number of a new fitting, which a worker will run.

    Raises
    ------
    ConfigurationError
        If there is no such kind or model, no reason, or another fitting has not ended.
    """
    if kind not in KINDS:
        msg = f"There is no fitting {kind!r}. Choose one of: {', '.join(KINDS)}."
        raise ConfigurationError(msg)
    reason = said_reason(reason)
    with writing(engine) as session:
        model = session.get(Model, model_id)
        if model is None or model.role == "retired":
            msg = f"There is no model {model_id} here that judges."
            raise ConfigurationError(msg)
        if session.scalar(select(Fitting.id).where(Fitting.state.in_(("waiting", "running"))).limit(1)) is not None:
            msg = "A model is being fitted already. Wait until that has ended."
            raise ConfigurationError(msg)
        fitting = Fitting(kind=kind, model_id=model_id, asked_by=account_id, asked_at=now(), reason=reason)
        session.add(fitting)
        session.flush()
        details = {"kind": kind, "model": model_id, "reason": reason}
        append(session, f"account {account_id}", "fitting-asked", f"fitting {fitting.id}", details)
        announce(session)
        return fitting.id


def fittings(session: Session, *, count: int = 20) -> Sequence[Fitting]:
    """Return the last fittings, the latest first."""
    return session.scalars(select(Fitting).order_by(Fitting.id.desc()).limit(count)).all()
