"""Which models judge here: one in use, perhaps some in silence beside it, and those that have judged before."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from carina._version import __version__
from carina.bundles.bundle import BundleDescription, open_named_model, released_bundle
from carina.bundles.run_folder import FinishedRun
from carina.service.database.base import now
from carina.service.database.changes import announce
from carina.service.database.sessions import writing
from carina.service.database.study_tables import Model, ModelRole
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
            known = session.execute(select(Model).where(Model.sha256 == sha256)).scalar_one_or_none()
            if known is not None:
                # A new version of Carina brings the released bundle in another folder.
                known.folder = _kept(site, folder)
                continue
            in_use = session.execute(select(Model.id).where(Model.role == "in-use")).scalar_one_or_none()
            role: ModelRole = "in-use" if place == 0 and in_use is None else "silent"
            number = add_model(session, site, folder, run, sha256, role)
            if role == "silent" and place == 0:
                version = session.get_one(Model, number).version
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


def add_model(session: Session, site: Site, folder: Path, run: FinishedRun, sha256: str, role: ModelRole) -> int:
    """Return the number of a model that is new here."""
    model = Model(
        name=run.name,
        version=run.version if isinstance(run, BundleDescription) else __version__,
        sha256=sha256,
        folder=_kept(site, folder),
        flag_finding=run.policy.flag_finding,
        role=role,
        added_at=now(),
    )
    session.add(model)
    session.flush()
    return model.id


def _kept(site: Site, folder: Path) -> str:
    """Return a folder as its row keeps it: relative where it lies in the site's own, which may be moved."""
    absolute, home = folder.absolute(), site.folder.absolute()
    return str(absolute.relative_to(home) if absolute.is_relative_to(home) else absolute)
