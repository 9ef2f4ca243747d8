"""Silent or live: whether the site follows the model yet.

A new site is silent: Carina judges, the order of reading is that of arrival, the model's answer is shown only after the
verdict, and nothing is sent. An administrator makes it live, and silent again, each time with a reason.
"""

from datetime import datetime
from typing import Literal, get_args

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from carina.errors import ConfigurationError
from carina.service.audit_log.chain import append
from carina.service.database.base import now
from carina.service.database.changes import announce
from carina.service.database.sessions import writing
from carina.service.database.study_tables import Delivery, Model
from carina.service.judging.switching import use_model
from carina.service.people.people_tables import Setting

Mode = Literal["silent", "live"]
_KEY = "mode"


def mode_of(session: Session) -> Mode:
    """Return the mode of the site; silent until somebody said otherwise."""
    kept = session.get(Setting, _KEY)
    return "live" if kept is not None and kept.value == "live" else "silent"


def mode_since(session: Session) -> datetime | None:
    """Return when the mode was changed last; none if it never was, and the site has been silent all the time."""
    kept = session.get(Setting, _KEY)
    return None if kept is None else kept.changed_at


def change_mode(engine: Engine, mode: Mode, reason: str, *, account_id: int) -> None:
    """Make the site silent or live.

    Raises
    ------
    ConfigurationError
        If there is no such mode, no reason, or the site is in it already.
    """
    if mode not in get_args(Mode):
        msg = f"There is no mode {mode!r}. Choose silent or live."
        raise ConfigurationError(msg)
    reason = said_reason(reason)
    with writing(engine) as session:
        was = mode_of(session)
        if was == mode:
            msg = f"The site is {mode} already."
            raise ConfigurationError(msg)
        # What was not sent while the site was live is not sent after a time of silence either: it may be weeks old.
        session.execute(
            update(Delivery).where(Delivery.state == "waiting").values(state="dead", reason="the site became silent")
        )
        session.merge(Setting(key=_KEY, value=mode, changed_at=now(), changed_by=account_id))
        append(session, f"account {account_id}", "mode-changed", "", {"was": was, "is": mode, "reason": reason})


def change_model(engine: Engine, model_id: int, reason: str, *, account_id: int) -> None:
    """Take a model into use that judged in silence; the one before judges on in silence.

    What the worklist shows of unread studies follows in pieces; see `carina.service.judging.switching`.

    Raises
    ------
    ConfigurationError
        If there is no such model, no reason, or it is in use already.
    """
    reason = said_reason(reason)
    with writing(engine) as session:
        was = session.scalar(select(Model.id).where(Model.role == "in-use"))
        if was == model_id:
            msg = "This model is in use already."
            raise ConfigurationError(msg)
        use_model(session, model_id)
        append(session, f"account {account_id}", "model-changed", f"model {model_id}", {"was": was, "reason": reason})


def retire_model(engine: Engine, model_id: int, reason: str, *, account_id: int) -> None:
    """Let a model that judges in silence judge no more. What it has said is kept.

    Raises
    ------
    ConfigurationError
        If no such model judges in silence, or there is no reason.
    """
    reason = said_reason(reason)
    with writing(engine) as session:
        model = session.get(Model, model_id)
        if model is None or model.role != "silent":
            msg = (
                f"No model {model_id} judges in silence here. The model in use cannot rest: take another one into use."
            )
            raise ConfigurationError(msg)
        model.role = "retired"
        append(session, f"account {account_id}", "model-retired", f"model {model_id}", {"reason": reason})
        announce(session)


def said_reason(reason: str) -> str:
    """Return why somebody changes something, on one line.

    Raises
    ------
    ConfigurationError
        If it is too short or too long.
    """
    reason = " ".join(reason.split())
    if not 10 <= len(reason) <= 500:
        msg = "Say why in 10 to 500 characters. Others will read it in the audit log. Name no patient."
        raise ConfigurationError(msg)
    return reason
