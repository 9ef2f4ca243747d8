"""A reader gives a verdict: it is kept for good, and the study is read, or disputed where readers differ."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from carina.errors import ConfigurationError
from carina.service.audit_log.chain import append
from carina.service.database.base import now
from carina.service.database.changes import announce
from carina.service.database.sessions import writing
from carina.service.database.study_tables import Image, Judgement, Model, Study
from carina.service.mode import mode_of, mode_since
from carina.service.notices.queue import queue_notice
from carina.service.people.people_tables import Account, Verdict, VerdictKind

# What no model's findings name. It is a finding all the same.
ANOTHER_FINDING = "Another finding"
LONGEST_NOTE = 2000
# Who opened a study and never said anything keeps it no longer.
OPEN_FOR = timedelta(minutes=30)


class NoSuchStudyError(ConfigurationError):
    """There is no study of this number."""


def model_in_use(session: Session) -> Model | None:
    """Return the model whose answers are shown."""
    return session.scalar(select(Model).where(Model.role == "in-use"))


def answer_of(session: Session, study: Study) -> Judgement | None:
    """Return what the model in use says of a study's most urgent image; none before it was judged."""
    if study.image_id is None:
        return None
    query = select(Judgement).join(Model).where(Judgement.image_id == study.image_id, Model.role == "in-use")
    return session.scalar(query)


def most_probable(judgement: Judgement | None) -> str | None:
    """Return the most probable finding of an answer; none where nothing is said."""
    if judgement is None or not judgement.probabilities:
        return None
    return max(judgement.probabilities, key=judgement.probabilities.__getitem__)


def open_study(engine: Engine, study_id: int, *, account_id: int) -> None:
    """Note that somebody looks at a study: as a line of the audit log, and as its state where it is unread.

    Raises
    ------
    NoSuchStudyError
        If there is no such study.
    """
    with writing(engine) as session:
        study = _existing(session, study_id)
        left = study.opened_at is None or now() - study.opened_at > OPEN_FOR
        if study.state == "unread" or (study.state == "open" and (left or study.opened_by == account_id)):
            study.state, study.opened_by, study.opened_at, study.changed_at = "open", account_id, now(), now()
        append(session, f"account {account_id}", "study-opened", f"study {study_id}")
        announce(session)


def give_verdict(
    engine: Engine,
    study_id: int,
    *,
    account_id: int,
    actor: str,
    finding: str | None,
    note: str = "",
    findings: Sequence[str],
    newest: int | None = None,
) -> Verdict:
    """Return the verdict that was kept.

    Parameters
    ----------
    actor
        Who gives it, for the audit log: an account, or a token of it.
    finding
        What the reader sees: one of `findings` or `ANOTHER_FINDING`; none where they cannot tell.
    note
        In the reader's words. It may name a patient, and is no part of the audit log.
    findings
        Those of the model in use.
    newest
        The last image that the reader was shown. If another one has come since, the study stays unread.

    Raises
    ------
    NoSuchStudyError
        If there is no such study.
    ConfigurationError
        If the finding is not known, the note is too long, or the study was deleted.
    """
    if finding is not None and finding not in (*findings, ANOTHER_FINDING):
        msg = f"A verdict names one of: {', '.join((*findings, ANOTHER_FINDING))}. Received another word."
        raise ConfigurationError(msg)
    if len(note) > LONGEST_NOTE:
        msg = f"A note has at most {LONGEST_NOTE:,} characters. This one has {len(note):,}."
        raise ConfigurationError(msg)
    with writing(engine) as session:
        study = _existing(session, study_id)
        if study.state == "deleted":
            msg = f"Study {study_id} was deleted. Nobody can see its images, so no verdict on it is taken."
            raise ConfigurationError(msg)
        answer = answer_of(session, study)
        seen_before = session.scalar(
            select(Verdict.id).where(Verdict.study_id == study_id, Verdict.account_id == account_id).limit(1)
        )
        opened = study.opened_at if study.opened_by == account_id else None
        verdict = Verdict(
            study_id=study_id,
            account_id=account_id,
            at=now(),
            kind=_kind(finding, most_probable(answer)),
            finding=finding,
            # PostgreSQL keeps no text with a zero in it.
            note=note.replace("\0", "").strip(),
            model_id=None if answer is None else answer.model_id,
            image_id=None if answer is None else answer.image_id,
            # Who gives a second verdict on a study has seen the answer after the first.
            blind=mode_of(session) == "silent" and seen_before is None and not _was_shown(session, study_id),
            seconds=None if opened is None else max(0.0, (now() - opened).total_seconds()),
        )
        session.add(verdict)
        session.flush()
        latest = latest_verdicts(session, study_id)
        named = {each.finding for each in latest if each.finding is not None}
        study.state = "disputed" if len(named) > 1 else "read"
        if newest is not None and study.state == "read" and _has_newer(session, study_id, newest):
            study.state = "unread"
        study.changed_at = now()
        append(session, actor, "verdict-given", f"study {study_id}", {"kind": verdict.kind, "finding": finding})
        told: dict[str, int | str] = {"study": study_id, "verdict": verdict.id}
        if mode_of(session) == "live":
            # In silence it would say what the model says.
            told["kind"] = verdict.kind
        queue_notice(session, "verdict.given", told)
        announce(session)
        return verdict


def latest_verdicts(session: Session, study_id: int) -> Sequence[Verdict]:
    """Return the last verdict of each reader of a study, in the order given."""
    last = select(func.max(Verdict.id)).where(Verdict.study_id == study_id).group_by(Verdict.account_id)
    return session.scalars(select(Verdict).where(Verdict.id.in_(last)).order_by(Verdict.id)).all()


def reader_names(session: Session) -> dict[int, str]:
    """Return the name of each account by its number."""
    return dict(session.execute(select(Account.id, Account.name)).all())


def return_left(engine: Engine) -> int:
    """Let studies be unread again that somebody opened and left without a verdict; return how many.

    Else they would be missing from the list of what is unread, and from what follows after a verdict.
    """
    with writing(engine) as session:
        left = (Study.state == "open") & (Study.opened_at < now() - OPEN_FOR)
        values = {"state": "unread", "opened_by": None, "opened_at": None, "changed_at": now()}
        count = len(session.execute(update(Study).where(left).values(**values).returning(Study.id)).all())
        if count:
            announce(session)
    return count


def _was_shown(session: Session, study_id: int) -> bool:
    """Return whether the worklist showed the model's answer to a study before the site became silent again."""
    since = mode_since(session)
    if since is None:
        return False
    first = session.scalar(select(func.min(Judgement.at)).join(Image).where(Image.study_id == study_id))
    return first is not None and first <= since


def _has_newer(session: Session, study_id: int, image_id: int) -> bool:
    newer = select(Image.id).where(Image.study_id == study_id, Image.id > image_id)
    return session.scalar(newer.limit(1)) is not None


def _kind(finding: str | None, said: str | None) -> VerdictKind:
    if finding is None:
        return "cannot-tell"
    return "agree" if finding == said else "other"


def _existing(session: Session, study_id: int) -> Study:
    # Held until the transaction ends: a verdict or an image that comes at the same moment is seen by the later one.
    study = session.get(Study, study_id, with_for_update=True)
    if study is None:
        msg = f"There is no study {study_id}."
        raise NoSuchStudyError(msg)
    return study
