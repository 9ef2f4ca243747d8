"""Which models judge here: one in use, perhaps some in silence beside it, and those that have judged before."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from carina._version import __version__
from carina.bundles.bundle import BundleDescription, open_named_model, released_bundle
from carina.errors import ConfigurationError
from carina.service.database.base import now
from carina.service.database.changes import announce
from carina.service.database.sessions import writing
from carina.service.database.study_tables import Delivery, Image, Judgement, Model, ModelRole, Study
from carina.service.judging.records import refresh_study
from carina.service.site_folder import Site


@dataclass(frozen=True, slots=True)
class ActiveModel:
    """A model that judges now: its row's ID, its folder, and whether it is the one in use."""

    id: int
    folder: Path
    in_use: bool


def register_models(site: Site) -> list[str]:
    """Let the database know the models of the site's settings; return sentences about what was decided.

    A new site takes its settings' bundle into use. Later a bundle that the settings name and the database does not know
    judges in silence, until an administrator takes it into use: nobody's order changes by a line in a file.

    Raises
    ------
    BundleError
        If one is no bundle, or was altered.
    """
    said: list[str] = []
    folders = [site.settings.bundle or released_bundle(), *site.settings.silent]
    described = [(folder, *open_named_model(folder)) for folder in folders]
    with writing(site.engine) as session:
        for place, (folder, run, sha256) in enumerate(described):
            kept = _kept(site, folder)
            known = session.execute(select(Model).where(Model.sha256 == sha256)).scalar_one_or_none()
            if known is not None:
                # A new version of Carina brings the released bundle in another folder.
                known.folder = kept
                continue
            in_use = session.execute(select(Model.id).where(Model.role == "in-use")).scalar_one_or_none()
            role: ModelRole = "in-use" if place == 0 and in_use is None else "silent"
            version = run.version if isinstance(run, BundleDescription) else __version__
            session.add(
                Model(
                    name=run.name,
                    version=version,
                    sha256=sha256,
                    folder=kept,
                    flag_finding=run.policy.flag_finding,
                    role=role,
                    added_at=now(),
                )
            )
            session.flush()
            if role == "silent" and place == 0:
                said.append(
                    f"{run.name} {version} is new here and judges in silence. An administrator takes it into use."
                )
        announce(session)
    return said


def active_models(session: Session, site: Site) -> list[ActiveModel]:
    """Return the models that judge now, the one in use first."""
    rows = session.execute(select(Model).where(Model.role != "retired").order_by(Model.role, Model.id)).scalars()
    return [ActiveModel(row.id, site.folder / row.folder, row.role == "in-use") for row in rows]


def is_still_in_use(session: Session, model_id: int) -> bool:
    """Return whether a model is the one in use; no other one is taken into use until the transaction ends."""
    role = session.scalar(select(Model.role).where(Model.id == model_id).with_for_update(read=True))
    return role == "in-use"


def use_model(session: Session, model_id: int) -> None:
    """Take a model into use; the one before judges on in silence. The worklist then shows what the new one says.

    Images that it has not judged wait for it; those of studies that were read keep what their readers were shown.

    Raises
    ------
    ConfigurationError
        If there is no such model.
    """
    if session.get(Model, model_id) is None:
        msg = f"There is no model {model_id} here."
        raise ConfigurationError(msg)
    session.execute(update(Model).where(Model.role == "in-use").values(role="silent"))
    session.execute(update(Model).where(Model.id == model_id).values(role="in-use"))
    unread = select(Study.id).where(Study.state != "read")
    by_it = exists().where(Judgement.image_id == Image.id, Judgement.model_id == model_id)
    session.execute(
        update(Image)
        .where(Image.state == "judged", Image.study_id.in_(unread), ~by_it)
        .values(state="received", attempts=0)
    )
    # What the other model would have sent is not sent any more.
    session.execute(delete(Delivery).where(Delivery.state == "waiting", Delivery.model_id != model_id))
    for study_id in session.scalars(unread):
        refresh_study(session, study_id, model_id)
    announce(session)


def _kept(site: Site, folder: Path) -> str:
    """Return a folder as its row keeps it: relative where it lies in the site's own, which may be moved."""
    absolute, home = folder.absolute(), site.folder.absolute()
    return str(absolute.relative_to(home) if absolute.is_relative_to(home) else absolute)
