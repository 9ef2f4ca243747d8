"""What a model of the site says of itself: findings, thresholds, and what its audit found."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sqlalchemy.orm import Session

from carina.bundles.bundle import choose_precision, in_precision, open_model
from carina.bundles.run_folder import TRAINING_IMAGES_FILE, FinishedRun
from carina.bundles.training_images import read_training_images
from carina.errors import BundleError
from carina.service.database.study_tables import Model
from carina.service.site_folder import Site
from carina.service.verdicts import model_in_use

_NOT_AUDITED = "This model was not audited: nobody measured what it looks at beside the lungs."
_AUDIT_LINE = "Audit: "


@dataclass(frozen=True, slots=True)
class Described:
    """A model with its own words.

    Attributes
    ----------
    run
        Its description; none where its folder cannot be read.
    audit
        The audit's sentence, or that there is none.
    learned
        SHA-256 of the pixels that it learned from or whose verdicts its thresholds were chosen on.
    """

    model_id: int
    name: str
    version: str
    sha256: str
    run: FinishedRun | None
    audit: str
    learned: frozenset[str]

    @property
    def findings(self) -> tuple[str, ...]:
        """Return what the model tells apart; empty where its folder cannot be read."""
        return () if self.run is None else self.run.findings


def describe(site: Site, model: Model) -> Described:
    """Return a model with its own words."""
    folder = site.folder / model.folder
    run, audit, learned = _read(folder, model.sha256)
    return Described(model.id, model.name, model.version, model.sha256, run, audit, learned)


def described_in_use(site: Site, session: Session) -> Described | None:
    """Return the model whose answers are shown; none before the first is set up."""
    model = model_in_use(session)
    return None if model is None else describe(site, model)


# The hash is part of the question, so that another model at the same place is read again.
@lru_cache(maxsize=16)
def _read(folder: Path, _sha256: str) -> tuple[FinishedRun | None, str, frozenset[str]]:
    try:
        run = open_model(folder)
        # As the judge on this machine does: the thresholds are those of the precision that it computes in.
        run = in_precision(run, choose_precision(run, "auto", "auto"))
        learned = frozenset(read_training_images(folder / TRAINING_IMAGES_FILE).sha256)
    except BundleError:
        return None, _NOT_AUDITED, frozenset()
    try:
        lines = (folder / "README.md").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    audit = next((line.removeprefix(_AUDIT_LINE) for line in lines if line.startswith(_AUDIT_LINE)), _NOT_AUDITED)
    return run, audit, learned
