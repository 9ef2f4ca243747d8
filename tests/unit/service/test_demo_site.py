"""The site to try: every phantom is a study of an invented patient, and the site sends nothing."""

from pathlib import Path

from sqlalchemy import select

from carina.phantoms.phantom import write_phantoms
from carina.service.database.sessions import reading
from carina.service.database.study_tables import Image, Study
from carina.service.demo_site import ACCOUNT, make_demo_site
from carina.service.mode import mode_of
from carina.service.people.people_tables import Account
from carina.service.site_folder import open_site


def test_phantoms_become_studies_of_invented_patients(tmp_path: Path, small_run: Path) -> None:
    images = sorted(
        write_phantoms(tmp_path / "phantoms", count=5, difficulty=0.1, seed=1).parent.glob("*/images/*.png")
    )
    (tmp_path / "site").mkdir()
    password = make_demo_site(tmp_path / "site", small_run, images)
    site = open_site(tmp_path / "site")
    with reading(site.engine) as session:
        studies = session.scalars(select(Study).order_by(Study.arrived_at)).all()
        assert [study.patient_name for study in studies][:2] == ["Adler^Ada", "Brook^Ben"]
        assert len({study.patient_id for study in studies}) == len(studies) == len(images) == 5
        assert all(image.kind == "dicom" and image.state == "received" for image in session.scalars(select(Image)))
        assert session.scalars(select(Account.name)).all() == [ACCOUNT]
        assert mode_of(session) == "live"
    assert site.settings.destination is None
    assert site.settings.bundle == small_run.resolve()
    assert len(password) >= 12
    site.close()
